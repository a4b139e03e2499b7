"""A broker inside the process, for embedded mode and tests: RabbitMQ's promises, kept by one lock.

A queue exists from its first use. What is unsettled when its consumer ends is delivered again, in its old
place; what failed waits on the ladder; what is dead is kept apart with its reason. Nothing outlives the
process: that is what resync at start is for.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from lando.errors import Unavailable
from lando.pulse import Pulse
from lando.queues import DELAYS_S, STUCK_S, Delivery, ladder
from lando.queues.dead import DeadLetter, Fate, letter

MAX_MESSAGES = 100_000
"""Messages a queue holds, delayed ones included; beyond that, publishing fails as with a full broker."""
MAX_DEAD = 1_000
"""Dead messages kept per queue; the oldest goes first."""
MAX_NOTICES = 1_000
"""Notices a listener may leave unread; the oldest goes first."""
STOP_CHECK_S = 0.2
"""How often a waiting consumer looks at its stop event, in seconds; all else wakes it at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, order=True)
class StoredMessage:
    """A message as the broker keeps it."""

    number: int
    """Its place: lower numbers are delivered first."""
    body: bytes = field(compare=False, repr=False)
    content_type: str | None = field(default=None, compare=False)
    message_id: str | None = field(default=None, compare=False)
    headers: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Those of :mod:`.ladder`."""


@dataclass
class _Queue:
    ready: list[StoredMessage] = field(default_factory=list)
    """A heap by number."""
    delayed: list[tuple[float, StoredMessage]] = field(default_factory=list)
    """A heap by the moment, on the broker's clock, at which the message is ready again."""
    unsettled: dict[int, StoredMessage] = field(default_factory=dict)
    """By delivery tag."""
    dead: deque[DeadLetter] = field(default_factory=lambda: deque(maxlen=MAX_DEAD))
    active: MemoryConsumer | None = None
    """Who holds ``<queue>.active``."""

    def __len__(self) -> int:
        return len(self.ready) + len(self.delayed) + len(self.unsettled)


class MemoryBroker:
    """Queues and listeners; :func:`broker` gives everyone in the process the one of a name."""

    def __init__(self, *, delays_s: Sequence[float] = DELAYS_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = threading.Condition()
        """Held for every look at or change of a queue."""
        self.delays_s = tuple(delays_s)
        self._clock = clock
        self._queues: dict[str, _Queue] = {}
        self._listeners: list[deque[bytes]] = []
        self._numbers = itertools.count(1)

    def consumer(self, queue: str, *, prefetch: int) -> MemoryConsumer:
        """A consumer of ``queue`` with at most ``prefetch`` unsettled deliveries."""
        return MemoryConsumer(self, queue, prefetch)

    def publisher(self) -> MemoryPublisher:
        """A publisher to every queue."""
        return MemoryPublisher(self)

    def dead_letters(self, queue: str) -> MemoryDeadLetters:
        """What an operator may do with the dead letters of ``queue``."""
        return MemoryDeadLetters(self, queue)

    def listen(self) -> deque[bytes]:
        """A listener of ``job_status``: its notices from now on, oldest first."""
        with self.changed:
            notices: deque[bytes] = deque(maxlen=MAX_NOTICES)
            self._listeners.append(notices)
            return notices

    def depth(self, queue: str) -> int:
        """How many messages ``queue`` holds: ready, delayed and delivered but unsettled."""
        with self.changed:
            return len(self.queue(queue))

    def dead(self, queue: str) -> list[DeadLetter]:
        """What lies in ``<queue>.dead``, oldest first."""
        with self.changed:
            return list(self.queue(queue).dead)

    def wake(self) -> None:
        """Look at the clock again; for a clock that is moved by hand."""
        with self.changed:
            self.changed.notify_all()

    def publish(
        self,
        queue: str,
        body: bytes,
        *,
        content_type: str | None,
        message_id: str | None,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        """Append to ``queue``; raises :class:`Unavailable` when it is full."""
        with self.changed:
            held = self.queue(queue)
            if len(held) >= MAX_MESSAGES:
                raise Unavailable("broker", f"the queue {queue} holds {MAX_MESSAGES} messages and takes no more")
            message = StoredMessage(
                number=next(self._numbers),
                body=body,
                content_type=content_type,
                message_id=message_id,
                headers=headers or {},
            )
            heapq.heappush(held.ready, message)
            self.changed.notify_all()

    def notify(self, body: bytes) -> None:
        """Give ``body`` to every listener."""
        with self.changed:
            for notices in self._listeners:
                notices.append(body)

    # -- for consumers, who hold ``changed`` ------------------------------------------------------------------

    def queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue())

    def take(self, name: str) -> tuple[int, StoredMessage] | None:
        """The next ready message of a queue, now unsettled, with a new delivery tag."""
        held, now = self.queue(name), self._clock()
        while held.delayed and held.delayed[0][0] <= now:
            _, message = heapq.heappop(held.delayed)
            heapq.heappush(held.ready, replace(message, number=next(self._numbers)))
        if not held.ready:
            return None
        tag = next(self._numbers)
        held.unsettled[tag] = heapq.heappop(held.ready)
        return tag, held.unsettled[tag]

    def until_next(self, name: str) -> float:
        """Seconds until a delayed message of the queue is ready, at most :data:`STOP_CHECK_S`."""
        delayed = self.queue(name).delayed
        return min(max(delayed[0][0] - self._clock(), 0.0), STOP_CHECK_S) if delayed else STOP_CHECK_S

    def settle(self, name: str, tag: int, *, requeue: bool = False, rung: ladder.Rung | None = None) -> None:
        """Take the message of ``tag`` out of the unsettled ones and put it where it belongs now."""
        with self.changed:
            held = self.queue(name)
            message = held.unsettled.pop(tag, None)
            if message is None:  # settled before, or delivered again since
                return
            if requeue:
                heapq.heappush(held.ready, message)
            elif rung is not None and rung.queue == ladder.dead_queue(name):
                log.warning("A message of %s was put aside: %s", name, rung.headers[ladder.LAST_REASON])
                if len(held.dead) == MAX_DEAD:
                    log.error(
                        "The oldest dead letter of %s goes, as %d lie there: %s", name, MAX_DEAD, held.dead[0].reason
                    )
                held.dead.append(
                    letter(message.body, rung.headers, content_type=message.content_type, message_id=message.message_id)
                )
            elif rung is not None:
                due = self._clock() + self.delays_s[ladder.failures(rung.headers) - 1]
                heapq.heappush(held.delayed, (due, replace(message, headers=rung.headers)))
            self.changed.notify_all()


class MemoryDelivery:
    """One message in a consumer's hands."""

    def __init__(self, broker: MemoryBroker, queue: str, tag: int, message: StoredMessage) -> None:
        self._broker = broker
        self._queue = queue
        self._tag = tag
        self._message = message

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def failures(self) -> int:
        return ladder.failures(self._message.headers)

    @property
    def was_tried(self) -> bool:
        return ladder.was_tried(self._message.headers)

    def ack(self) -> None:
        self._broker.settle(self._queue, self._tag)

    def requeue(self) -> None:
        self._broker.settle(self._queue, self._tag, requeue=True)

    def retry(self, reason: str) -> None:
        rung = ladder.after_failure(self._queue, self._message.headers, reason, self._broker.delays_s)
        self._broker.settle(self._queue, self._tag, rung=rung)

    def postpone(self, reason: str) -> None:
        rung = ladder.postponed(self._queue, self._message.headers, reason, self._broker.delays_s)
        self._broker.settle(self._queue, self._tag, rung=rung)

    def dead(self, reason: str) -> None:
        self._broker.settle(self._queue, self._tag, rung=ladder.dead(self._queue, self._message.headers, reason))


class MemoryConsumer:
    """Takes deliveries from one queue of a :class:`MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, queue: str, prefetch: int) -> None:
        if prefetch < 1:
            raise ValueError("prefetch must be at least 1")
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._paused = False
        self._pulse = Pulse(f"The thread that consumes from {queue}", STUCK_S)

    @property
    def active(self) -> bool:
        with self._broker.changed:
            return self._broker.queue(self._queue).active is self

    @property
    def is_standby(self) -> bool:
        with self._broker.changed:
            return self._broker.queue(self._queue).active not in (None, self)

    @property
    def waits_for(self) -> str | None:
        return None if self.active else f"Another consumer is active on {self._queue}."

    def wrong(self) -> str | None:
        return self._pulse.wrong()

    def run(
        self,
        on_delivery: Callable[[Delivery], None],
        stop: threading.Event,
        on_active: Callable[[], None] = lambda: None,
    ) -> None:
        was_active = False
        try:
            while not stop.is_set():
                self._pulse.beat()
                is_active = self._take_lease()
                if is_active and not was_active:
                    on_active()
                was_active = is_active
                if (delivery := self._next(stop)) is not None:
                    on_delivery(delivery)
        finally:
            self._pulse.rest()
            self._leave()

    def pause(self) -> None:
        with self._broker.changed:
            self._paused = True

    def resume(self) -> None:
        with self._broker.changed:
            self._paused = False
            self._broker.changed.notify_all()

    def _take_lease(self) -> bool:
        """Whether this is the active one, which it becomes where there is none."""
        with self._broker.changed:
            held = self._broker.queue(self._queue)
            if held.active is None:
                held.active = self
            return held.active is self

    def _next(self, stop: threading.Event) -> Delivery | None:
        """The next delivery, or None when there was none for a while."""
        with self._broker.changed:
            held = self._broker.queue(self._queue)
            if held.active is self and not self._paused and len(held.unsettled) < self._prefetch:
                taken = self._broker.take(self._queue)
                if taken is not None:
                    return MemoryDelivery(self._broker, self._queue, *taken)
            if not stop.is_set():
                self._broker.changed.wait(self._broker.until_next(self._queue))
            return None

    def _leave(self) -> None:
        """What is unsettled is delivered again, and someone else may be active."""
        with self._broker.changed:
            held = self._broker.queue(self._queue)
            if held.active is self:
                held.active = None
                for message in held.unsettled.values():
                    heapq.heappush(held.ready, message)
                held.unsettled.clear()
            self._broker.changed.notify_all()


class MemoryPublisher:
    """Publishes to a :class:`MemoryBroker`; what it takes is confirmed at once."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._closed = False

    @property
    def blocked(self) -> str | None:
        return None

    def wrong(self) -> str | None:
        return None

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        confirmed: Future[None] = Future()
        try:
            if self._closed:
                raise Unavailable("broker", "the publisher is closed")
            self._broker.publish(queue, body, content_type=content_type, message_id=message_id)
        except Unavailable as error:
            confirmed.set_exception(error)
        else:
            confirmed.set_result(None)
        return confirmed

    def announce(self, exchange: str, routing_key: str, body: bytes) -> Future[None]:
        refused: Future[None] = Future()
        refused.set_exception(Unavailable("broker", f"the broker within the process has no exchange {exchange}"))
        return refused

    def depths(self, queue: str, delays_s: Sequence[float] = DELAYS_S) -> Future[Mapping[str, int]]:
        counted: Future[Mapping[str, int]] = Future()
        if self._closed:
            counted.set_exception(Unavailable("broker", "the publisher is closed"))
            return counted
        with self._broker.changed:
            held = self._broker.queue(queue)
            counted.set_result({"ready": len(held.ready), "delayed": len(held.delayed), "dead": len(held.dead)})
        return counted

    def notify(self, body: bytes) -> None:
        if not self._closed:
            self._broker.notify(body)

    def close(self, timeout_s: float = 5.0) -> None:
        self._closed = True


class MemoryDeadLetters:
    """The dead letters of one queue of a :class:`MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, queue: str) -> None:
        self._broker = broker
        self._queue = queue

    def visit(self, judge: Callable[[DeadLetter], Fate], *, limit: int) -> int:
        letters = self._broker.dead(self._queue)
        for one in letters[:limit]:
            if (fate := judge(one)) is not Fate.KEEP:
                self._take_out(one, again=fate is Fate.RETRY)
        return len(letters)

    def _take_out(self, one: DeadLetter, *, again: bool) -> None:
        with self._broker.changed:
            lying = self._broker.queue(self._queue).dead
            if not any(other is one for other in lying):  # another visitor was first, or it was the oldest of too many
                return
            if again:
                self._broker.publish(
                    self._queue,
                    one.body,
                    content_type=one.content_type,
                    message_id=one.message_id,
                    headers=ladder.again(one.headers),
                )
            left = [other for other in lying if other is not one]
            lying.clear()
            lying.extend(left)


_brokers: dict[str, MemoryBroker] = {}
_brokers_lock = threading.Lock()


def broker(name: str) -> MemoryBroker:
    """The broker of ``memory://NAME`` in this process, made at its first mention."""
    with _brokers_lock:
        return _brokers.setdefault(name, MemoryBroker())
