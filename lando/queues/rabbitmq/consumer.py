"""Consuming from RabbitMQ: deliveries of one queue, by one process at a time, through every loss of connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.pulse import Pulse
from lando.queues import DELAYS_S, STUCK_S, Delivery
from lando.queues.rabbitmq.link import backoff_s, connect
from lando.queues.rabbitmq.parameters import Brokers
from lando.queues.rabbitmq.publisher import RabbitPublisher
from lando.queues.rabbitmq.session import Session

STANDBY_S = 0.5
"""How often a standby tries to become active, in seconds."""
STABLE_S = 60.0
"""A session of this length was a good one: the waits between tries begin anew."""

log = logging.getLogger(__name__)


class RabbitConsumer:
    """Takes deliveries from ``settings.listen_queue`` while it holds ``<queue>.active``."""

    def __init__(
        self,
        settings: WorkQueueSettings,
        *,
        prefetch: int,
        delays_s: Sequence[float] = DELAYS_S,
        standby_s: float = STANDBY_S,
    ) -> None:
        if not 1 <= prefetch <= 0xFFFF:
            raise ValueError("prefetch must be from 1 to 65535")
        self._brokers = Brokers(settings)
        self._settings = settings
        self._prefetch = prefetch
        self._delays_s = tuple(delays_s)
        self._standby_s = standby_s
        self._paused = threading.Event()
        self._pulse = Pulse(f"The thread that consumes from {settings.listen_queue}", STUCK_S)
        self._session: Session | None = None
        self._publisher: RabbitPublisher | None = None
        """Moves messages up the ladder and aside."""
        self._trouble: str | None = None
        """Why there was no session at the last try."""

    @property
    def active(self) -> bool:
        session = self._session
        return session is not None and session.active

    @property
    def is_standby(self) -> bool:
        session = self._session
        return session is not None and session.is_standby

    @property
    def waits_for(self) -> str | None:
        session = self._session
        if session is not None and (session.has_served or session.waits_for):
            return session.waits_for or (self._publisher.blocked if self._publisher else None)
        return self._trouble or "The broker has not answered yet."

    def wrong(self) -> str | None:
        return self._pulse.wrong() or (self._publisher.wrong() if self._publisher else None)

    def run(
        self,
        on_delivery: Callable[[Delivery], None],
        stop: threading.Event,
        on_active: Callable[[], None] = lambda: None,
    ) -> None:
        publisher = self._publisher = RabbitPublisher(self._settings)
        failures = 0
        try:
            while not stop.is_set():
                began = time.monotonic()
                self._pulse.beat()
                try:
                    self._hold_session(publisher, on_delivery, stop, on_active)
                except Unavailable as error:
                    self._trouble = str(error)
                    failures = 1 if time.monotonic() - began > STABLE_S else failures + 1
                    pause_s = backoff_s(failures)
                    queue = self._settings.listen_queue
                    log.warning("Not consuming from %s: %s; next try in %.1f s", queue, error, pause_s)
                    stop.wait(pause_s)
        finally:
            publisher.close()
            self._pulse.rest()

    def pause(self) -> None:
        self._paused.set()
        self._wake()

    def resume(self) -> None:
        self._paused.clear()
        self._wake()

    def _hold_session(
        self,
        publisher: RabbitPublisher,
        on_delivery: Callable[[Delivery], None],
        stop: threading.Event,
        on_active: Callable[[], None],
    ) -> None:
        queue = self._settings.listen_queue
        link = connect(self._brokers.now(), f"consumer of {queue}")
        session = Session(
            link, publisher, queue=queue, prefetch=self._prefetch, delays_s=self._delays_s, beat=self._pulse.beat
        )
        self._session = session
        try:
            if session.wait_for_lease(stop, self._standby_s):
                on_active()
                session.serve(on_delivery, stop, self._paused)
        finally:
            self._session = None
            session.close()

    def _wake(self) -> None:
        if (session := self._session) is not None:
            session.wake()
