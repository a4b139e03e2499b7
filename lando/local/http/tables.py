"""Objects as the tables that ``kubectl get`` asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from lando.local.rules.status import Manifest

Cells = Callable[[Manifest, datetime], list[Any]]


def wanted(accept: str) -> bool:
    """Whether an ``Accept`` header asks for a table first."""
    first = accept.partition(",")[0].replace(" ", "")
    return first.startswith("application/json;") and "as=Table" in first and "v=v1;" in first + ";"


def table(kind: str, manifests: Sequence[Manifest], metadata: Manifest, now: datetime | None = None) -> Manifest:
    """A ``Table`` of ``manifests``, one row each."""
    now = now or datetime.now(UTC)
    columns, cells = _TABLES.get(kind, _PLAIN)
    rows = [
        {
            "cells": cells(manifest, now),
            "object": {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": manifest["metadata"],
            },
        }
        for manifest in manifests
    ]
    definitions = [
        {
            "name": name,
            "type": "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": 0,
        }
        for name in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def duration(seconds: float) -> str:
    """A length of time as kubectl shows it: two units at most."""
    total = max(int(seconds), 0)
    if total < 120:
        return f"{total}s"
    minutes, rest = divmod(total, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{hours // 24}d"


def _age(manifest: Manifest, now: datetime) -> str:
    return _since(manifest["metadata"].get("creationTimestamp"), now)


def _since(moment: str | None, now: datetime) -> str:
    return duration((now - datetime.fromisoformat(moment)).total_seconds()) if moment else "<unknown>"


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _pod(pod: Manifest, now: datetime) -> list[Any]:
    status = pod.get("status") or {}
    states = status.get("containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    restarts = sum(state.get("restartCount", 0) for state in states)
    return [_name(pod), f"{ready}/{len(pod['spec']['containers'])}", _pod_state(pod), str(restarts), _age(pod, now)]


def _pod_state(pod: Manifest) -> str:
    """What holds the pod, ended it or is being done with it, in a word."""
    status = pod.get("status") or {}
    state = str(status.get("reason") or status.get("phase") or "")
    for entry in status.get("containerStatuses") or []:
        for part in ("waiting", "terminated"):
            reason = ((entry.get("state") or {}).get(part) or {}).get("reason")
            state = str(reason) if reason else state
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else state


def _job(job: Manifest, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    held = [entry["type"] for entry in status.get("conditions") or [] if entry["status"] == "True"]
    state = next((name for name in ("Complete", "Failed", "Suspended") if name in held), "Running")
    ended = next(
        (entry["lastTransitionTime"] for entry in status.get("conditions") or [] if entry["type"] == state), None
    )
    end = datetime.fromisoformat(status.get("completionTime") or ended or now.isoformat())
    took = _since(status["startTime"], end) if status.get("startTime") else ""
    completions = f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}"
    shown = "Terminating" if "deletionTimestamp" in job["metadata"] else state
    return [_name(job), shown, completions, took, _age(job, now)]


def _claim(claim: Manifest, now: datetime) -> list[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    state = "Terminating" if "deletionTimestamp" in claim["metadata"] else status.get("phase", "")
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return [
        _name(claim),
        state,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", ""),
        ",".join(short.get(mode, mode) for mode in status.get("accessModes") or []),
        spec.get("storageClassName", ""),
        _age(claim, now),
    ]


def _event(event: Manifest, now: datetime) -> list[Any]:
    about = event["involvedObject"]
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    subject = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    return [_since(seen, now), event.get("type", ""), event.get("reason", ""), subject, event.get("message", "")]


def _data(manifest: Manifest) -> str:
    return str(len(manifest.get("data") or {}) + len(manifest.get("binaryData") or {}))


_PLAIN: tuple[tuple[str, ...], Cells] = (("Name", "Age"), lambda item, now: [_name(item), _age(item, now)])
_TABLES: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Pod": (("Name", "Ready", "Status", "Restarts", "Age"), _pod),
    "Job": (("Name", "Status", "Completions", "Duration", "Age"), _job),
    "PersistentVolumeClaim": (
        ("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "Age"),
        _claim,
    ),
    "Event": (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    "ConfigMap": (("Name", "Data", "Age"), lambda item, now: [_name(item), _data(item), _age(item, now)]),
    "Secret": (
        ("Name", "Type", "Data", "Age"),
        lambda item, now: [_name(item), item.get("type", ""), _data(item), _age(item, now)],
    ),
    "Namespace": (
        ("Name", "Status", "Age"),
        lambda item, now: [_name(item), (item.get("status") or {}).get("phase", ""), _age(item, now)],
    ),
}
