"""What an error of the official client means."""

from __future__ import annotations

import json

from kubernetes.client.exceptions import ApiException


def is_kubernetes_not_found_exception(exc: object) -> bool:
    """Whether it is the answer 404 of a Kubernetes API."""
    return isinstance(exc, ApiException) and exc.status == 404


def message_of(error: ApiException) -> str:
    """The cluster's own words, on one line, or what can be said without them."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    try:
        document = json.loads(body) if body else None
    except ValueError:
        document = None
    said = document.get("message") if isinstance(document, dict) else None
    return " ".join(str(said or error.reason or f"status {error.status}").split())[:1024]
