"""Manifests of programs whose outcome is stated twice.

Once as the command that a node really runs, and once as the annotations ``test.lando/*`` that a stand-in for a kubelet
plays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
TERMINATION_LOG = '"${LANDO_TERMINATION_LOG:-/dev/termination-log}"'
"""The termination message's file, in a shell command."""
IMAGE = "busybox:1"


def notes(
    outcome: str = "Succeeded", *, message: str = "", log: str = "", duration_s: float | None = None
) -> dict[str, str]:
    """The annotations: outcome (with ``:EXITCODE`` where it failed), termination message, log and length."""
    parts = {
        "outcome": outcome,
        "termination-message": message,
        "log": log,
        "duration": "" if duration_s is None else str(duration_s),
    }
    return {f"test.lando/{name}": text for name, text in parts.items() if text}


def container(script: str, name: str = "main", **more: Any) -> Manifest:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **more}


def pod(name: str, script: str, played: Mapping[str, str], **spec: Any) -> Manifest:
    """A pod of one container ``main`` that runs ``script``, and what becomes of it."""
    return {
        "metadata": {"name": name, "annotations": dict(played)},
        "spec": {"restartPolicy": "Never", "containers": [container(script)], **spec},
    }


def job(name: str, script: str, played: Mapping[str, str], *, pod: Manifest | None = None, **spec: Any) -> Manifest:
    """A Job of such pods; no retries unless ``spec`` says so."""
    template = {"restartPolicy": "Never", "containers": [container(script)], **(pod or {})}
    return {
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"annotations": dict(played)}, "spec": template},
            **spec,
        },
    }
