"""Objects as the tables that ``kubectl get`` asks for. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from lando.local.rules.status import Manifest
from lando.local.store.watching import Event

Include = Literal["None", "Metadata", "Object"]
_NONE = "<none>"
_WIDE = " (wide)"
"""Ends the names of columns that only ``-o wide`` shows."""
Cells = Callable[[Manifest, datetime], list[Any]]


def wanted(accept: str) -> bool:
    """Whether an ``Accept`` header asks for a table first."""
    first = accept.partition(",")[0].replace(" ", "")
    return first.startswith("application/json;") and "as=Table" in first and "v=v1;" in first + ";"


def table(
    kind: str,
    manifests: Sequence[Manifest],
    metadata: Manifest,
    now: datetime | None = None,
    *,
    include: Include = "Metadata",
) -> Manifest:
    """A ``Table`` of ``manifests``, one row each, which carries as much of its object as ``include`` says."""
    now = now or datetime.now(UTC)
    columns, cells = _TABLES.get(kind, _PLAIN)
    rows = []
    for manifest in manifests:
        row: Manifest = {"cells": cells(manifest, now)}
        if include == "Object":
            row["object"] = manifest
        elif include == "Metadata":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": manifest["metadata"],
            }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(name) for name in columns],
        "rows": rows,
    }


def _definition(name: str) -> Manifest:
    return {
        "name": name.removesuffix(_WIDE),
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": int(name.endswith(_WIDE)),
    }


class EventTables:
    """A watch's events with tables of one row for objects; only the first says what the columns are."""

    def __init__(self, kind: str, include: Include) -> None:
        self._kind = kind
        self._include = include
        self._told = False

    def line(self, event: Event) -> bytes:
        """``event`` as one line of the watch's answer."""
        manifest = event.object
        metadata = {"resourceVersion": manifest["metadata"]["resourceVersion"]}
        if event.type == "BOOKMARK":
            shown = table(self._kind, [], metadata)
            shown["rows"] = [{"cells": [], "object": manifest}]
        else:
            shown = table(self._kind, [manifest], metadata, include=self._include)
        if self._told:
            shown["columnDefinitions"] = None
        self._told = True
        body = json.dumps({"type": event.type, "object": shown}, ensure_ascii=False, separators=(",", ":"))
        return body.encode() + b"\n"


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
    spec, status = pod["spec"], pod.get("status") or {}
    states = status.get("containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    gates = spec.get("readinessGates")
    return [
        _name(pod),
        f"{ready}/{len(spec['containers'])}",
        _pod_state(pod),
        _restarts([*(status.get("initContainerStatuses") or []), *states], now),
        _age(pod, now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"0/{len(gates)}" if gates else _NONE,
    ]


def _restarts(states: Sequence[Manifest], now: datetime) -> str:
    """How often containers were started again, and when last."""
    count = sum(state.get("restartCount", 0) for state in states)
    ends = [((state.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for state in states]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({_since(last, now)} ago)" if count and last else str(count)


def _pod_state(pod: Manifest) -> str:
    """What holds the pod, ended it or is being done with it, in a word."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    word = str(status.get("reason") or status.get("phase") or "")
    for at, entry in enumerate(status.get("initContainerStatuses") or []):
        state = entry.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        waits_for = (state.get("waiting") or {}).get("reason")
        if ended is not None:
            return f"Init:{_ending(ended)}"
        if waits_for and waits_for != "PodInitializing":
            return f"Init:{waits_for}"
        return f"Init:{at}/{len(pod['spec']['initContainers'])}"
    for entry in status.get("containerStatuses") or []:
        state = entry.get("state") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            word = str(reason)
        elif ended := state.get("terminated"):
            word = _ending(ended)
    return word


def _ending(terminated: Manifest) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _job(job: Manifest, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    held = {entry["type"]: entry for entry in status.get("conditions") or [] if entry["status"] == "True"}
    state = next((name for name in ("Complete", "Failed") if name in held), "")
    if not state and "deletionTimestamp" in job["metadata"]:
        state = "Terminating"
    if not state:
        state = next((name for name in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if name in held), "Running")
    ended = held.get(state, {}).get("lastTransitionTime")
    end = datetime.fromisoformat(status.get("completionTime") or ended or now.isoformat())
    took = _since(status["startTime"], end) if status.get("startTime") else ""
    completions = f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}"
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    return [
        _name(job),
        state,
        completions,
        took,
        _age(job, now),
        ",".join(container["name"] for container in containers),
        ",".join(container.get("image", "") for container in containers),
        ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or _NONE,
    ]


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
        spec.get("volumeMode") or "<unset>",
    ]


def _event(event: Manifest, now: datetime) -> list[Any]:
    about = event["involvedObject"]
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    source = event.get("source") or {}
    return [
        _since(seen, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(part for part in (source.get("component"), source.get("host")) if part),
        event.get("message", "").strip(),
        _since(event.get("firstTimestamp") or seen, now),
        str(event.get("count", 1)),
        _name(event),
    ]


def _data(manifest: Manifest) -> str:
    return str(len(manifest.get("data") or {}) + len(manifest.get("binaryData") or {}))


def _wide(*names: str) -> tuple[str, ...]:
    return tuple(name + _WIDE for name in names)


_PLAIN: tuple[tuple[str, ...], Cells] = (("Name", "Age"), lambda item, now: [_name(item), _age(item, now)])
_TABLES: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Pod": (
        ("Name", "Ready", "Status", "Restarts", "Age", *_wide("IP", "Node", "Nominated Node", "Readiness Gates")),
        _pod,
    ),
    "Job": (
        ("Name", "Status", "Completions", "Duration", "Age", *_wide("Containers", "Images", "Selector")),
        _job,
    ),
    "PersistentVolumeClaim": (
        ("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "Age", *_wide("VolumeMode")),
        _claim,
    ),
    "Event": (
        (
            *("Last Seen", "Type", "Reason", "Object", *_wide("Subobject", "Source"), "Message"),
            *_wide("First Seen", "Count", "Name"),
        ),
        _event,
    ),
    "ServiceAccount": (
        ("Name", "Secrets", "Age"),
        lambda item, now: [_name(item), str(len(item.get("secrets") or [])), _age(item, now)],
    ),
    "ConfigMap": (("Name", "Data", "Age"), lambda item, now: [_name(item), _data(item), _age(item, now)]),
    "Secret": (
        ("Name", "Type", "Data", "Age"),
        lambda item, now: [_name(item), item.get("type", ""), _data(item), _age(item, now)],
    ),
    "Lease": (
        ("Name", "Holder", "Age"),
        lambda item, now: [_name(item), item["spec"].get("holderIdentity", ""), _age(item, now)],
    ),
    "Namespace": (
        ("Name", "Status", "Age"),
        lambda item, now: [_name(item), (item.get("status") or {}).get("phase", ""), _age(item, now)],
    ),
}
