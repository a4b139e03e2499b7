"""Jobs that have ended are marked with the time of their deletion, and deleted when that has come."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from lando.definitions.connection import DEFAULT
from lando.definitions.exceptions import NotFoundException
from lando.definitions.kubernetes_errors import is_kubernetes_not_found_exception, trouble
from lando.definitions.spec import V1Job

if TYPE_CHECKING:
    from lando.definitions.manager import JobManager

logger = logging.getLogger(__name__)

DeleteCallback = Callable[[V1Job], object]
_IS_TO_STOP: ContextVar[Callable[[], bool]] = ContextVar("is_to_stop", default=lambda: False)
"""Of the pass that is under way in the background."""
MARKS_TRIED = 5  # how often a Job that changes while it is marked is read again


class JobDeleter:
    """Removes the ended Jobs of ``manager`` when their retention is over; one bad Job never stops the rest."""

    JOB_DELETION_TIME_ANNOTATION = "job_deletion_time_unix_sec"
    """Seconds since the epoch; set by whoever wants to keep a Job longer, or to have it deleted at once."""

    def __init__(self, manager: JobManager) -> None:
        self.manager = manager

    def mark_deletion_time(self, job: V1Job, retention_period_sec: float) -> None:
        """Note on the Job, here and in the cluster, when it may be deleted; nothing when it says so already."""
        for attempt in range(MARKS_TRIED):
            if self._annotation(job) is not None:
                return
            deletion_time = str(int(time.time() + retention_period_sec))
            try:
                self._annotate(job, deletion_time)
            except ApiException as error:
                if error.status != 409 or attempt + 1 == MARKS_TRIED:
                    raise
                # It was changed since it was read; perhaps by somebody who set the time.
                found = self.manager.read_job(job.metadata.name)
                job.metadata.annotations = found.metadata.annotations
                job.metadata.resource_version = found.metadata.resource_version
            else:
                job.metadata.annotations = {
                    **(job.metadata.annotations or {}),
                    self.JOB_DELETION_TIME_ANNOTATION: deletion_time,
                }
                return

    def is_candidate_for_deletion(self, job: V1Job) -> bool:
        """Whether the time of its deletion has come, ended or not."""
        noted = self._annotation(job)
        if noted is None:
            return False
        try:
            deletion_time = float(noted)
        except (TypeError, ValueError):
            deletion_time = math.nan
        if math.isnan(deletion_time):
            logger.warning(
                "Job %s is kept: its annotation %s is no number but %r",
                job.metadata.name,
                self.JOB_DELETION_TIME_ANNOTATION,
                noted,
            )
            return False
        return deletion_time <= time.time()

    def mark_jobs_for_deletion(self, retention_period_sec: float = 3600) -> None:
        """Mark every ended Job; one that can't be marked is logged and skipped."""
        self._mark(self.manager.fetch_jobs(), retention_period_sec)

    def cleanup_jobs(self, *, delete_callback: DeleteCallback | None = None) -> None:
        """Delete each Job whose time has come, after ``delete_callback(job)``; not this time if that raises."""
        self._clean_up(self.manager.fetch_jobs(), delete_callback)

    def mark_and_delete_old_jobs(
        self, *, retention_period_sec: float, delete_callback: DeleteCallback | None = None
    ) -> None:
        """Mark, then clean up, with one list for both. What goes wrong with one half does not stop the other."""
        jobs: Iterable[V1Job]
        try:
            jobs = [job for job in self.manager.fetch_jobs() if self._concerns(job)]
            self._mark(jobs, retention_period_sec)
        except Exception as error:  # noqa: BLE001 - logged
            _warn("Ended jobs could not be marked for deletion; the next pass tries again", error)
            jobs = self.manager.fetch_jobs()
        self._clean_up(jobs, delete_callback)

    def run_background_cleanup(self, interval_sec: float = 60, **kwargs: Any) -> Callable[[], None]:
        """Do :meth:`mark_and_delete_old_jobs` with ``kwargs`` (retention 3600 s unless given) now and every interval.

        What goes wrong is logged, and the next pass comes. Returns ``stop()``, which returns when the thread has
        ended, after the Job that is in hand. Raises TypeError for unknown ``kwargs``.
        """
        kwargs.setdefault("retention_period_sec", 3600)
        inspect.signature(type(self).mark_and_delete_old_jobs).bind(self, **kwargs)
        stopped = threading.Event()
        thread = threading.Thread(
            target=self._repeat,
            args=(functools.partial(self.mark_and_delete_old_jobs, **kwargs), interval_sec, stopped),
            name="definitions-cleanup",
            daemon=True,
        )
        thread.start()

        def stop() -> None:
            stopped.set()
            if thread is not threading.current_thread():  # a callback may ask for the end, too
                thread.join()

        return stop

    def _repeat(self, work: Callable[[], None], interval_sec: float, stopped: threading.Event) -> None:
        _IS_TO_STOP.set(stopped.is_set)
        while not stopped.is_set():
            began = time.monotonic()
            try:
                work()
            except Exception as error:  # noqa: BLE001 - logged
                _warn("A pass of the cleanup failed; the next one comes", error)
            stopped.wait(max(0.0, interval_sec - (time.monotonic() - began)))

    def _concerns(self, job: V1Job) -> bool:
        return self._annotation(job) is not None or self.manager.job_is_finished(job)

    def _mark(self, jobs: Iterable[V1Job], retention_period_sec: float) -> None:
        for job in jobs:
            if _IS_TO_STOP.get()():
                return
            if not self.manager.job_is_finished(job):
                continue
            try:
                self.mark_deletion_time(job, retention_period_sec)
            except Exception as error:  # noqa: BLE001 - logged
                self._log("marked", job, error)

    def _clean_up(self, jobs: Iterable[V1Job], delete_callback: DeleteCallback | None) -> None:
        for job in jobs:
            if _IS_TO_STOP.get()():
                return
            if not self.is_candidate_for_deletion(job):
                continue
            try:
                if delete_callback is not None:
                    delete_callback(job)
                self.manager.delete_job(job)
            except Exception as error:  # noqa: BLE001 - logged
                self._log("deleted", job, error)

    def _annotate(self, job: V1Job, deletion_time: str) -> None:
        metadata: dict[str, Any] = {"annotations": {self.JOB_DELETION_TIME_ANNOTATION: deletion_time}}
        # Only that very Job, and only as it was seen: a time that its user set meanwhile is not overwritten.
        for key, value in (("uid", job.metadata.uid), ("resourceVersion", job.metadata.resource_version)):
            if isinstance(value, str):
                metadata[key] = value
        with getattr(self.manager, "connection", DEFAULT).batch() as batch:  # of a manager of somebody's own
            batch.patch_namespaced_job(
                name=job.metadata.name, namespace=self.manager.namespace, body={"metadata": metadata}
            )

    def _annotation(self, job: V1Job) -> Any:
        return (job.metadata.annotations or {}).get(self.JOB_DELETION_TIME_ANNOTATION)

    def _log(self, what: str, job: V1Job, error: Exception) -> None:
        if isinstance(error, NotFoundException) or is_kubernetes_not_found_exception(error):
            logger.info("Job %s was gone before it was %s", job.metadata.name, what)
        else:
            _warn(f"Job {job.metadata.name} could not be {what}", error)


def _warn(what: str, error: Exception) -> None:
    """By a sentence where cluster or archive is at fault, else with all that helps to find the fault."""
    if told := trouble(error):
        logger.warning("%s: %s", what, told)
    else:
        logger.error("%s: %s", what, error, exc_info=error)
