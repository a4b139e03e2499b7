"""Publishing to RabbitMQ: one thread, one connection, each message confirmed before its future is done."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.pulse import Pulse
from lando.queues import DELAYS_S, STUCK_S, ladder
from lando.queues.rabbitmq.blockage import Blockage
from lando.queues.rabbitmq.link import LASTING, QUEUE_FULL, Link, backoff_s, connect
from lando.queues.rabbitmq.parameters import Brokers

TRIES = 6
"""Attempts to publish one message, over new channels and connections."""
PUBLISH_TIMEOUT_S = 60.0
"""How long a message may take from :meth:`RabbitPublisher.publish` to its last try."""
MAX_PENDING = 10_000
"""Messages that wait for the thread; beyond that publishing fails at once."""
MAX_NOTICES = 1_000
"""Notices that wait; beyond that new ones are dropped."""
IDLE_S = 30.0
"""How long the thread serves an idle connection before it looks around; work wakes it at once."""
NOTICE_EXCHANGE = "job_status"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One message on its way out."""

    queue: str
    body: bytes = field(repr=False)
    content_type: str | None = None
    message_id: str | None = None
    headers: Mapping[str, Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the queue's declaration; empty for any queue that others declare too."""
    exchange: str = ""
    """Else of somebody else, who has made it; ``queue`` is the routing key then."""
    deadline: float = field(default_factory=lambda: time.monotonic() + PUBLISH_TIMEOUT_S)
    confirmed: Future[None] = field(default_factory=Future)
    context: Context = field(default_factory=copy_context, repr=False)
    """Of whoever sends it, for what is logged about it."""


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """Which queues to count, by what they are counted as."""

    queues: Mapping[str, Sequence[str]]
    knock_at: str
    """The queue of :meth:`RabbitPublisher._knock`."""
    counted: Future[Mapping[str, int]] = field(default_factory=Future)


class RabbitPublisher:
    """Publishes with confirms; connects at the first message and again whenever it has to."""

    def __init__(self, settings: WorkQueueSettings) -> None:
        self._brokers = Brokers(settings)
        self._blockage = Blockage()
        self._changed = threading.Condition()
        self._pending: deque[Outgoing] = deque()
        self._notices: deque[bytes] = deque()
        self._inquiry: Inquiry | None = None
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("The thread that publishes", STUCK_S)
        self._closing = False
        self._has_failed = False
        self._link: Link | None = None
        """Changed by the thread alone, with the lock held."""
        self._commands: BlockingChannel | None = None
        self._declared: set[str] = set()
        """Queues declared on the channel ``_commands``."""
        self._notifying: BlockingChannel | None = None
        self._knocking: BlockingChannel | None = None

    @property
    def blocked(self) -> str | None:
        return self._blockage.told

    def wrong(self) -> str | None:
        return "The thread that publishes has ended." if self._has_failed else self._pulse.wrong()

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        return self.send(Outgoing(queue=queue, body=body, content_type=content_type, message_id=message_id))

    def send(self, outgoing: Outgoing) -> Future[None]:
        """Publish any message; the future is as :meth:`publish` promises."""
        with self._changed:
            if not self._closing and len(self._pending) < MAX_PENDING:
                self._pending.append(outgoing)
                self._wake()
                return outgoing.confirmed
        told = "the publisher is closed" if self._closing else f"{MAX_PENDING} messages wait to be published already"
        _fail(outgoing, Unavailable("broker", told))
        return outgoing.confirmed

    def announce(self, exchange: str, routing_key: str, body: bytes) -> Future[None]:
        return self.send(Outgoing(exchange=exchange, queue=routing_key, body=body))

    def depths(self, queue: str, delays_s: Sequence[float] = DELAYS_S) -> Future[Mapping[str, int]]:
        delayed = [ladder.delay_queue(queue, delay_s) for delay_s in delays_s]
        inquiry = Inquiry(
            queues={"ready": [queue], "delayed": delayed, "dead": [ladder.dead_queue(queue)]},
            knock_at=ladder.active_queue(queue),
        )
        with self._changed:
            if self._closing:
                inquiry.counted.set_exception(Unavailable("broker", "the publisher is closed"))
                return inquiry.counted
            if self._inquiry is not None:  # asked again before the answer came
                self._inquiry.counted.cancel()
            self._inquiry = inquiry
            self._wake()
        return inquiry.counted

    def notify(self, body: bytes) -> None:
        with self._changed:
            if not self._closing and len(self._notices) < MAX_NOTICES:
                self._notices.append(body)
                self._wake()
                return
        log.warning("A progress notice was dropped: %d wait already, or the publisher is closed", MAX_NOTICES)

    def close(self, timeout_s: float = 5.0) -> None:
        with self._changed:
            self._closing = True
            thread = self._thread
            if thread is None:
                return
            self._wake()
        thread.join(timeout_s)
        self._give_up()

    # -- the thread -------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Make the thread look at its queues; the lock is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="lando-publisher", daemon=True)
            self._thread.start()
        self._changed.notify_all()
        if self._link is not None:
            self._link.call(_nothing)

    def _work(self) -> None:
        try:
            while (work := self._next()) is not None:
                if isinstance(work, Outgoing):
                    work.context.run(self._publish, work)
                elif isinstance(work, Inquiry):
                    self._count(work)
                else:
                    self._notify(work)
        finally:  # whatever happens, nobody waits for a thread that has ended
            self._has_failed = not self._closing
            self._pulse.rest()
            self._drop()
            self._give_up()

    def _next(self) -> Outgoing | Inquiry | bytes | None:
        """The next thing to do, messages before all else; None when all is sent and the publisher is closed."""
        while True:
            self._pulse.beat()
            with self._changed:
                if self._pending:
                    return self._pending.popleft()
                if (inquiry := self._inquiry) is not None:
                    self._inquiry = None
                    return inquiry
                if self._notices:
                    return self._notices.popleft()
                if self._closing:
                    return None
                idle = self._link
                if idle is None:
                    self._pulse.rest()
                    self._changed.wait()
                    continue
            try:
                idle.serve(IDLE_S)
            except Unavailable as error:
                log.info("The idle publishing connection was lost: %s", error)
                self._drop()

    def _publish(self, outgoing: Outgoing) -> None:
        if not outgoing.confirmed.set_running_or_notify_cancel():
            return
        error = Unavailable("broker", "the message waited too long to be published")
        try:
            for attempt in range(TRIES):
                if attempt:
                    self._pause(backoff_s(attempt), outgoing.deadline)
                if time.monotonic() > outgoing.deadline or (attempt and self._closing):
                    break
                self._pulse.beat()
                try:
                    self._publish_once(outgoing)
                except Unavailable as failure:
                    error = failure
                    queue, number = outgoing.queue, attempt + 1
                    log.warning("Publishing to %s failed (try %d of %d): %s", queue, number, TRIES, failure)
                    if failure.reason in LASTING:
                        break
                else:
                    outgoing.confirmed.set_result(None)
                    break
        finally:
            if not outgoing.confirmed.done():
                outgoing.confirmed.set_exception(error)

    def _publish_once(self, outgoing: Outgoing) -> None:
        queue = outgoing.queue
        with self._connected() as link, link.limit():
            if self._commands is None or self._commands.is_closed:
                self._commands, self._declared = link.connection.channel(), set()
                self._commands.confirm_delivery()
            if queue not in self._declared and not outgoing.exchange:
                self._commands.queue_declare(queue, durable=True, arguments=dict(outgoing.arguments) or None)
                self._declared.add(queue)
            try:
                self._commands.basic_publish(
                    outgoing.exchange, queue, outgoing.body, _properties(outgoing), mandatory=True
                )
            except pika.exceptions.UnroutableError:
                if outgoing.exchange:
                    raise Unavailable("broker", f"no queue is bound to the exchange {outgoing.exchange}") from None
                self._declared.discard(queue)
                raise Unavailable("broker", f"the queue {queue} was gone") from None
            except pika.exceptions.NackError:
                told = f"the queue {queue} did not take the message; it may be full"
                raise Unavailable("broker", told, reason=QUEUE_FULL) from None
        self._blockage.ends()

    def _notify(self, body: bytes) -> None:
        """One try: a notice tells of a state that the next one tells anew."""
        try:
            with self._connected() as link, link.limit():
                if self._notifying is None or self._notifying.is_closed:
                    self._notifying = link.connection.channel()
                    # As every other sender declares it; anything else would end their channels.
                    self._notifying.exchange_declare(NOTICE_EXCHANGE, "fanout", durable=False)
                self._notifying.basic_publish(NOTICE_EXCHANGE, "", body, pika.BasicProperties(delivery_mode=2))
        except Unavailable as error:
            log.warning("A progress notice was dropped: %s", error)

    def _count(self, inquiry: Inquiry) -> None:
        """One try, on channels of its own: the broker ends the one on which a queue is asked for that is not there."""
        if not inquiry.counted.set_running_or_notify_cancel():
            return
        try:
            found = {what: sum(self._ready_in(queue) for queue in queues) for what, queues in inquiry.queues.items()}
        except Unavailable as error:
            inquiry.counted.set_exception(error)
        else:
            inquiry.counted.set_result(found)
            self._knock(inquiry.knock_at)

    def _knock(self, queue: str) -> None:
        """Have the broker say whether it blocks publishing: it tells nobody but who publishes.

        What is published is empty and nobody waits for it: the holder of ``<queue>.active`` throws it away.
        """
        try:
            with self._connected() as link, link.limit():
                if self._knocking is None or self._knocking.is_closed:
                    self._knocking = link.connection.channel()
                self._knocking.basic_publish("", queue, b"")
        except Unavailable as error:
            log.info("Whether the broker takes messages is not known: %s", error)

    def _ready_in(self, queue: str) -> int:
        with self._connected() as link, link.limit():
            if link.blocked:  # it would not even read the question
                raise Unavailable("broker", f"it blocks publishing ({link.blocked})")
            channel = link.connection.channel()
            try:
                count: int = channel.queue_declare(queue, passive=True).method.message_count
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code == 404:  # nothing has ever gone there
                    return 0
                raise
            channel.close()
            return count

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Link]:
        """The connection, new where need be; given up when more than a channel breaks inside."""
        link = self._link
        if link is None or not link.is_open:
            self._drop()
            link = connect(self._brokers.now(), "publisher")
            link.watch_blocking(self._blockage)
            with self._changed:
                self._link = link
        try:
            with link.errors():
                yield link
        except Unavailable as error:
            if error.__cause__ is not None and not isinstance(error.__cause__, pika.exceptions.ChannelClosedByBroker):
                self._drop()
            raise

    def _drop(self) -> None:
        with self._changed:
            link, self._link = self._link, None
        self._commands = self._notifying = self._knocking = None
        if link is not None:
            link.close()
        self._blockage.is_out_of_sight()

    def _give_up(self) -> None:
        """Take nothing more, and fail what has not been sent."""
        with self._changed:
            self._closing = True
            left, self._pending = self._pending, deque()
            inquiry, self._inquiry = self._inquiry, None
            self._notices.clear()
        for outgoing in left:
            _fail(outgoing, Unavailable("broker", "the publisher was closed before this message was sent"))
        if inquiry is not None and inquiry.counted.set_running_or_notify_cancel():
            inquiry.counted.set_exception(Unavailable("broker", "the publisher was closed before it could ask"))

    def _pause(self, seconds: float, deadline: float) -> None:
        """Wait before the next try; not when the publisher is closed meanwhile, nor beyond ``deadline``."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=max(min(seconds, deadline - time.monotonic()), 0.0))


def _properties(outgoing: Outgoing) -> pika.BasicProperties:
    return pika.BasicProperties(
        delivery_mode=2,
        content_type=outgoing.content_type,
        message_id=outgoing.message_id,
        headers=dict(outgoing.headers) if outgoing.headers else None,
    )


def _fail(outgoing: Outgoing, error: Unavailable) -> None:
    if outgoing.confirmed.set_running_or_notify_cancel():
        outgoing.confirmed.set_exception(error)


def _nothing() -> None:
    """For waking the thread."""
