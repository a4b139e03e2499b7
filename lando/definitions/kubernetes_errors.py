"""What an error of the official client means."""

from __future__ import annotations

import json

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from lando.errors import PeerError

UNREACHED = (urllib3.exceptions.HTTPError, ConfigException, OSError)
"""Raised when the cluster gives no answer at all."""


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


def trouble(error: BaseException) -> str | None:
    """What the cluster, the way to it or another peer is at fault for, as a sentence; None when none is."""
    if isinstance(error, PeerError):
        return str(error)
    if isinstance(error, ApiException):
        return f"the cluster answered {error.status}: {message_of(error)}"
    if isinstance(error, UNREACHED):
        reason = getattr(error, "reason", None) or error  # of several tries: what the last one met
        return f"the cluster can't be reached: {' '.join(str(reason).split())[:1024]}"
    return None
