"""When to look at what: keys that come due, handed to workers, never the same key to two at once."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable


class Agenda:
    """Each key stands on it at most once, at its earliest time; a key that is being worked on waits for its worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._busy: dict[str, float] = {}
        """Since when each is being worked on."""
        self._closed = False

    def add(self, key: str, delay_s: float = 0.0) -> None:
        """Have ``key`` looked at in ``delay_s`` seconds, or earlier if it is due earlier already."""
        due = self._clock() + max(delay_s, 0.0)
        with self._changed:
            if due >= self._due.get(key, float("inf")):
                return
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.notify()

    def take(self) -> str | None:
        """The next key that is due, waiting for it; to be given back with :meth:`done`. None once closed."""
        with self._changed:
            while not self._closed:
                key, wait_s = self._next()
                if key is not None:
                    self._busy[key] = self._clock()
                    return key
                self._changed.wait(wait_s)
        return None

    def done(self, key: str) -> None:
        """The worker has finished with ``key``; if it has come due again meanwhile, it is next."""
        with self._changed:
            self._busy.pop(key, None)
            if key in self._due:
                heapq.heappush(self._heap, (self._due[key], key))
                self._changed.notify()

    def close(self) -> None:
        """Wake every worker to leave."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def longest_s(self) -> float:
        """How long the worker that takes longest has had its key, in seconds; 0 when none is at work."""
        with self._changed:
            return max(self._clock() - min(self._busy.values()), 0.0) if self._busy else 0.0

    def __len__(self) -> int:
        with self._changed:
            return len(self._due)

    def _next(self) -> tuple[str | None, float | None]:
        """A due key taken off, or how long until there may be one (None: until something changes)."""
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due or key in self._busy:
                heapq.heappop(self._heap)  # superseded by an earlier time, or put back by done()
                continue
            wait_s = due - self._clock()
            if wait_s > 0:
                return None, wait_s
            heapq.heappop(self._heap)
            del self._due[key]
            return key, None
        return None, None
