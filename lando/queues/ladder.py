"""Where a message goes that failed: the names and headers of the delay queues and of ``<queue>.dead``.

The command queue itself has no arguments, because others declare it too; so the ladder is made of queues of
our own, each of which gives its messages back to the command queue when their time is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lando.runs import cut_middle

FAILURES = "lando-failures"
"""Header: how often the message failed and will be, or was, tried again."""
FIRST_REASON = "lando-first-reason"
LAST_REASON = "lando-last-reason"
"""Header: why it failed last; in ``<queue>.dead`` the reason why it is there."""
TIME = "lando-time"
"""Header of dead messages: when they were put aside, ISO 8601 in UTC."""
HISTORY = "lando-history"
"""Header: the times the message was put aside before and tried again by an operator, oldest first; tables of
``time``, ``reason`` and ``failures``."""

REASON_LIMIT = 2048  # bytes; headers have to fit into one frame together
HISTORY_LIMIT = 10  # entries; the oldest goes first
HISTORY_REASON_LIMIT = 500  # bytes


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One queue that takes what failed, and the headers with which it does."""

    queue: str
    headers: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the queue's declaration."""


def active_queue(queue: str) -> str:
    """The exclusive queue whose holder is the one consumer at work."""
    return f"{queue}.active"


def dead_queue(queue: str) -> str:
    """Where messages lie that can't be handled."""
    return f"{queue}.dead"


def delay_queue(queue: str, delay_s: float) -> str:
    """Where messages wait for ``delay_s`` seconds, e.g. ``lando.delay.30s`` or ``lando.delay.5m``."""
    milliseconds = round(delay_s * 1000)
    for unit, size in (("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{queue}.delay.{milliseconds // size}{unit}"
    return f"{queue}.delay.{milliseconds}ms"


def failures(headers: Mapping[str, Any] | None) -> int:
    """How often the message with these headers has failed; 0 where they do not say."""
    count = (headers or {}).get(FAILURES, 0)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def was_tried(headers: Mapping[str, Any] | None) -> bool:
    """Whether the message with these headers failed before, if only before an operator had it tried again."""
    return failures(headers) > 0 or bool(history(headers))


def after_failure(queue: str, headers: Mapping[str, Any] | None, reason: str, delays_s: Sequence[float]) -> Rung:
    """The next rung for a message of ``queue`` with these headers: the next delay, after the last ``.dead``."""
    count = failures(headers)
    if count >= len(delays_s):
        return dead(queue, headers, reason)
    delay_s = delays_s[count]
    return Rung(
        queue=delay_queue(queue, delay_s),
        headers=_headers(headers, reason, count + 1),
        arguments={
            "x-message-ttl": round(delay_s * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue,
        },
    )


def postponed(queue: str, headers: Mapping[str, Any] | None, reason: str, delays_s: Sequence[float]) -> Rung:
    """The longest delay, however often the message failed; its next failure is its last again."""
    return after_failure(queue, {**(headers or {}), FAILURES: len(delays_s) - 1}, reason, delays_s)


def dead(queue: str, headers: Mapping[str, Any] | None, reason: str) -> Rung:
    """``<queue>.dead`` for a message of ``queue`` with these headers."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Rung(queue=dead_queue(queue), headers={**_headers(headers, reason, failures(headers)), TIME: now})


def history(headers: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The entries of :data:`HISTORY`, as far as they are any."""
    entries = (headers or {}).get(HISTORY)
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def again(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Headers for a dead message that goes back to its command queue: nothing counts any more, nothing is forgotten."""
    given = headers or {}
    entry = {
        "time": _text(given, TIME),
        "reason": cut_middle(_text(given, LAST_REASON), HISTORY_REASON_LIMIT),
        "failures": failures(given),
    }
    return {HISTORY: [*history(given), entry][-HISTORY_LIMIT:]}


def _headers(headers: Mapping[str, Any] | None, reason: str, count: int) -> dict[str, Any]:
    last = cut_middle(reason, REASON_LIMIT)
    first = cut_middle(_text(headers or {}, FIRST_REASON), REASON_LIMIT) or last
    kept = {HISTORY: entries} if (entries := history(headers)) else {}
    return {FAILURES: count, FIRST_REASON: first, LAST_REASON: last, **kept}


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""
