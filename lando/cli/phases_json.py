"""A run as JSON: one object per line and event, for programs. docs/phases.md lists the keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, TextIO

from lando.direct.events import Ended, Event

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_OWN = ("interrupted", "lasting")
"""Of a cause, what matters to the engine alone."""


class JsonLines:
    """Writes what a run tells on ``out``; once nobody reads it any more, nothing."""

    def __init__(self, out: TextIO, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._out = out
        self._now = now
        self.is_read = True

    def tell(self, event: Event) -> None:
        """As of :class:`lando.direct.events.Listener`."""
        if not self.is_read:
            return
        try:
            print(json.dumps(document(event, self._now()), ensure_ascii=False), file=self._out, flush=True)
        except OSError:  # the run goes on all the same
            self.is_read = False


def document(event: Event, time: datetime) -> dict[str, object]:
    """``event`` in words with underscores, ``time`` in ISO 8601, then what the event holds."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    content = _fields(event)
    if isinstance(event, Ended):
        content["exit_code"] = event.outcome.value
    return {"event": name, "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **content}


def _fields(record: DataclassInstance) -> dict[str, object]:
    return {one.name: _plain(getattr(record, one.name)) for one in fields(record) if one.name not in _OWN}


def _plain(value: object) -> object:
    """Names of enumerations in lower case; objects and lists all the way down."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return value
