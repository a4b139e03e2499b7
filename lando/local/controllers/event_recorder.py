"""Events: what the controllers and the node say of an object, for people and for diagnosis.

Repeats of one sentence about one object are counted in one Event, and sentences that only differ in details (the names
of pods that could not be made) are combined in one after a while, as Kubernetes does.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lando.local.rules.lifecycle import timestamp
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

SIMILAR_LIMIT = 10
"""Sentences of one reason about one object; from this number on they are combined."""
COMBINED = "(combined from similar events): "
REMEMBERED = 1024
"""Latest distinct events whose repeats are counted; older ones are begun anew."""
MESSAGE_LIMIT = 1024
"""Characters of an event's message, as the real API has it."""

NORMAL = "Normal"
WARNING = "Warning"


class EventRecorder:
    """Writes Events in the name of ``component``. An event that can't be written is only logged: it is no state."""

    def __init__(
        self,
        store: ObjectStore,
        component: str,
        *,
        host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._component = component
        self._host = host
        self._clock = clock
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], set[str]] = OrderedDict()

    def record(self, about: Manifest, kind: str, reason: str, message: str, *, container: str | None = None) -> None:
        """Say ``message`` about an object; ``kind`` is Normal or Warning, ``container`` one of a pod's containers."""
        metadata = about["metadata"]
        field_path = f"spec.containers{{{container}}}" if container else ""
        message = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
        try:
            with self._lock:
                alike = (metadata["uid"], kind, reason, field_path)
                combined = self._has_many(alike, message)
                message = f"{COMBINED}{message}" if combined else message
                key = alike if combined else (*alike, message)
                name = self._names.get(key)
                if name is None or not self._count_up(metadata["namespace"], name, message):
                    self._names[key] = self._create(about, kind, reason, message, field_path)
                _touch(self._names, key)
        except ApiError as error:
            log.warning("event %s of %s %s not written: %s", reason, about.get("kind"), metadata["name"], error)

    def _has_many(self, alike: tuple[str, ...], message: str) -> bool:
        """Whether so much was said of the kind that it is combined."""
        said = self._similar.setdefault(alike, set())
        _touch(self._similar, alike)
        if message not in said and len(said) < SIMILAR_LIMIT:
            said.add(message)
        return len(said) >= SIMILAR_LIMIT

    def _count_up(self, namespace: str, name: str, message: str) -> bool:
        now = timestamp(self._clock())

        def again(event: Manifest) -> None:
            event["count"] = event.get("count", 1) + 1
            event["lastTimestamp"] = now
            event["message"] = message

        try:
            self._store.modify("events", namespace, name, again)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    def _create(self, about: Manifest, kind: str, reason: str, message: str, field_path: str) -> str:
        metadata = about["metadata"]
        moment = self._clock()
        involved = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if field_path:
            involved["fieldPath"] = field_path
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        now = timestamp(moment)
        # The name is the object's with the moment in hexadecimal nanoseconds, so that it is unique and sorts.
        name = f"{metadata['name']}.{int(moment.timestamp() * 1e9):x}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            created = self._store.create("events", metadata["namespace"], event)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            event["metadata"] = {"generateName": f"{name}-"}
            created = self._store.create("events", metadata["namespace"], event)
        return str(created["metadata"]["name"])


def _touch(recent: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...]) -> None:
    """Keep ``key`` longest, and no more than are to be remembered."""
    recent.move_to_end(key)
    while len(recent) > REMEMBERED:
        recent.popitem(last=False)
