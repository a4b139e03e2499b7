"""Asks a daemon's peers from time to time, so that its health tells of them also while there is nothing to do."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping

from lando.errors import LandoError, Unavailable
from lando.k8s.health import STUCK_S
from lando.k8s.metrics import QUEUE_MESSAGES
from lando.pulse import Pulse
from lando.queues import Publisher

EVERY_S = 30.0
AGAIN_S = 0.5  # after the first failure; twice as long after each further one, up to the usual
ANSWER_S = 30.0  # for the broker to count its messages

log = logging.getLogger(__name__)


class Patrol:
    """Makes ``checks``, by the peer's name, at once and every ``every_s`` seconds; each raises what is the matter.

    Sooner after a failure, so that the health of a daemon which was started before its peers soon tells of them.
    """

    def __init__(self, checks: Mapping[str, Callable[[], None]], *, every_s: float = EVERY_S) -> None:
        self._checks = checks
        self._every_s = every_s
        self._stop = threading.Event()
        self._pulse = Pulse("Who asks after other systems", STUCK_S)
        self._thread = threading.Thread(target=self._run, name="patrol", daemon=True)
        self._trouble: dict[str, str] = dict.fromkeys(checks, "has not been asked yet")

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; a check that is under way is not waited for."""
        self._stop.set()

    def wrong(self) -> str | None:
        """As of :class:`~lando.k8s.health.Part`."""
        if self._stop.is_set():
            return None
        return self._pulse.wrong() if self._thread.is_alive() else "Nobody asks after other systems any more."

    def waits_for(self) -> str | None:
        """As of :class:`~lando.k8s.health.Part`."""
        return next((f"{peer}: {trouble}" for peer, trouble in list(self._trouble.items())), None)

    def note(self) -> str | None:
        """As of :class:`~lando.k8s.health.Part`."""
        return None

    def _run(self) -> None:
        again_s = AGAIN_S
        while not self._stop.is_set():
            for peer, check in self._checks.items():
                self._pulse.beat()
                self._make(peer, check)
            pause_s = min(again_s, self._every_s) if self._trouble else self._every_s
            again_s = again_s * 2 if self._trouble else AGAIN_S
            self._pulse.rest()
            self._stop.wait(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    def _make(self, peer: str, check: Callable[[], None]) -> None:
        try:
            check()
        except LandoError as error:
            trouble = str(error).removeprefix(f"{peer}: ")
        except Exception:
            log.exception("The check of the %s failed", peer)
            trouble = "its check failed; the log says why"
        else:
            if self._trouble.pop(peer, None) not in (None, "has not been asked yet"):
                log.warning("The %s answers again", peer)
            return
        log.log(logging.DEBUG if self._trouble.get(peer) == trouble else logging.WARNING, "%s: %s", peer, trouble)
        self._trouble[peer] = trouble


def queue_check(publisher: Publisher, queue: str) -> Callable[[], None]:
    """A check of the broker that also counts what waits there."""

    def check() -> None:
        try:
            depths = publisher.depths(queue).result(ANSWER_S)
        except (TimeoutError, LandoError) as error:
            QUEUE_MESSAGES.clear()
            if publisher.blocked:  # which the daemon itself says, and takes back at once
                return
            if isinstance(error, LandoError):
                raise
            raise Unavailable("broker", f"no answer within {ANSWER_S:g} s") from error
        for state, count in depths.items():
            QUEUE_MESSAGES.labels(queue, state).set(count)

    return check
