"""The cluster's own time, by the ``Date`` that each of its answers carries.

How long a Job or pod has waited is told by the cluster's time stamps; to hold them against the clock of another machine
would end steps early wherever that clock is ahead, or jumps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TOLERANCE_S = 5.0
"""How far an answer may be behind, by its whole seconds and its way, before the peer's clock was set back."""


class ClusterClock:
    """The time of whoever was :meth:`heard`, carried on by ``monotonic``; ``local`` until then."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        local: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._local = local
        self._lock = threading.Lock()
        self._ahead_s: float | None = None
        """Of the monotonic clock. A date is rounded down and late, so that the greatest is the nearest."""

    def heard(self, date: str | None) -> None:
        """Take in the ``Date`` of an answer that has just come (RFC 9110, 6.6.1); any other text is passed over."""
        try:
            told_s = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        with self._lock:
            ahead_s = told_s - self._monotonic()
            if self._ahead_s is None or not self._ahead_s - TOLERANCE_S <= ahead_s <= self._ahead_s:
                self._ahead_s = ahead_s

    def now(self) -> datetime:
        with self._lock:
            if self._ahead_s is None:
                return self._local()
            return datetime.fromtimestamp(self._ahead_s + self._monotonic(), UTC)
