"""What a verdict was read from, as one bounded document that outlives the Job; ``lando explain`` shows it. Pure.

Only named fields are taken over, and never environment variables, arguments or annotations; what looks like a
credential in the texts is masked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lando.k8s.diagnosis.facts import (
    Container,
    Manifest,
    claims,
    containers,
    event_time,
    mapping,
    name,
    newest_first,
    objects,
    uid,
)
from lando.k8s.diagnosis.judging import Diagnosis
from lando.masking import Masker
from lando.runs import cut_middle

MAX_BYTES = 64 * 1024
"""Of a document as JSON."""
_PODS = 5  # the newest
_EVENTS = 30  # the newest
_ITEMS = 10  # containers of a pod, conditions of an object
_TEXT_BYTES = 1024  # of one message
_LOG_BYTES = 12 * 1024  # of the log's end

_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
_STATE = ("reason", "message", "exitCode", "signal", "startedAt", "finishedAt")
_COUNTS = ("active", "ready", "succeeded", "failed", "terminating")


def evidence(
    diagnosis: Diagnosis,
    *,
    attempt: int,
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    now: datetime,
) -> dict[str, Any]:
    """The document about one attempt of a step; ``diagnosis`` must have a cause."""
    cause, finding = diagnosis.cause, diagnosis.finding
    if cause is None:
        raise ValueError("there is evidence only of a failure or a wait")
    document = {
        "attempt": attempt,
        "judged": now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "verdict": diagnosis.verdict.value,
        "cause": {
            "category": cause.category.value,
            "sentence": cause.sentence,
            "advice": cause.advice,
            "exit_code": cause.exit_code,
        },
        "rule": {"name": finding.rule, "saw": finding.sign, "fails": finding.wait.value} if finding else None,
        "job": _job(job),
        "pods": [_pod(pod) for pod in newest_first(pods)[:_PODS]],
        "events": [_event(event) for event in _about([job, *pods], events)[:_EVENTS]],
        "log_tail": cut_middle(cause.log_tail[-_LOG_BYTES:], _LOG_BYTES),
    }
    return _bounded(_masked(document, Masker()))


def _job(job: Manifest) -> dict[str, Any]:
    spec, status = mapping(job.get("spec")), mapping(job.get("status"))
    return {
        "name": name(job),
        "uid": uid(job),
        **_times(job),
        "deadline_s": spec.get("activeDeadlineSeconds"),
        "backoff_limit": spec.get("backoffLimit"),
        "pods": {count: status[count] for count in _COUNTS if status.get(count)},
        "conditions": _conditions(job),
    }


def _pod(pod: Manifest) -> dict[str, Any]:
    status = mapping(pod.get("status"))
    return {
        "name": name(pod),
        "uid": uid(pod),
        **_times(pod),
        "node": mapping(pod.get("spec")).get("nodeName"),
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "message": _text(status.get("message")),
        "conditions": _conditions(pod),
        "containers": [_container(container) for container in containers(pod)[:_ITEMS]],
    }


def _container(container: Container) -> dict[str, Any]:
    resources = mapping(container.spec.get("resources"))
    return {
        "name": container.name,
        "init": container.init,
        "image": container.image,
        "requests": dict(mapping(resources.get("requests"))),
        "limits": dict(mapping(resources.get("limits"))),
        "restarts": container.status.get("restartCount", 0),
        "state": _state(container.status.get("state")),
        "last_state": _state(container.status.get("lastState")),
    }


def _state(state: object) -> dict[str, Any] | None:
    """``{"terminated": {"reason": …}}`` with the fields that tell something; the message may be the step's own."""
    for kind, told in mapping(state).items():
        known = {key: mapping(told).get(key) for key in _STATE}
        return {kind: {key: _text(value) for key, value in known.items() if value is not None}}
    return None


def _event(event: Manifest) -> dict[str, Any]:
    involved = mapping(event.get("involvedObject"))
    return {
        "about": f"{involved.get('kind', '')} {involved.get('name', '')}".strip(),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": _text(event.get("message")),
        "count": event.get("count") or mapping(event.get("series")).get("count") or 1,
        "last": event_time(event).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _about(items: Sequence[Manifest], events: Sequence[Manifest]) -> list[Manifest]:
    """The events about any of ``items`` or the pods' volume claims, newest first."""
    uids = {uid(item) for item in items} - {""}
    mounted = {claim for item in items for claim in claims(item)}
    found = {}
    for event in events:
        involved = mapping(event.get("involvedObject"))
        is_claim = involved.get("kind") == "PersistentVolumeClaim" and str(involved.get("name")) in mounted
        if str(involved.get("uid")) in uids or is_claim:
            found[uid(event) or id(event)] = event
    return sorted(found.values(), key=event_time, reverse=True)


def _conditions(item: Manifest) -> list[dict[str, Any]]:
    entries = objects(mapping(item.get("status")).get("conditions"))
    told = [{key: _text(entry[key]) for key in _CONDITION if entry.get(key) is not None} for entry in entries]
    return told[-_ITEMS:]


def _times(item: Manifest) -> dict[str, Any]:
    metadata = mapping(item.get("metadata"))
    return {"created": metadata.get("creationTimestamp"), "deleted": metadata.get("deletionTimestamp")}


def _text(value: object) -> Any:
    return cut_middle(value, _TEXT_BYTES) if isinstance(value, str) else value


def _masked(value: Any, masker: Masker) -> Any:
    """``value`` with every text in it masked."""
    if isinstance(value, str):
        return masker.mask(value)
    if isinstance(value, Mapping):
        return {key: _masked(one, masker) for key, one in value.items()}
    return [_masked(one, masker) for one in value] if isinstance(value, list) else value


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """The document within the limit: older events go first, then older pods, then the log and all pods."""
    for part, least in (("events", 0), ("pods", 1), ("log_tail", 0), ("pods", 0)):
        while len(document[part]) > least and len(json.dumps(document, ensure_ascii=False).encode()) > MAX_BYTES:
            document[part] = document[part][: len(document[part]) // 2]
    return document
