"""Which objects a list has, page by page, and the tokens by which it goes on."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from lando.local.rules import status
from lando.local.rules.kinds import Kind
from lando.local.rules.selectors import field_test, label_test
from lando.local.rules.status import Manifest
from lando.local.store.history import Match, Place, Stored

NOW = -1
"""In a continue token: as of whenever it is used."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The answer to a list."""

    raw_items: list[bytes]
    """Each object as JSON."""
    resource_version: str
    continue_token: str | None = None
    remaining: int | None = None
    """Objects left after this page; None without paging or with selectors."""

    @property
    def items(self) -> list[Manifest]:
        return [json.loads(raw) for raw in self.raw_items]


def matching(kind: Kind | None, label_selector: str, field_selector: str, namespace: str | None = None) -> Match:
    """The test whether an object is one that is asked for."""
    labels = label_test(label_selector)
    fields = field_test(field_selector, kind.selectable if kind is not None else ("metadata.name",))

    def match(stored: Stored) -> bool:
        if namespace is not None and stored.namespace != namespace:
            return False
        if not labels(stored.labels):
            return False
        if not field_selector:
            return True
        return fields({**stored.fields, "metadata.name": stored.name, "metadata.namespace": stored.namespace})

    return match


def page_of(objects: Mapping[Place, Stored], match: Match, version: int, *, limit: int, is_selective: bool) -> Listing:
    """The first of ``objects`` that ``match``, in the order of namespace and name; ``limit`` 0 is no limit."""
    keys = sorted(objects)
    raw_items: list[bytes] = []
    for at, key in enumerate(keys):
        stored = objects[key]
        if not match(stored):
            continue
        if limit > 0 and len(raw_items) == limit:
            return Listing(
                raw_items=raw_items,
                resource_version=str(version),
                continue_token=write_token(version, keys[at - 1]),
                remaining=None if is_selective else len(keys) - at,
            )
        raw_items.append(stored.raw)
    return Listing(raw_items=raw_items, resource_version=str(version))


def write_token(version: int, last: Place) -> str:
    """A continue token: the moment of the list, and the last object that was in it."""
    return base64.urlsafe_b64encode(json.dumps([version, *last]).encode()).decode()


def read_token(token: str) -> tuple[int, Place]:
    """``(version, last object)`` of a continue token; ApiError 400 when it is none."""
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        return int(version), (str(namespace), str(name))
    except ValueError as error:
        raise status.bad_request("continue key is not valid: take it unchanged from the page before") from error
