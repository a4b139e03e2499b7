"""Slowing down those who guess passwords: by user name and address, in memory, for a bounded number of them."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

FREE_TRIES = 5
"""Failures in a row that cost nothing: people mistype."""
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
"""Doubled with each further failure, up to this; in seconds."""
FORGET_S = 3600.0
"""Failures are forgotten when nothing was tried for so long, in seconds."""
MAX_KEYS = 10_000

Key = tuple[str, str]
"""User name, in lower case and cut, and the client's address."""


class Throttle:
    """Counts failures in a row; the right password in between is no way around a pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    @staticmethod
    def key(username: str, address: str) -> Key:
        """Whom to count for."""
        return username[:150].casefold(), address

    def pause_s(self, key: Key) -> int:
        """How many seconds the next try has to wait for, rounded up; 0 for none."""
        with self._lock:
            count, last = self._failures.get(key, (0, 0.0))
            if count < FREE_TRIES:
                return 0
            pause = min(FIRST_PAUSE_S * 2.0 ** min(count - FREE_TRIES, 30), LONGEST_PAUSE_S)
            return max(math.ceil(last + pause - self._clock()), 0)

    def failed(self, key: Key) -> None:
        """A try that was not the password."""
        now = self._clock()
        with self._lock:
            count, last = self._failures.pop(key, (0, now))
            self._failures[key] = (1 if now - last > FORGET_S else count + 1, now)
            while len(self._failures) > MAX_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, key: Key) -> None:
        """The password: whoever failed before was the user."""
        with self._lock:
            self._failures.pop(key, None)
