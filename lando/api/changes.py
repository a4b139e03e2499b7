"""Waking those who follow a job: requests that wait for its next change instead of asking again and again."""

from __future__ import annotations

import threading
import time


class Changes:
    """Counts the changes of this process's jobs; :meth:`wait` returns as soon as the count grows."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    @property
    def count(self) -> int:
        """Take it before reading what you follow, then wait for it to grow."""
        with self._changed:
            return self._count

    def announce(self) -> None:
        """Something was committed."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, since: int, timeout_s: float) -> bool:
        """Whether anything changed after ``since``; returns at once then, else after ``timeout_s`` or at the end."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._count == since and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return self._count != since

    @property
    def closed(self) -> bool:
        """Whether the server is going down: whoever follows should end."""
        return self._closed

    def close(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
