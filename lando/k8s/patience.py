"""From when on a wait counts against a run: not while nobody could have ended it.

A Job or pod waits by the cluster's time stamps. They tell nothing of a machine that slept, of a cluster that was away,
or of the hours before this process began: who has to make, place or start it comes back at the same moment as we do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

LEAP_S = 60.0
"""By how much the cluster's clock may run ahead of ours between two looks before something stood still, in seconds."""


class Patience:
    """Begins with the first look, and anew after each interruption. Safe to use from several threads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._ahead_s = 0.0
        """Of the monotonic clock, which stands still while the machine sleeps."""

    def since(self, now: datetime) -> datetime:
        """From when on waits count; ``now`` is the cluster's time."""
        with self._lock:
            ahead_s = now.timestamp() - self._monotonic()
            if self._since is None or ahead_s - self._ahead_s > LEAP_S:
                self._since = now
            self._ahead_s = ahead_s
            return self._since

    def begin_anew(self) -> None:
        """Something was away, and is back."""
        with self._lock:
            self._since = None
