"""The last changes of the store: what resumed watches are given and how lists of a past moment are made."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lando.local.rules.kinds import Kind
from lando.local.rules.selectors import field_values
from lando.local.rules.status import Manifest
from lando.local.store.watching import Event

Place = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object; never altered.

    Kept as JSON: parsed, an object takes ten times the memory. What selectors ask for is at hand without parsing.
    """

    resource: str
    namespace: str
    name: str
    version: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    """The kind's own selectable fields, as far as they are not empty."""
    raw: bytes
    """The manifest as JSON."""

    @classmethod
    def of(cls, kind: Kind, manifest: Manifest, version: int, raw: bytes) -> Stored:
        """``manifest``, which is ``raw`` parsed."""
        metadata = manifest["metadata"]
        return cls(
            kind.resource,
            metadata.get("namespace", ""),
            metadata["name"],
            version,
            metadata.get("labels") or {},
            field_values(manifest, kind.fields),
            raw,
        )

    def manifest(self) -> Manifest:
        """The object, parsed anew each time: it is the caller's own."""
        manifest: Manifest = json.loads(self.raw)
        return manifest

    @property
    def place(self) -> Place:
        return self.namespace, self.name

    def event(self, kind: str) -> Event:
        return Event(kind, self.raw, self.resource, self.namespace, self.name)


Match = Callable[[Stored], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """What made one version out of the one before it."""

    kind: Kind
    before: Stored | None
    after: Stored | None
    """None when the object is gone."""
    last: Stored
    """What a watcher gets to see: ``after``, or the object's last state with the version of its deletion."""

    @property
    def version(self) -> int:
        return self.last.version

    def event(self, match: Match) -> Event | None:
        """The change for a watcher of what ``match`` selects: coming into and leaving the selection are events."""
        before = self.before is not None and match(self.before)
        after = self.after is not None and match(self.after)
        if after:
            return self.last.event("MODIFIED" if before else "ADDED")
        return self.last.event("DELETED") if before else None


class History:
    """The changes after the version :attr:`forgotten`, bounded in number and in bytes."""

    def __init__(self, version: int, limit: int, limit_bytes: int) -> None:
        self.forgotten = version
        """Changes up to this version are not remembered."""
        self._changes: deque[Change] = deque()
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: Change) -> None:
        """Remember ``change``; forget the oldest where there are too many."""
        self._changes.append(change)
        self._bytes += len(change.last.raw)
        while len(self._changes) > self._limit or self._bytes > self._limit_bytes:
            oldest = self._changes.popleft()
            self.forgotten = oldest.version
            self._bytes -= len(oldest.last.raw)

    def after(self, version: int) -> Iterator[Change]:
        """The changes after ``version``, which must not be forgotten, oldest first."""
        return (change for change in self._changes if change.version > version)

    def undone(self, objects: dict[Place, Stored], kind: Kind, version: int) -> dict[Place, Stored]:
        """``objects`` (those of ``kind`` that may match, as of now) at ``version``, which must not be forgotten.

        What has come to be otherwise since then is among them, too.
        """
        result = dict(objects)
        for change in reversed(self._changes):
            if change.version <= version:
                break
            if change.kind is not kind:
                continue
            if change.before is None:
                result.pop(change.last.place, None)
            else:
                result[change.last.place] = change.before
        return result
