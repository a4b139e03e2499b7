"""When another system is away: pause consuming, probe with back-off and jitter, go on. No run pays for it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from lando.errors import LandoError, Unavailable
from lando.k8s.health import STUCK_S
from lando.k8s.metrics import PAUSED
from lando.pulse import Pulse

FIRST_S = 1.0
LONGEST_S = 30.0
LONGEST_ASKED_S = 600.0  # of a Retry-After; beyond that we ask all the same

log = logging.getLogger(__name__)


class Outage:
    """Pauses at the first report and resumes when ``probe`` raises nothing any more."""

    def __init__(
        self,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        probe: Callable[[], None],
        stop: threading.Event,
        first_s: float = FIRST_S,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._probe = probe
        self._stop = stop
        self._first_s = first_s
        self._lock = threading.Lock()
        self._pulse = Pulse("Who asks whether the others are back", STUCK_S)
        self.reason: str | None = None
        """What is waited for, from the first report until the probe succeeded."""

    @property
    def is_on(self) -> bool:
        """True from the first report until the probe succeeded."""
        return self.reason is not None

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: nobody asks any more whether the peer is back; else None."""
        return self._pulse.wrong()

    def report(self, error: Unavailable) -> None:
        """Somebody met ``error``: pause, unless that was done."""
        with self._lock:
            if self.is_on or self._stop.is_set():
                return
            self.reason = str(error)
            PAUSED.set(1)
            self._pause()  # with the lock, so that the end of an earlier outage can't come in between
            self._pulse.beat()  # also for a thread that never starts
        log.warning("Paused: %s", error)
        threading.Thread(target=self._wait, args=(error,), name="outage", daemon=True).start()

    def _wait(self, error: Exception) -> None:
        delay_s = self._first_s
        while not self._stopped_within(_pause_s(delay_s, error)):
            try:
                self._probe()
            except LandoError as failure:
                log.info("Still paused: %s", failure)
                error = failure
            except Exception as failure:
                log.exception("Still paused")  # and asking again: nobody else would end the pause
                error = failure
            else:
                break
            self.reason = str(error)
            delay_s = min(delay_s * 2, LONGEST_S)
        with self._lock:
            self._pulse.rest()
            self.reason = None
            PAUSED.set(0)
            if not self._stop.is_set():
                log.warning("Going on")
                self._resume()

    def _stopped_within(self, seconds: float) -> bool:
        self._pulse.rest()
        is_stopped = self._stop.wait(seconds)
        self._pulse.beat()
        return is_stopped


def _pause_s(delay_s: float, error: Exception) -> float:
    """``delay_s`` with jitter, but no less than the peer asked for."""
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    return max(delay_s * random.uniform(0.5, 1.0), min(asked_s or 0.0, LONGEST_ASKED_S))  # noqa: S311 - jitter
