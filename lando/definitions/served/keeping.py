"""Keeps in the archive what there is to know of Jobs, so that it can be read when the cluster has them no more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kubernetes.client.exceptions import ApiException

from lando.archive import PEER, JobArchive
from lando.definitions.gathering import NOTHING, Gathered, Logs, gather, missing
from lando.definitions.kubernetes_errors import UNREACHED, is_kubernetes_not_found_exception, trouble
from lando.definitions.manager import JobManager
from lando.definitions.served.kept import Kept, kept
from lando.definitions.served.to_keep import Task, ToKeep
from lando.definitions.spec import V1Job
from lando.errors import PeerError, Unavailable

logger = logging.getLogger(__name__)

NOTED = 50_000
"""Jobs that are known to be kept whole; for others the archive is asked."""
TRIES = 3
"""How often a cluster that is away is asked for what is left of a Job that is gone."""
GIVEN_UP = 20
"""How often the keeping of such a Job may go wrong in any other way."""
SETTLING = 6
"""How often an ended Job's pods that have not ended are looked at again: for about a minute, twice the usual grace."""
SOON_S = 60.0
"""A Job that stays no longer after its end is kept before those that stay."""
SILENCE_S = 90.0
"""An archive that does not answer for longer counts as away."""
PLACES = 4
"""Threads that somebody waits for and that read the archive, at a time, and as many that write to it: it may be silent,
and logs are large."""
PATIENCE_S = 20.0
"""Until one more of them has its place."""


class Keeper:
    """Keeps the Jobs of ``manager``: by the thread of :meth:`run` those that have ended, are being deleted or are gone,
    as soon as it is told."""

    def __init__(
        self, manager: JobManager, archive: JobArchive, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._manager = manager
        self._archive = archive
        self._clock = clock
        self._to_keep = ToKeep(clock)
        self._asked_at: float | None = None
        self._lock = threading.Lock()
        self._whole: dict[str, None] = {}
        self._leaving: set[str] = set()
        self._reading, self._writing = threading.BoundedSemaphore(PLACES), threading.BoundedSemaphore(PLACES)

    # -- what it is told ---------------------------------------------------------------------------------------------

    def changed(self, job: V1Job) -> None:
        """Of a Job in the cluster: if it has ended or is being deleted, it is kept soon."""
        uid, is_leaving = job.metadata.uid, job.metadata.deletion_timestamp is not None
        if self._manager.job_is_finished(job):
            if not self.is_whole(uid):
                ttl_s = job.spec.ttl_seconds_after_finished if job.spec else None
                self._to_keep.add(job, is_pressing=is_leaving or (ttl_s is not None and ttl_s < SOON_S))
        elif is_leaving:
            with self._lock:
                is_told = uid in self._leaving
                self._leaving.add(uid)
            if not is_told:
                self._to_keep.add(job, is_pressing=True)

    def gone(self, job: V1Job, is_seen: bool) -> None:
        """Of a Job that the cluster has no more; ``is_seen`` says that ``job`` is how it was at its end."""
        uid = job.metadata.uid
        with self._lock:
            self._leaving.discard(uid)
            is_whole = uid in self._whole
            self._whole.pop(uid, None)
        if is_whole:
            self._to_keep.drop(uid)
        else:
            self._to_keep.add_gone(job, is_seen=is_seen)

    # -- its thread --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Keep what it is told of until :meth:`stop`, and then what else would be lost, unless the archive is away."""
        while (task := self._to_keep.take()) is not None:
            try:
                is_done = self._work(task)
            except Exception as error:
                logger.warning("Job %s can't be kept yet: %s", task.job.metadata.name, _words(error))
                if isinstance(error, PeerError):
                    continue
                self._to_keep.fail(task)
                if task.is_gone and task.tries > GIVEN_UP:
                    logger.error("Job %s is gone and is not kept", task.job.metadata.name, exc_info=error)
                    self._to_keep.done(task)
            else:
                (self._to_keep.done if is_done else self._to_keep.fail)(task)
        if left := self._to_keep.gone_number():
            logger.error("%d Jobs are gone and are not kept: the archive was away until the end", left)

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        self._to_keep.stop()

    def _work(self, task: Task) -> bool:
        """Whether nothing more is to be done; else there is soon more to keep."""
        job, gathered = task.job, task.held
        if task.is_pressing and gathered is None:
            gathered = self._left_of(task)
            if gathered is None:
                return True
            gathered = gathered.after(task.earlier)
        try:
            with self._asking():
                found = self._before(job)
            if found is None or not found.is_over:
                gathered = gathered or gather(self._manager, job)
                if task.tries >= SETTLING:
                    gathered = replace(gathered, is_settled=True)
                with self._asking():
                    found = self._store(job, gathered, found, is_gone=task.is_gone, is_seen=task.is_seen)
        except PeerError:
            self._to_keep.wait_for_archive(task, gathered)
            raise
        task.held = None
        self._note(job, found)
        return found.is_over or not self._manager.job_is_finished(job)

    def _left_of(self, task: Task) -> Gathered | None:
        """None of one that is said to be gone and is there all the same, perhaps as somebody else's by its labels."""
        try:
            gathered = gather(self._manager, task.job, is_gone=task.is_gone)
            return None if task.is_gone and self._is_there(task.job) else gathered
        except (ApiException, *UNREACHED) as error:
            if not task.is_gone or task.tries + 1 < TRIES:
                raise
            return replace(NOTHING, lost=(f"What was left of it is not known: {_words(error)}.",))

    def _is_there(self, job: V1Job) -> bool:
        name, namespace = job.metadata.name, self._manager.namespace
        try:
            with self._manager.connection.batch() as batch:
                found = batch.read_namespaced_job_status(name=name, namespace=namespace)
        except ApiException as error:
            if is_kubernetes_not_found_exception(error):
                return False
            raise
        return bool(found.metadata.uid == job.metadata.uid)

    # -- what others ask of it ---------------------------------------------------------------------------------------

    def keep(self, job: V1Job, *, by: str) -> None:
        """Have the archive keep the Job, which is about to be deleted by ``by``; nothing where it does already, unless
        there may be more to keep.

        Raises PeerError when the archive is away, and what a cluster that is away raises.
        """
        is_whole = self.is_whole(job.metadata.uid)
        try:
            with _place(self._writing, 0 if is_whole else PATIENCE_S):
                found = self._before(job)  # what was kept long ago may have gone since
                is_begun = found is not None and job.metadata.deletion_timestamp is not None
                if found is None or not (found.is_over or is_begun):
                    found = self._store(job, gather(self._manager, job), found, by=by)
            self._note(job, found)
        except PeerError:
            if not is_whole:
                raise

    def waiting(self) -> tuple[int, bool]:
        """How many Jobs are still to be kept, and whether the archive was away when it was asked last, or is silent."""
        number, is_away = self._to_keep.waiting()
        asked_at = self._asked_at
        return number, is_away or (asked_at is not None and self._clock() - asked_at > SILENCE_S)

    def is_whole(self, uid: str) -> bool:
        """Whether there is nothing more to be kept of this Job, which the cluster has still."""
        with self._lock:
            return uid in self._whole

    def kept(self, name: str, *, patience_s: float = PATIENCE_S) -> Kept | None:
        """The last Job of that name, and how it ended, if the cluster has it no more or it is kept whole; None where
        there was none. Raises PeerError when the archive is away."""
        task = self._to_keep.gone(name)
        if task is not None:
            found = self._found(task.job, task.held or task.earlier, is_gone=True, is_seen=task.is_seen)
            return replace(found.of_one_that_is_gone(), lost=("It is still being kept; more may be known soon.",))
        with _place(self._reading, patience_s):
            read = self._read(name)
        return read and read.of_one_that_is_gone()

    def logs(self, name: str, *, patience_s: float = PATIENCE_S) -> Logs:
        """Those of the last Job of that name, nothing where none are kept. Raises PeerError when that is away."""
        task = self._to_keep.gone(name)
        if task is not None:
            return (task.held or task.earlier).logs
        with _place(self._reading, patience_s):
            found = self._archive.logs(name)
            read = self._read(name) if found is None else None
        if read is None:
            return found or {}
        why = missing("what was kept of it is damaged.")
        return {pod: dict.fromkeys(read.containers, why) for pod in read.terminations}

    # -- the archive -------------------------------------------------------------------------------------------------

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Note since when the keeper's own thread waits."""
        self._asked_at = self._clock()
        try:
            yield
        finally:
            self._asked_at = None

    def _read(self, name: str) -> Kept | None:
        document = self._archive.document(name)
        try:
            found = None if document is None else Kept.of(document)
            return found if found is not None and found.job["metadata"].get("name") == name else None
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("What is kept of Job %s is damaged: %r", name, error)
            return None

    def _before(self, job: V1Job) -> Kept | None:
        """What is kept of the Job, or of a later one of its name."""
        read = self._read(job.metadata.name)
        if read is None or read.uid == job.metadata.uid:
            return read
        return replace(read, is_over=True) if read.is_newer_than(self._document(job)) else None

    def _store(self, job: V1Job, gathered: Gathered, before: Kept | None, **how: Any) -> Kept:
        name = job.metadata.name
        if before is not None:
            logs = self._archive.logs(name) or {}
            earlier = Gathered(cause=before.cause, logs=logs, terminations=before.terminations, events=before.events)
            gathered = gathered.after(earlier)
            how.setdefault("by", before.by)
        found = self._found(job, gathered, **how)
        self._archive.store(name, found.document(), gathered.logs)
        return found

    def _found(self, job: V1Job, gathered: Gathered, **how: Any) -> Kept:
        return kept(self._document(job), gathered, now=datetime.now(UTC), **how)

    def _document(self, job: V1Job) -> dict[str, Any]:
        with self._manager.connection.core() as core:
            document: dict[str, Any] = core.api_client.sanitize_for_serialization(job)
        return document

    def _note(self, job: V1Job, found: Kept) -> None:
        """That a Job is kept whole, if it is and the cluster has it still."""
        uid = job.metadata.uid
        if found.is_over and self._manager.job_is_finished(job) and not self._to_keep.is_gone(uid):
            with self._lock:
                self._whole[uid] = None
                if len(self._whole) > NOTED:
                    del self._whole[next(iter(self._whole))]


@contextmanager
def _place(places: threading.BoundedSemaphore, patience_s: float) -> Iterator[None]:
    """One of few, for a thread that somebody waits for."""
    if not places.acquire(timeout=patience_s):
        raise Unavailable(PEER, "too many calls wait for its answer")
    try:
        yield
    finally:
        places.release()


def _words(error: Exception) -> str:
    return trouble(error) or repr(error)
