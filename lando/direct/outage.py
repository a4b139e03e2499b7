"""The cluster's own faults: how long they last, when to try again, and when to give up. No Job pays for them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from lando.errors import LandoError, Unavailable

LIMIT_S = 300.0
"""Seconds of unbroken outage after which a run ends."""
CALLS = "calls"
"""The way of the run's own calls; only these are held back by it."""
BACKOFF_S = (0.5, 30.0)  # first and longest wait before a try; the actual one is drawn between half and all of it


class Outage:
    """What does not answer, each way to the cluster by its name. Any thread may report."""

    def __init__(self, now: Callable[[], float], limit_s: float = LIMIT_S) -> None:
        self._now = now
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._why: dict[str, LandoError] = {}
        self._since = 0.0
        self._tries = 0
        self._retry_at = 0.0
        self._is_told = False

    def met(self, way: str, error: LandoError) -> None:
        """``way`` met ``error``."""
        with self._lock:
            if not self._why:
                self._since, self._tries = self._now(), 0
            self._why[way] = error
            if way != CALLS:
                return
            first, longest = BACKOFF_S
            seconds = min(first * 2.0 ** min(self._tries, 16), longest) * random.uniform(0.5, 1.0)  # noqa: S311
            if isinstance(error, Unavailable) and error.retry_after_s is not None:
                seconds = max(seconds, min(error.retry_after_s, longest))
            self._tries += 1
            self._retry_at = self._now() + seconds

    def well(self, way: str) -> None:
        """``way`` is answered (again)."""
        with self._lock:
            self._why.pop(way, None)

    def retry_in_s(self) -> float:
        """Seconds until calls are to be tried again; 0 while all is well."""
        with self._lock:
            return max(self._retry_at - self._now(), 0.0) if CALLS in self._why else 0.0

    def news(self) -> str | None:
        """A sentence when an outage has begun or is over since the last question."""
        with self._lock:
            if bool(self._why) == self._is_told:
                return None
            self._is_told = bool(self._why)
            if not self._why:
                return f"The cluster answers again, after {self._now() - self._since:.0f} s."
            return f"The cluster does not answer, and is tried again: {self._reason()}"

    def left_s(self) -> float | None:
        """Seconds until the outage has lasted too long; None while all is well."""
        with self._lock:
            return max(self._since + self._limit_s - self._now(), 0.0) if self._why else None

    def sentence(self) -> str:
        """Why the run has to be given up."""
        with self._lock:
            return f"The cluster has not answered for {self._now() - self._since:.0f} s: {self._reason()}"

    def _reason(self) -> str:
        return str(next(iter(self._why.values())))
