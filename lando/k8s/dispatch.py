"""Work by run: a run's messages in order and one at a time, runs side by side, repeats taken together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lando import logs
from lando.k8s.agenda import Agenda
from lando.k8s.health import STUCK_S
from lando.messages import Command, Message
from lando.queues import Delivery

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Work:
    """One message to be handled, or, without one, a look at the run."""

    message: Message | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    """What is settled with it: several, when the same was said several times in a row."""


Handler = Callable[[int, Sequence[Work]], None]
"""Handles a run's works in order and settles their deliveries. Should not raise: what is unsettled then stays so until
the connection is lost."""


class Dispatcher:
    """A fixed number of workers; a run is never with two of them.

    What waits is bounded by the broker's prefetch; looks are one per run.
    """

    def __init__(self, handle: Handler, *, workers: int) -> None:
        self._handle = handle
        self._agenda = Agenda()
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[Work]] = {}
        self._looks: set[int] = set()
        self._has_started = self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(workers)
        ]

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()
        self._has_started = True  # not before: a worker yet to start is none that ended

    def submit(self, message: Message, delivery: Delivery) -> None:
        """Have ``message`` handled after what already waits for its run."""
        with self._lock:
            waiting = self._waiting.setdefault(message.run_id, deque())
            last = waiting[-1] if waiting else None
            if last is not None and _says_the_same(last.message, message):
                last.message = message if _last_words(message) or not _last_words(last.message) else last.message
                last.deliveries.append(delivery)
            else:
                waiting.append(Work(message=message, deliveries=[delivery]))
        self._agenda.add(str(message.run_id))

    def look(self, run_id: int, delay_s: float = 0.0) -> None:
        """Have the run looked at in ``delay_s`` seconds; sooner if something else brings it up."""
        with self._lock:
            self._looks.add(run_id)
        self._agenda.add(str(run_id), delay_s)

    def __len__(self) -> int:
        """How many runs wait, those whose time has not come included."""
        return len(self._agenda)

    def longest_s(self) -> float:
        """How long the worker that takes longest has been at its run, in seconds; 0 when all are idle."""
        return self._agenda.longest_s()

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: workers that ended or hang; None while all work."""
        if self._has_started and not self._closing and not all(thread.is_alive() for thread in self._threads):
            return "A worker has ended."
        taken_s = self.longest_s()
        return f"A worker has been at one run for {taken_s:.0f} s." if taken_s > STUCK_S else None

    def close(self, limit_s: float) -> None:
        """Let the workers finish what they have in hand, for at most ``limit_s`` seconds; requeue the rest."""
        self._closing = True
        self._agenda.close()
        end = time.monotonic() + limit_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(end - time.monotonic(), 0.0))
        with self._lock:
            rest = [delivery for works in self._waiting.values() for work in works for delivery in work.deliveries]
            self._waiting.clear()
            self._looks.clear()
        for delivery in rest:
            delivery.requeue()

    def _work(self) -> None:
        while (key := self._agenda.take()) is not None:
            run_id = int(key)
            with self._lock:
                works: list[Work] = list(self._waiting.pop(run_id, ()))
                if run_id in self._looks:
                    works.append(Work())  # last: what a message tells may be gone from the cluster
                self._looks.discard(run_id)
            with logs.about(run_id=run_id):
                try:
                    if works:
                        self._handle(run_id, works)
                except Exception:
                    log.exception("Run %d: the worker goes on with other runs", run_id)
                finally:
                    self._agenda.done(key)


def _says_the_same(earlier: Message | None, later: Message) -> bool:
    """Two reports of one Job in a row are one look at the run; commands stay apart."""
    if earlier is None or not earlier.command is later.command is Command.STEP_CHANGED:
        return False
    return _job(earlier) == _job(later)


def _job(message: Message) -> str | None:
    return message.evidence.uid if message.evidence else None


def _last_words(message: Message | None) -> bool:
    """Whether it brings what a step's program said at its end, which its pod may have taken along."""
    return bool(message and message.evidence and message.evidence.termination_message)
