"""How the one thread that decides waits: for news, for a time, for calls in flight, and never past a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

from lando.errors import LandoError

STOP_S = 0.2  # how soon a stop is noticed; two events can't be waited for at once
CALLS = 8  # to the cluster, side by side

T = TypeVar("T")


class Stopped(Exception):
    """The run is to end now; calls in flight are left to themselves."""


class Waiting:
    """Waits until somebody rings, a time is over or the run is to stop. :meth:`ring` may be called by any thread."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self._rung = threading.Event()

    @property
    def is_stopped(self) -> bool:
        return self.stop.is_set()

    def now(self) -> float:
        """Seconds of a clock that is never set."""
        return time.monotonic()

    def ring(self) -> None:
        """There is news; counts also when nobody waits yet."""
        self._rung.set()

    def wait(self, seconds: float | None) -> None:
        """Until the next ring, at most ``seconds`` (None: for as long as it takes)."""
        until = None if seconds is None else self.now() + seconds
        while not self.is_stopped:
            left = STOP_S if until is None else min(until - self.now(), STOP_S)
            if left <= 0 or self._rung.wait(left):
                break
        self._rung.clear()


class Calls:
    """Calls to the cluster, side by side, by a few threads that no process has to wait for at its end."""

    def __init__(self, waiting: Waiting, workers: int = CALLS) -> None:
        self.between: Callable[[], None] = lambda: None
        """What the caller's thread does now and then while calls are under way."""
        self._waiting = waiting
        self._workers = workers
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def all(self, calls: Sequence[Callable[[], T]]) -> list[T | LandoError]:
        """What each answered, or the error that it met. Raises Stopped when the run is to end meanwhile."""
        if self._waiting.is_stopped:
            raise Stopped
        futures = [self._submit(call) for call in calls]
        pending = set(futures)
        while pending:
            pending = wait(pending, timeout=STOP_S).not_done
            self.between()
            if pending and self._waiting.is_stopped:
                raise Stopped
        outcomes: list[T | LandoError] = []
        for future in futures:
            try:
                outcomes.append(future.result())
            except LandoError as error:
                outcomes.append(error)
        return outcomes

    def one(self, call: Callable[[], T]) -> T:
        """What ``call`` answered. Raises its error, and Stopped."""
        (outcome,) = self.all([call])
        if isinstance(outcome, LandoError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Begin no more; what is in flight is not waited for."""
        self._is_closed = True
        for _ in self._threads:
            self._queue.put(None)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
                future.set_exception(error)

        self._queue.put(work)
        if len(self._threads) < self._workers:
            thread = threading.Thread(target=self._work, name=f"call {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            if not self._is_closed:
                work()
