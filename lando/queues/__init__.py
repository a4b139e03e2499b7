"""The command queue behind one small interface; :func:`consumer`, :func:`publisher` and
:func:`dead_letters` choose the broker.

``amqp://`` and ``amqps://`` (or host and login) is RabbitMQ, ``memory://NAME`` a broker inside the process,
the same object for everyone who names it. Both pass the same contract tests (tests/contract).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lando.config import WorkQueueSettings
    from lando.queues.dead import DeadLetters

STUCK_S = 300.0
"""No round of a thread that consumes or publishes takes as long: connecting, declaring and sending have time-outs of
seconds, and so have the waits between tries."""
DELAYS_S = (5, 30, 300)
"""The ladder: how long a message that failed for the n-th time waits, in seconds; after the last it is dead."""


class Delivery(Protocol):
    """One message handed to a consumer; exactly one of the ways to settle it is called, from any thread.

    Settling after the connection was lost does nothing: the broker delivers the message again.
    """

    @property
    def body(self) -> bytes: ...
    @property
    def failures(self) -> int:
        """How often this message has been through the delay ladder."""
        ...

    @property
    def was_tried(self) -> bool:
        """Whether it failed before: it comes from the ladder, or an operator took it back from the dead letters."""
        ...

    def ack(self) -> None:
        """Its effects are durable: forget the message."""
        ...

    def requeue(self) -> None:
        """Nothing was done (a peer is away, a shutdown): deliver it again, without counting."""
        ...

    def retry(self, reason: str) -> None:
        """It failed: deliver it again after the next delay of the ladder, or put it aside after the last."""
        ...

    def postpone(self, reason: str) -> None:
        """It failed, but not by itself: deliver it again after the longest delay, however often that is."""
        ...

    def dead(self, reason: str) -> None:
        """It can never be handled: put it aside in ``<queue>.dead`` with the reason."""
        ...


class Consumer(Protocol):
    """Takes deliveries from one queue, one consumer at work at a time."""

    @property
    def active(self) -> bool:
        """True while this process holds ``<queue>.active`` on a live connection: only then may it act."""
        ...

    @property
    def is_standby(self) -> bool:
        """True while the broker is well and another process is the active one."""
        ...

    @property
    def waits_for(self) -> str | None:
        """What keeps it from its work, in a sentence; None while nothing does.

        A broker that is away or refuses, another process that is active, or a broker that takes no failed messages.
        """
        ...

    def wrong(self) -> str | None:
        """What a restart of the process may mend, in a sentence: a thread of its that ended or hangs; None while none.

        A broker that is away, a pause and a wait for another process are no reason.
        """
        ...

    def run(
        self,
        on_delivery: Callable[[Delivery], None],
        stop: threading.Event,
        on_active: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand deliveries to ``on_delivery`` (which must not block) until ``stop``; reconnects by itself.

        ``on_active`` (which must not block either) is called each time it becomes the active one.

        Waits as a standby while another process is active, and for a broker that is away or refuses: whoever sets up
        its virtual host, login or queue may do so later. Returns once ``stop`` is set and what was settled before is
        on its way.
        """
        ...

    def pause(self) -> None:
        """Take no more deliveries (those already handed out may still be settled)."""
        ...

    def resume(self) -> None:
        """Take deliveries again."""
        ...


class Publisher(Protocol):
    """Publishes with confirms from one thread of its own; safe to call from any thread."""

    @property
    def blocked(self) -> str | None:
        """That the broker blocks publishing, since when and why, in a sentence; None while it does not."""
        ...

    def wrong(self) -> str | None:
        """What a restart of the process may mend, in a sentence: its thread ended or hangs; None while it does not."""
        ...

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        """Declare ``queue`` (durable, no arguments) and publish to it, persistent and mandatory.

        The future is done when the broker has confirmed, or fails with :class:`lando.errors.Unavailable`
        after bounded tries. A legacy pickle is published with neither content type nor message id.
        """
        ...

    def announce(self, exchange: str, routing_key: str, body: bytes) -> Future[None]:
        """Publish to an exchange that somebody else has made, persistent, mandatory and with no other property.

        The future is as :meth:`publish` promises; it fails, too, while no queue is bound there.
        """
        ...

    def notify(self, body: bytes) -> None:
        """Send a progress notice to the fanout exchange ``job_status``; never raises, never waits, may be dropped."""
        ...

    def depths(self, queue: str, delays_s: Sequence[float] = DELAYS_S) -> Future[Mapping[str, int]]:
        """How many messages nobody has taken: ``ready`` in ``queue``, ``delayed`` on its ladder, ``dead`` beside it.

        One try; the future fails with :class:`lando.errors.Unavailable`.
        """
        ...

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush what is under way, at most ``timeout_s`` seconds, then disconnect."""
        ...


def consumer(settings: WorkQueueSettings, *, prefetch: int) -> Consumer:
    """A consumer of ``settings.listen_queue`` with at most ``prefetch`` unsettled deliveries; connects in ``run``.

    Raises :class:`lando.errors.ConfigError` for settings that name no broker.
    """
    if (name := _memory_name(settings)) is not None:
        from lando.queues import memory

        return memory.broker(name).consumer(settings.listen_queue, prefetch=prefetch)
    from lando.queues.rabbitmq.consumer import RabbitConsumer

    return RabbitConsumer(settings, prefetch=prefetch)


def publisher(settings: WorkQueueSettings) -> Publisher:
    """A publisher to any queue of the broker; connects when there is something to publish.

    Raises :class:`lando.errors.ConfigError` for settings that name no broker.
    """
    if (name := _memory_name(settings)) is not None:
        from lando.queues import memory

        return memory.broker(name).publisher()
    from lando.queues.rabbitmq.publisher import RabbitPublisher

    return RabbitPublisher(settings)


def dead_letters(settings: WorkQueueSettings) -> DeadLetters:
    """What lies in the dead-letter queue of ``settings.listen_queue``; connects in ``visit``.

    Raises :class:`lando.errors.ConfigError` for settings that name no broker.
    """
    if (name := _memory_name(settings)) is not None:
        from lando.queues import memory

        return memory.broker(name).dead_letters(settings.listen_queue)
    from lando.queues.rabbitmq.dead_letters import RabbitDeadLetters

    return RabbitDeadLetters(settings)


def _memory_name(settings: WorkQueueSettings) -> str | None:
    scheme, _, name = (settings.url or "").partition("://")
    return name.strip("/") or "lando" if scheme == "memory" else None
