"""Facts read off pods, Jobs and events as the API gives them; every field may be missing. Pure."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lando.runs import Category, Cause

Manifest = Mapping[str, Any]

ENDED_PHASES = ("Succeeded", "Failed")
_TEXT_LIMIT = 600  # characters of a foreign message quoted in a sentence


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing of anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def moment(value: object) -> datetime | None:
    """A Kubernetes Time or MicroTime."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def quoted(text: object) -> str:
    """A foreign message as part of a sentence: one line, cut, without the full stop at its end."""
    line = " ".join(str(text or "").split())
    if len(line) > _TEXT_LIMIT:
        line = line[:_TEXT_LIMIT] + " […]"
    return line.rstrip(". ")


def name(item: Manifest) -> str:
    return str(mapping(item.get("metadata")).get("name", ""))


def uid(item: Manifest) -> str:
    return str(mapping(item.get("metadata")).get("uid", ""))


def created(item: Manifest) -> datetime | None:
    return moment(mapping(item.get("metadata")).get("creationTimestamp"))


def phase(pod: Manifest) -> str:
    return str(mapping(pod.get("status")).get("phase", ""))


def condition(item: Manifest, kind: str) -> Mapping[str, Any] | None:
    """The condition of this type, whatever its status."""
    for entry in objects(mapping(item.get("status")).get("conditions")):
        if entry.get("type") == kind:
            return entry
    return None


def true_condition(item: Manifest, kind: str) -> Mapping[str, Any] | None:
    """The condition of this type if its status is ``"True"``."""
    entry = condition(item, kind)
    return entry if entry is not None and entry.get("status") == "True" else None


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a pod: what was asked for and what is."""

    name: str
    image: str
    init: bool
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @property
    def waiting(self) -> Mapping[str, Any]:
        return mapping(mapping(self.status.get("state")).get("waiting"))

    @property
    def terminated(self) -> Mapping[str, Any]:
        """How it ended: now, or, while it waits to be started again, last time."""
        state = mapping(mapping(self.status.get("state")).get("terminated"))
        return state or mapping(mapping(self.status.get("lastState")).get("terminated"))

    @property
    def exit_code(self) -> int | None:
        code = self.terminated.get("exitCode")
        return code if isinstance(code, int) else None

    @property
    def failed(self) -> bool:
        return self.exit_code not in (None, 0)

    def quantity(self, kind: str, resource: str) -> str | None:
        """A request or limit (``kind`` is ``requests`` or ``limits``) as written."""
        value = mapping(mapping(self.spec.get("resources")).get(kind)).get(resource)
        return None if value is None else str(value)


def containers(pod: Manifest) -> list[Container]:
    """Init containers first, then the others, in the order of the spec."""
    found = []
    spec, status = mapping(pod.get("spec")), mapping(pod.get("status"))
    for specs, statuses in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        by_name = {str(entry.get("name")): entry for entry in objects(status.get(statuses))}
        for entry in objects(spec.get(specs)):
            own = by_name.get(str(entry.get("name")), {})
            found.append(
                Container(
                    name=str(entry.get("name", "")),
                    image=str(entry.get("image", "")),
                    init=specs == "initContainers",
                    spec=entry,
                    status=own,
                )
            )
    return found


def newest_first(pods: Iterable[Manifest]) -> list[Manifest]:
    """By creation; of those made in the same second, the one with the later name."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(pods, key=lambda pod: (created(pod) or oldest, name(pod)), reverse=True)


def log_source(pods: Sequence[Manifest]) -> tuple[str, str] | None:
    """Pod and container whose log tells most: one that failed, else the last that was started at all."""
    started: tuple[str, str] | None = None
    for pod in newest_first(pods):
        for container in containers(pod):
            if container.failed:
                return name(pod), container.name
            state = mapping(container.status.get("state"))
            if started is None and (state.get("running") or state.get("terminated")):
                started = name(pod), container.name
    return started


def termination_message(pods: Sequence[Manifest]) -> Mapping[str, Any] | None:
    """The JSON object that a step's program left as its container's termination message, newest pod first."""
    for pod in newest_first(pods):
        for container in containers(pod):
            if (document := told_by(container)) is not None:
                return document
    return None


def told_by(container: Container) -> Mapping[str, Any] | None:
    """The JSON object that the container's program left as its termination message."""
    message = container.terminated.get("message")
    if not isinstance(message, str) or not message.lstrip().startswith("{"):
        return None
    try:
        document = json.loads(message, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def told_cause(message: Mapping[str, Any] | None) -> Cause | None:
    """The cause that a step's program gave in its termination message, if it gave one."""
    told = mapping(mapping(message).get("cause"))
    sentence = told.get("sentence")
    if not isinstance(sentence, str) or not sentence.strip():
        return None
    try:
        category = Category(told.get("category"))
    except ValueError:
        category = Category.USER
    advice = told.get("advice")
    return Cause(category=category, sentence=sentence, advice=advice if isinstance(advice, str) else "")


def signal_name(exit_code: int) -> str | None:
    """The signal that a shell's or runtime's exit code 128 + n stands for."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else None
    except ValueError:
        return None


def event_time(event: Manifest) -> datetime:
    """When it was last seen."""
    series = mapping(event.get("series"))
    for value in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        mapping(event.get("metadata")).get("creationTimestamp"),
    ):
        if (parsed := moment(value)) is not None:
            return parsed
    return datetime.min.replace(tzinfo=UTC)


def claims(pod: Manifest) -> list[str]:
    """The names of the volume claims that a pod mounts."""
    volumes = objects(mapping(pod.get("spec")).get("volumes"))
    names = (mapping(volume.get("persistentVolumeClaim")).get("claimName") for volume in volumes)
    return [str(name) for name in names if name]


def events_of(item: Manifest, events: Iterable[Manifest]) -> list[Manifest]:
    """The events about ``item``, newest first."""
    own = uid(item)
    about = [event for event in events if mapping(event.get("involvedObject")).get("uid") == own]
    return sorted(about, key=event_time, reverse=True)


def claim_events(pod: Manifest, events: Iterable[Manifest]) -> list[Manifest]:
    """The events about the volume claims of ``pod``, newest first."""
    mounted = set(claims(pod))
    about = [
        event
        for event in events
        if (involved := mapping(event.get("involvedObject"))).get("kind") == "PersistentVolumeClaim"
        and str(involved.get("name")) in mounted
    ]
    return sorted(about, key=event_time, reverse=True)
