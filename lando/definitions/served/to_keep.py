"""The Jobs that are still to be kept, in the order in which what there is of them may go."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lando.definitions.gathering import NOTHING, Gathered
from lando.definitions.spec import V1Job

logger = logging.getLogger(__name__)

GONE = 1000
"""Jobs that the cluster has no more and that wait for the archive; those that go after them are not kept."""
HELD = 64 * 1024 * 1024
"""Characters of logs that wait for the archive; of the Jobs that come after, all else is kept."""
BACKOFF_S = (1.0, 60.0)
"""Until a cluster or an archive that was away is asked again: the first pause and the longest."""


@dataclass
class Task:
    """One Job that is to be kept."""

    job: V1Job
    is_pressing: bool
    """What there is of it may go at any moment."""
    is_gone: bool = False
    is_seen: bool = True
    """Of one that is gone: ``job`` is how it was at its end."""
    earlier: Gathered = NOTHING
    """What was gathered while it was there."""
    held: Gathered | None = None
    """What was gathered and waits for the archive."""
    tries: int = 0
    refusals: int = 0
    """By the archive."""
    not_before: float = 0.0


class ToKeep:
    """Safe to use from several threads, of which one works on the tasks: :meth:`take`, then one of :meth:`done`,
    :meth:`fail` and :meth:`wait_for_archive`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pressing: dict[str, Task] = {}
        self._others: dict[str, Task] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._refusals = 0
        self._archive_not_before = 0.0

    def add(self, job: V1Job, *, is_pressing: bool) -> None:
        """A Job in the cluster, or what it has become."""
        uid = job.metadata.uid
        with self._changed:
            task = self._pressing.get(uid) or self._others.pop(uid, None) or Task(job, is_pressing)
            task.job, task.is_pressing = job, task.is_pressing or is_pressing
            (self._pressing if task.is_pressing else self._others)[uid] = task
            self._changed.notify()

    def add_gone(self, job: V1Job, *, is_seen: bool) -> None:
        """A Job that the cluster has no more."""
        uid = job.metadata.uid
        with self._changed:
            before = self._pressing.pop(uid, None) or self._others.pop(uid, None)
            if self._gone_number() >= GONE:
                logger.error("Job %s is gone and is not kept: %d others wait", job.metadata.name, GONE)
                return
            task = Task(job, is_pressing=True, is_gone=True, is_seen=is_seen)
            if before is not None:
                task.earlier = before.held or before.earlier
            self._pressing[uid] = task
            self._changed.notify()

    def drop(self, uid: str) -> None:
        """Nothing of this Job is to be kept any more."""
        with self._changed:
            self._pressing.pop(uid, None)
            self._others.pop(uid, None)

    def gone(self, name: str) -> Task | None:
        """The last Job of that name, if it is gone and not kept yet."""
        with self._changed:
            named = [task for task in self._pressing.values() if task.is_gone and task.job.metadata.name == name]
            return named[-1] if named else None

    def is_gone(self, uid: str) -> bool:
        with self._changed:
            task = self._pressing.get(uid)
            return task is not None and task.is_gone

    def waiting(self) -> tuple[int, bool]:
        """How many tasks there are, and whether the archive was away when it was asked last."""
        with self._changed:
            return len(self._pressing) + len(self._others), self._refusals > 0

    def gone_number(self) -> int:
        """How many Jobs are gone and not kept yet."""
        with self._changed:
            return self._gone_number()

    def _gone_number(self) -> int:
        return sum(task.is_gone for task in self._pressing.values())

    def stop(self) -> None:
        """Let :meth:`take` come to its end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def take(self) -> Task | None:
        """The next task, when its time has come; after :meth:`stop` only those of Jobs that are gone, once, and None
        when there is no more."""
        with self._changed:
            while True:
                if self._stopped:
                    last = (task for task in self._pressing.values() if task.is_gone and not task.tries)
                    return None if self._refusals else next(last, None)
                now, soonest = self._clock(), None
                for task in itertools.chain(self._pressing.values(), self._others.values()):
                    ready = task.not_before
                    # What may go at any moment is gathered even while the archive is away.
                    if task.held is not None or not task.is_pressing:
                        ready = max(ready, self._archive_not_before)
                    if ready <= now:
                        return task
                    soonest = ready if soonest is None else min(soonest, ready)
                self._changed.wait(None if soonest is None else soonest - now)

    def done(self, task: Task) -> None:
        """It is kept, or nothing of it can be; unless it was told of anew meanwhile."""
        with self._changed:
            self._refusals, self._archive_not_before = 0, 0.0
            for tasks in (self._pressing, self._others):
                if tasks.get(task.job.metadata.uid) is task:
                    del tasks[task.job.metadata.uid]

    def fail(self, task: Task) -> None:
        """Try again later, after others."""
        with self._changed:
            task.tries += 1
            task.not_before = self._clock() + _pause_s(task.tries)

    def wait_for_archive(self, task: Task, gathered: Gathered | None) -> None:
        """Try again when the archive may be there; until then hold what was gathered of one that may go."""
        with self._changed:
            self._refusals += 1
            self._archive_not_before = self._clock() + _pause_s(self._refusals)
            task.refusals += 1  # it may be this one alone that is refused: the others come first
            task.not_before = self._archive_not_before + _pause_s(task.refusals)
            if task.is_pressing and task.held is None and gathered is not None:
                held = sum(other.held.size for other in self._pressing.values() if other.held is not None)
                is_full = held + gathered.size > HELD
                why = "The archive was away, and too many logs waited for it."
                task.held = gathered.without_logs(why) if is_full and gathered.size else gathered


def _pause_s(tries: int) -> float:
    """Twice as long each time, with jitter."""
    first, longest = BACKOFF_S
    return min(first * 2.0 ** min(tries - 1, 16), longest) * random.uniform(0.5, 1.0)  # noqa: S311
