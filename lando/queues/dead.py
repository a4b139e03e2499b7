"""What lies in ``<queue>.dead``: one message that was put aside, and what an operator may do with all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

from lando.queues import ladder

VOLATILE = ("x-delivery-count", "x-acquired-count")
"""Headers that a quorum queue changes whenever a message was looked at."""
_ID_LENGTH = 12


class Fate(Enum):
    """What is to become of a dead letter."""

    KEEP = "keep"
    """It stays where it is."""
    RETRY = "retry"
    """Back to the command queue, as if it had never failed; its history stays with it."""
    DROP = "drop"
    """Gone for good."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """That a letter was put aside before, and tried again by an operator."""

    time: str
    """When it was put aside, ISO 8601; empty where nobody noted it."""
    reason: str
    failures: int


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that was put aside; :func:`letter` makes it."""

    id: str
    """The same at each look, and for copies of one letter: made of the body and the headers."""
    body: bytes = field(repr=False)
    reason: str
    first_reason: str
    """Why it failed the first time; the same as ``reason`` where it failed but once."""
    failures: int
    """How often it was tried again by itself before."""
    time: datetime | None
    """When it was put aside."""
    history: tuple[Earlier, ...]
    content_type: str | None
    message_id: str | None
    headers: Mapping[str, Any] = field(repr=False)


class DeadLetters(Protocol):
    """The dead letters of one queue."""

    def visit(self, judge: Callable[[DeadLetter], Fate], *, limit: int) -> int:
        """Show ``judge`` the letters, oldest first and ``limit`` at most, and do with each as it says.

        Returns how many letters there were. What ``judge`` keeps goes back to its place, also when the process is
        killed meanwhile; a letter to be retried goes only when the command queue has confirmed it. While one visits,
        another sees what is left. Raises :class:`lando.errors.Unavailable`.
        """
        ...


def letter(
    body: bytes, headers: Mapping[str, Any] | None, *, content_type: str | None, message_id: str | None
) -> DeadLetter:
    """The letter of a message of ``<queue>.dead``, whoever put it there."""
    given = headers or {}
    reason = _text(given, ladder.LAST_REASON) or _brokers_reason(given)
    return DeadLetter(
        id=_identity(body, given),
        body=body,
        reason=reason,
        first_reason=_text(given, ladder.FIRST_REASON) or reason,
        failures=ladder.failures(given),
        time=_time(given),
        history=tuple(_earlier(one) for one in ladder.history(given)),
        content_type=content_type,
        message_id=message_id,
        headers=given,
    )


def _identity(body: bytes, headers: Mapping[str, Any]) -> str:
    lasting = sorted((key, repr(value)) for key, value in headers.items() if key not in VOLATILE)
    return hashlib.sha256(repr(lasting).encode() + body).hexdigest()[:_ID_LENGTH]


def _brokers_reason(headers: Mapping[str, Any]) -> str:
    """Why the broker itself put a message here, as a policy told it to (its header ``x-death``)."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    told = {
        "delivery_limit": "It was delivered too often without being settled (delivery_limit).",
        "maxlen": "The queue was full (maxlen).",
        "expired": "It waited too long (expired).",
        "rejected": "A consumer rejected it (rejected).",
    }
    known = told.get(str(newest.get("reason")))
    return f"The broker put it aside: {known}" if known else "Nobody noted why it was put aside."


def _time(headers: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(headers, ladder.TIME))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _earlier(entry: Mapping[str, Any]) -> Earlier:
    failures = entry.get("failures")
    return Earlier(
        time=_text(entry, "time"),
        reason=_text(entry, "reason"),
        failures=failures if isinstance(failures, int) else 0,
    )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""
