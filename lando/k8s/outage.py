"""When another system is away: pause consuming, probe with back-off and jitter, go on. No run pays for it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from lando.errors import LandoError, Unavailable
from lando.k8s.metrics import PAUSED

FIRST_S = 1.0
LONGEST_S = 30.0

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
        self.reason: str | None = None
        """What is waited for, from the first report until the probe succeeded."""

    @property
    def is_on(self) -> bool:
        """True from the first report until the probe succeeded."""
        return self.reason is not None

    def report(self, error: Unavailable) -> None:
        """Somebody met ``error``: pause, unless that was done."""
        with self._lock:
            if self.is_on or self._stop.is_set():
                return
            self.reason = str(error)
        log.warning("Paused: %s", error)
        PAUSED.set(1)
        self._pause()
        threading.Thread(target=self._wait, args=(error.retry_after_s,), name="outage", daemon=True).start()

    def _wait(self, first_s: float | None) -> None:
        delay_s = min(first_s or self._first_s, LONGEST_S)
        while not self._stop.wait(delay_s * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
            try:
                self._probe()
            except LandoError as error:
                log.info("Still paused: %s", error)
                self.reason = str(error)
                delay_s = min(delay_s * 2, LONGEST_S)
            else:
                break
        with self._lock:
            self.reason = None
        PAUSED.set(0)
        if not self._stop.is_set():
            log.warning("Going on")
            self._resume()
