"""A delivery whose settling goes through somebody else's hands."""

from __future__ import annotations

from collections.abc import Callable

from lando.queues import Delivery


class InterceptedDelivery:
    """The message as it is; each way to settle it is given to :meth:`settle`."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def settle(self, how: str, do: Callable[[], None]) -> None:
        """Called with the name of the way and what it does."""
        raise NotImplementedError

    @property
    def body(self) -> bytes:
        return self.delivery.body

    @property
    def failures(self) -> int:
        return self.delivery.failures

    @property
    def was_tried(self) -> bool:
        return self.delivery.was_tried

    def ack(self) -> None:
        self.settle("ack", self.delivery.ack)

    def requeue(self) -> None:
        self.settle("requeue", self.delivery.requeue)

    def retry(self, reason: str) -> None:
        self.settle("retry", lambda: self.delivery.retry(reason))

    def postpone(self, reason: str) -> None:
        self.settle("postpone", lambda: self.delivery.postpone(reason))

    def dead(self, reason: str) -> None:
        self.settle("dead", lambda: self.delivery.dead(reason))
