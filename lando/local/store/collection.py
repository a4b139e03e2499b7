"""The objects of one kind, found by name and, without looking at all of them, by label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lando.local.store.history import Place, Stored

Pinned = Mapping[str, frozenset[str]]
"""Labels that every match has, each with the values it may have."""


class Collection:
    """Objects by namespace and name, with an index of their labels. Guarded by the store's lock."""

    def __init__(self) -> None:
        self._objects: dict[Place, Stored] = {}
        self._labelled: dict[tuple[str, str], set[Place]] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._objects

    def __iter__(self) -> Iterator[Stored]:
        """The objects in the order of namespace and name."""
        return (self._objects[place] for place in sorted(self._objects))

    def get(self, place: Place) -> Stored | None:
        return self._objects.get(place)

    def put(self, stored: Stored) -> None:
        """Add an object, or a new version of one."""
        old = self._objects.get(stored.place)
        self._objects[stored.place] = stored
        if old is None or old.labels != stored.labels:
            if old is not None:
                self._unlabel(old)
            for label in stored.labels.items():
                self._labelled.setdefault(label, set()).add(stored.place)

    def remove(self, place: Place) -> None:
        self._unlabel(self._objects.pop(place))

    def candidates(self, pinned: Pinned) -> dict[Place, Stored]:
        """Every object with all the ``pinned`` labels, and maybe some without; in no order, the caller's own."""
        if not pinned:
            return dict(self._objects)
        found = [[self._labelled.get((key, value), set()) for value in values] for key, values in pinned.items()]
        fewest = min(found, key=lambda places: sum(map(len, places)))
        return {place: self._objects[place] for places in fewest for place in places}

    def _unlabel(self, stored: Stored) -> None:
        for label in stored.labels.items():
            places = self._labelled[label]
            places.discard(stored.place)
            if not places:
                del self._labelled[label]
