"""One spell of consuming: a connection, the right to be the one at work, a channel and its deliveries.

A delivery belongs to its session and ends with it; the tags of an old channel are never settled on a new one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pika.exceptions
import pika.spec
from pika.adapters.blocking_connection import BlockingChannel

from lando.errors import Unavailable
from lando.metrics import DEAD_REFUSED
from lando.queues import Delivery, ladder
from lando.queues.rabbitmq.link import Link
from lando.queues.rabbitmq.publisher import Outgoing, RabbitPublisher

STOP_CHECK_S = 0.2
"""How often a waiting consumer looks at its stop event, in seconds; all else wakes it at once."""
RETURN_S = 5.0
"""How long a message is held that neither a delay nor the dead letters take, before it goes back, in seconds."""
DRAIN_S = 10.0
"""How long an ending session waits for what was settled before, in seconds."""
SILENT_HEARTBEATS = 1.25
"""After so many heartbeats' time without a byte we are no longer active. The broker sends something every half; what it
heard of us last is half of one older than the loss of the network at most, and it waits for two: so it gives our place
away a quarter of one later at the earliest."""

log = logging.getLogger(__name__)


class Session:
    """What :class:`RabbitConsumer` has between connecting and losing the connection."""

    def __init__(
        self,
        link: Link,
        publisher: RabbitPublisher,
        *,
        queue: str,
        prefetch: int,
        delays_s: Sequence[float],
        beat: Callable[[], None],
    ) -> None:
        """``beat`` is called at every turn."""
        self.queue = queue
        self.delays_s = delays_s
        self.publisher = publisher
        self._link = link
        self._prefetch = prefetch
        self._beat = beat
        self._channel: BlockingChannel | None = None
        self._consumer_tag: str | None = None
        self.has_served = False
        """Whether the broker accepted all that consuming takes."""
        self.is_standby = False
        """Whether another process was the active one at the last look."""
        self._held = False
        self._ended: str | None = None
        """Why the broker ended our consuming, if it did."""
        self._silence_s = SILENT_HEARTBEATS * link.heartbeat_s
        self._received = 0
        self._turned_at = self._heard_at = _now()
        self._lock = threading.Lock()
        self._unsettled: set[int] = set()
        self._settling = 0
        """Deliveries whose settlement was asked for and is not written yet."""

    @property
    def active(self) -> bool:
        """Whether the broker can't have given our place to someone else; once False, for good."""
        return self._held and self._link.is_open and _now() - self._heard_at < self._silence_s

    @property
    def waits_for(self) -> str | None:
        """What it waits for, in a sentence; None while it is at work, and before that is known."""
        if self.is_standby:
            return f"Another process is active on {self.queue}."
        if self._held and not self.active:
            return f"The broker has been silent for {time.monotonic() - self._heard_at:.0f} s."
        return None

    def wait_for_lease(self, stop: threading.Event, standby_s: float) -> bool:
        """Become the one at work, trying every ``standby_s`` seconds; False when ``stop`` came first."""
        while not stop.is_set():
            if self._take_lease():
                self.is_standby = False
                return True
            if not self.is_standby:
                log.info("Standing by: another process is active on %s", self.queue)
                self.is_standby = True
            again_at = time.monotonic() + standby_s
            while not stop.is_set() and (left := again_at - time.monotonic()) > 0:
                self._beat()
                self._link.serve(min(left, STOP_CHECK_S))
        return False

    def serve(self, on_delivery: Callable[[Delivery], None], stop: threading.Event, paused: threading.Event) -> None:
        """Hand out deliveries until ``stop``, then wait for what was settled; raises :class:`Unavailable`."""
        with self._link.errors(), self._link.limit():
            channel = self._channel = self._link.connection.channel()
            channel.add_on_cancel_callback(self._on_cancel)
            channel.queue_declare(self.queue, durable=True)
            channel.basic_qos(prefetch_count=self._prefetch)

        def on_message(
            _channel: BlockingChannel, method: pika.spec.Basic.Deliver, properties: pika.BasicProperties, body: bytes
        ) -> None:
            with self._lock:
                self._unsettled.add(method.delivery_tag)
            on_delivery(RabbitDelivery(self, method.delivery_tag, body, properties))

        while not stop.is_set():
            if (self._consumer_tag is None) is not paused.is_set():
                self._consume(channel, None if paused.is_set() else on_message)
            self.has_served = True
            self._turn(channel)
        self._consume(channel, None)
        drained_at = time.monotonic() + DRAIN_S
        while self._settling and time.monotonic() < drained_at:
            self._turn(channel)

    def wake(self) -> None:
        """Look at the pause again; from any thread."""
        self._link.call(_nothing)

    def close(self) -> None:
        """Give up place and deliveries: the broker delivers what is unsettled again."""
        self._held = False
        with self._lock:
            self._unsettled.clear()
        self._link.close()

    # -- settling, from any thread ----------------------------------------------------------------------------

    def begin_settling(self, tag: int) -> bool:
        """Whether the delivery is still to be settled, which then is the caller's to do."""
        with self._lock:
            if tag not in self._unsettled:
                return False
            self._unsettled.remove(tag)
            self._settling += 1
            return True

    def settle(self, tag: int, *, requeue: bool, delay_s: float = 0.0) -> None:
        """Write the settlement in the connection's own thread; in vain when the connection is lost.

        Nobody waits for one that is delayed: a delivery that is unsettled at the end goes back by itself.
        """

        def begin() -> None:
            with self._lock:
                self._settling -= 1
            if delay_s:
                self._link.connection.call_later(delay_s, write)
            else:
                write()

        def write() -> None:
            channel = self._channel
            if channel is None or not channel.is_open:
                return
            if requeue:
                channel.basic_nack(tag, requeue=True)
            else:
                channel.basic_ack(tag)

        self._link.call(begin)

    # -- the connection's thread ------------------------------------------------------------------------------

    def _take_lease(self) -> bool:
        """Declare ``<queue>.active`` for this connection alone.

        The queue is classic because other types can't be exclusive, whatever the virtual host's default; it is
        consumed from only to learn of its deletion, which would let someone else in.
        """
        name, asked_at = ladder.active_queue(self.queue), _now()
        with self._link.errors(), self._link.limit():
            channel = self._link.connection.channel()
            try:
                channel.queue_declare(name, exclusive=True, arguments={"x-queue-type": "classic"})
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code == 405:  # RESOURCE_LOCKED: another connection has it
                    return False
                raise
            channel.add_on_cancel_callback(self._on_cancel)
            channel.basic_consume(name, lambda *_: None, auto_ack=True)
        self._turned_at = self._heard_at = asked_at
        self._held = True
        log.info("Active on %s", self.queue)
        return True

    def _consume(self, channel: BlockingChannel, on_message: Callable[..., None] | None) -> None:
        """Consume with ``on_message``, or stop consuming."""
        with self._link.errors(), self._link.limit():
            if self._consumer_tag is not None:
                channel.basic_cancel(self._consumer_tag)
                self._consumer_tag = None
            if on_message is not None:
                self._consumer_tag = channel.basic_consume(self.queue, on_message)

    def _turn(self, channel: BlockingChannel) -> None:
        self._beat()
        self._link.serve(STOP_CHECK_S)
        self._hear()
        if self._ended is not None or not channel.is_open:
            self._held = False
            raise Unavailable(
                "broker", self._ended or f"the channel of {self.queue} was closed; the broker's log says why"
            )

    def _hear(self) -> None:
        """Note when the broker was heard; raises :class:`Unavailable` when that was too long ago.

        What is read now may have lain in the system's buffers while this whole process was stopped. It came after the
        turn before this one at least, so that is what counts; and who was silent once does not become active again
        by such old news: the broker may have let someone else in.
        """
        now = _now()
        if now - self._heard_at >= self._silence_s:
            self._held = False
            raise Unavailable("broker", f"nothing was heard of it for {now - self._heard_at:.1f} s")
        if (received := self._link.bytes_received) != self._received:
            self._received, self._heard_at = received, self._turned_at
        self._turned_at = now

    def _on_cancel(self, _method: object) -> None:
        self._held = False
        self._ended = f"the queue {self.queue} or {ladder.active_queue(self.queue)} was deleted or has moved"


class RabbitDelivery:
    """One message in our hands."""

    def __init__(self, session: Session, tag: int, body: bytes, properties: pika.BasicProperties) -> None:
        self._session = session
        self._tag = tag
        self._body = body
        self._properties = properties

    @property
    def body(self) -> bytes:
        return self._body

    @property
    def failures(self) -> int:
        return ladder.failures(self._properties.headers)

    @property
    def was_tried(self) -> bool:
        return ladder.was_tried(self._properties.headers)

    def ack(self) -> None:
        if self._session.begin_settling(self._tag):
            self._session.settle(self._tag, requeue=False)

    def requeue(self) -> None:
        if self._session.begin_settling(self._tag):
            self._session.settle(self._tag, requeue=True)

    def retry(self, reason: str) -> None:
        if self._session.begin_settling(self._tag):
            session = self._session
            rung = ladder.after_failure(session.queue, self._properties.headers, reason, session.delays_s)
            if rung.queue == ladder.dead_queue(session.queue):
                self._put_aside(reason)
            else:
                self._move(rung, self._return)

    def postpone(self, reason: str) -> None:
        if self._session.begin_settling(self._tag):
            session = self._session
            rung = ladder.postponed(session.queue, self._properties.headers, reason, session.delays_s)
            self._move(rung, self._return)

    def dead(self, reason: str) -> None:
        if self._session.begin_settling(self._tag):
            self._put_aside(reason)

    def _put_aside(self, reason: str) -> None:
        """To the dead letters; where they do not take it, it comes back after the longest delay, out of others' way."""
        session, headers = self._session, self._properties.headers

        def delay() -> None:
            DEAD_REFUSED.inc()
            log.error("A message of %s could not be put aside and will come again: %s", session.queue, reason)
            self._move(ladder.postponed(session.queue, headers, reason, session.delays_s), self._return)

        self._move(ladder.dead(session.queue, headers, reason), delay)

    def _return(self) -> None:
        """Back to its place, after a while: what keeps it from going elsewhere may last."""
        self._session.settle(self._tag, requeue=True, delay_s=RETURN_S)

    def _move(self, rung: ladder.Rung, otherwise: Callable[[], None]) -> None:
        """Publish to ``rung``, and only then acknowledge; do what is to be done ``otherwise`` where that fails."""
        moved = self._session.publisher.send(
            Outgoing(
                queue=rung.queue,
                body=self._body,
                content_type=self._properties.content_type,
                message_id=self._properties.message_id,
                headers=rung.headers,
                arguments=rung.arguments,
            )
        )
        log.warning("A message of %s goes to %s: %s", self._session.queue, rung.queue, rung.headers[ladder.LAST_REASON])

        def settle(done: Future[None]) -> None:
            if done.exception() is None:
                self._session.settle(self._tag, requeue=False)
            else:
                otherwise()

        moved.add_done_callback(settle)


def _now() -> float:
    """Seconds on a clock that also goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _nothing() -> None:
    """For waking a thread."""
