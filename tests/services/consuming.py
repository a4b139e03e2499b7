"""A consumer at work in a thread, with what it was given: how tests of queues drive either broker."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from lando.queues import Consumer, Delivery
from tests.services.providing import wait_until


class Consuming:
    """One run of a consumer; deliveries pile up in ``deliveries`` until the test settles them."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.deliveries: list[Delivery] = []
        self.times_active = 0
        """How often it has become the active one."""
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="consumer under test", daemon=True)
        self._thread.start()

    def wait_for(self, count: int, timeout_s: float = 15.0) -> list[Delivery]:
        """All deliveries so far, once there are ``count``."""
        wait_until(lambda: len(self.deliveries) >= count, timeout_s, what=f"delivery {count} of {self.bodies}")
        return list(self.deliveries)

    def wait_until_active(self) -> None:
        wait_until(lambda: self.consumer.active or self.error is not None, 20, what="being active")
        assert self.error is None, self.error

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]

    def end(self) -> None:
        """Stop and wait for the end of the run; what it raised is in ``error``."""
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the consumer did not stop"

    def _count(self) -> None:
        assert self.consumer.active
        self.times_active += 1

    def _run(self) -> None:
        try:
            self.consumer.run(self.deliveries.append, self.stop, self._count)
        except BaseException as error:  # noqa: BLE001  (judged by the test)
            self.error = error


@contextlib.contextmanager
def consuming(make: Callable[[], Consumer]) -> Iterator[Consuming]:
    """A consumer at work; ended afterwards, and nothing may have gone wrong."""
    work = Consuming(make())
    try:
        yield work
    finally:
        work.end()
    assert work.error is None, work.error
