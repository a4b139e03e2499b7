"""Subscriptions to the store's changes: bounded, for plain threads and for asyncio alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from lando.local.rules.status import ApiError, Manifest, expired

BOOKMARK_INTERVAL_S = 60.0
"""How often a quiet subscription says how far it has got, as the real API server does."""
QUEUE_LIMIT = 4096
"""Events a subscriber may lag behind before it has to list again."""
ABANDONED_AFTER_S = 60.0
"""A subscription that nobody takes from for so long after its time was up is dropped."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Event:
    """One change as a watcher sees it."""

    type: str
    """``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``."""
    raw: bytes
    """The object as JSON."""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def object(self) -> Manifest:
        """The object, parsed anew each time: it is the caller's own."""
        manifest: Manifest = json.loads(self.raw)
        return manifest

    def line(self) -> bytes:
        """The event as one line of a watch response."""
        return b'{"type":"' + self.type.encode() + b'","object":' + self.raw + b"}\n"


def bookmark(kind: str, api_version: str, version: int, *, initial_end: bool = False) -> Event:
    """The event that only says: everything up to ``version`` has been delivered."""
    metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    body = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return Event("BOOKMARK", json.dumps(body, separators=(",", ":")).encode())


class Subscription:
    """The changes that one watcher is to see, in order.

    The store pushes; one consumer takes, with :meth:`get` or by iterating (threads) or with :meth:`aget`
    (asyncio). It ends by :meth:`close`, by its own time-out, or because the consumer fell more than the queue's
    limit behind: then taking raises the 410 that makes a client list again.
    """

    def __init__(
        self,
        version: int,
        make_bookmark: Callable[[int], Event] | None,
        timeout_s: float | None,
        *,
        limit: int = QUEUE_LIMIT,
        bookmark_interval_s: float = BOOKMARK_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._condition = threading.Condition()
        self._queue: deque[Event] = deque()
        self._version = version
        self._make_bookmark = make_bookmark
        self._bookmark_interval_s = bookmark_interval_s
        self._clock = clock
        self._deadline = None if timeout_s is None else clock() + timeout_s
        self._bookmark_at = clock() + bookmark_interval_s
        self._marked = version
        self._limit = limit
        self._closed = False
        self._failure: ApiError | None = None
        self._waker: Callable[[], None] | None = None
        self.initial = 0
        """How many events stand for what was there before the subscription began; they come first."""

    @property
    def closed(self) -> bool:
        """True once nothing more will be queued; :meth:`close` also drops what was."""
        return self._closed

    def preload(self, events: list[Event]) -> None:
        """Queue what the subscriber gets before any change; not counted against the limit."""
        with self._condition:
            self._queue.extend(events)
            self.initial = len(events)
            self._limit += len(events)
            self._wake()

    def push(self, event: Event | None, version: int) -> None:
        """Deliver the change that led to ``version``; None when it does not concern this subscriber."""
        with self._condition:
            if self._deadline is not None and self._clock() > self._deadline + ABANDONED_AFTER_S:
                self._closed = True
                self._queue.clear()
            if self._closed:
                return
            self._version = version
            if event is None:
                return
            if len(self._queue) >= self._limit:
                self._queue.clear()
                self._failure = expired(f"too old resource version: the watcher fell behind at {version}")
                self._closed = True
            else:
                self._queue.append(event)
            self._wake()

    def get(self, timeout_s: float) -> Event | None:
        """The next event, waiting up to ``timeout_s`` seconds; None when none came or the subscription is closed.

        Raises ApiError 410 when this consumer fell too far behind.
        """
        until = self._clock() + timeout_s
        with self._condition:
            while True:
                event = self._take()
                if event is not None or self._closed:
                    return event
                remaining = self._wait_s(until)
                if remaining <= 0:
                    return None
                self._condition.wait(remaining)

    async def aget(self, timeout_s: float) -> Event | None:
        """:meth:`get` for asyncio: waits without holding a thread."""
        until = self._clock() + timeout_s
        loop = asyncio.get_running_loop()
        while True:
            ready = asyncio.Event()
            with self._condition:
                event = self._take()
                if event is not None or self._closed:
                    return event
                self._waker = lambda ready=ready: _wake_loop(loop, ready)
                remaining = self._wait_s(until)
            if remaining <= 0:
                return None
            # Not wait_for: in Python 3.11 that forgets it was canceled when the event comes at the same moment.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await ready.wait()

    def __iter__(self) -> Iterator[Event]:
        """Events until the subscription closes or its time is up."""
        while True:
            event = self.get(self._bookmark_interval_s)
            if event is not None:
                yield event
            elif self._closed:
                return

    def close(self) -> None:
        """End the subscription and wake its consumer. Safe to call from any thread, and twice."""
        with self._condition:
            if self._closed:
                return
            self._closed = True
            self._queue.clear()
            self._wake()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Event | None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        now = self._clock()
        ended = not self._closed and self._deadline is not None and now >= self._deadline
        if ended:
            self._closed = True
        if self._queue:
            return self._queue.popleft()
        if self._make_bookmark is None or (self._closed and not ended):
            return None
        if (ended and self._version != self._marked) or now >= self._bookmark_at:
            self._bookmark_at = now + self._bookmark_interval_s
            self._marked = self._version
            return self._make_bookmark(self._version)
        return None

    def _wait_s(self, until: float) -> float:
        """Seconds until there may be something to do: the caller's limit, a bookmark or the end."""
        moments = [until]
        if self._deadline is not None:
            moments.append(self._deadline)
        if self._make_bookmark is not None:
            moments.append(self._bookmark_at)
        now = self._clock()
        if until <= now:
            return 0.0
        return max(min(moments) - now, 0.001)

    def _wake(self) -> None:
        self._condition.notify_all()
        if self._waker is not None:
            waker, self._waker = self._waker, None
            waker()


def _wake_loop(loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(ready.set)
