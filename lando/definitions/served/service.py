"""Jobs of definitions inside a server: read from a view that a watch keeps true, kept when they are gone."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from lando.archive import Archive
from lando.definitions import connection as connections
from lando.definitions import idempotency
from lando.definitions import manager as managing
from lando.definitions.checks.looking import look_in_background
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.documents import KEPT, LOST, is_kept
from lando.definitions.exceptions import NotFoundException
from lando.definitions.file_reloader import FileReloader
from lando.definitions.gathering import Logs
from lando.definitions.manager import PAGE_SIZE, JobDeleter, JobManager, JobSigner
from lando.definitions.served.allowance import Allowance
from lando.definitions.served.keeping import Keeper
from lando.definitions.served.kept import Kept
from lando.definitions.served.retention import Retention
from lando.definitions.served.standing import Standing, counted
from lando.definitions.served.view import JobsView
from lando.definitions.signing import UserSigner
from lando.definitions.spec import Job, V1Job
from lando.errors import PeerError
from lando.k8s.cluster import KubernetesCluster
from lando.runs import Cause

logger = logging.getLogger(__name__)

CLEANUP_S = 60.0
STOP_S = 10.0
CURRENT_S = 10.0
"""After which a view that has told nothing is asked whether it is still current."""
_PLACE = "after."
"""Begins the token of a page that the view gave."""
_LATEST = 10**10
"""Seconds since 1970 that are not reached."""


class ServedJobs(JobManager):
    """A manager that answers from ``view`` as long as that is current, and from what ``keeper`` has of Jobs that are
    gone; ``asker`` is who is said to delete them. With an ``allowance`` a user makes no more than it has."""

    def __init__(
        self,
        manager: JobManager,
        view: JobsView,
        keeper: Keeper | None,
        *,
        asker: str = "a request to this server",
        allowance: Allowance | None = None,
    ) -> None:
        super().__init__(manager.namespace, manager.signer, manager.register, connection=manager.connection)
        self._manager = manager
        self._view = view
        self._keeper = keeper
        self._asker = asker
        self._allowance = allowance

    def obtain_job(
        self,
        job_definition_name: str,
        template_args: Mapping[str, Any] | None = None,
        pre_create: Callable[[Job], object] | None = None,
        *,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> V1Job:
        with contextlib.nullcontext() if dry_run else self._allowed(job_definition_name, idempotency_key):
            # By a manager to which a Job that is gone is gone: its key may be used again.
            made = self._manager.obtain_job(
                job_definition_name, template_args, pre_create, idempotency_key=idempotency_key, dry_run=dry_run
            )
            if not dry_run:
                self._view.made(made)
        return made

    def fetch_jobs(self, job_definition_name: str | None = None, **extra_labels: Any) -> Iterator[V1Job]:
        if not self._view.is_current():
            yield from self._manager.fetch_jobs(job_definition_name, **extra_labels)
            return
        wanted = {key: str(value) for key, value in extra_labels.items()}
        if job_definition_name:
            wanted[JobSigner.JOB_DEFINITION_NAME_KEY] = job_definition_name
        for job in self._view.jobs():
            if self.signer.has_signed(job) and wanted.items() <= job.metadata.labels.items():
                yield job

    def list_page(
        self, job_definition_name: str | None = None, *, limit: int = PAGE_SIZE, token: str | None = None
    ) -> tuple[list[V1Job], str | None]:
        is_ours = token is not None and token.startswith(_PLACE)
        if not is_ours and (token is not None or not self._view.is_current()):
            return self._manager.list_page(job_definition_name, limit=limit, token=token)
        jobs = sorted(self.fetch_jobs(job_definition_name), key=_place)
        if token is not None:
            last = token.removeprefix(_PLACE)
            jobs = [job for job in jobs if _place(job) > last]
        page = jobs[:limit]
        return page, f"{_PLACE}{_place(page[-1])}" if len(jobs) > limit else None

    def read_job(self, job_name: str) -> V1Job:
        """The Job, or what is kept of it, which has the annotation :data:`~lando.definitions.documents.KEPT`."""
        job = self._view.get(job_name) if self._view.is_current() else None
        if job is None:
            try:
                job = self._manager.read_job(job_name)
            except NotFoundException:
                job = self._kept(job_name)
        if job is None or not self.signer.has_signed(job):  # one sentence: what others have is nobody's to know
            raise NotFoundException(f"there is no Job {job_name!r}")
        return job

    def wait_for_job(self, job_name: str, timeout_s: float | None = None) -> V1Job:
        """As of any manager, without a call as long as the view is current; what is kept of a Job does not change."""
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            seen = self._view.get(job_name)
            job = self.read_job(job_name)
            left = until - time.monotonic()
            if left <= 0 or self.job_is_finished(job) or is_kept(job):
                return job
            is_followed = seen is not None and self._view.is_current()
            self._view.await_change(job_name, seen, min(left, CURRENT_S if is_followed else managing.LOOK_S))

    def job_logs(self, job_name: str | V1Job, limit: int | None = 200) -> JobManager.LogsByPodAndContainer:
        job = self.read_job(job_name) if isinstance(job_name, str) else job_name
        if self._keeper is not None and is_kept(job):
            return _cut(self._keeper.logs(job.metadata.name), limit)
        logs = self._manager.job_logs(job, limit)
        kept = self._kept_whole(job)
        if kept is not None and self._keeper is not None and not kept.terminations.keys() <= logs.keys():
            with contextlib.suppress(PeerError):  # of pods that went before their Job
                logs = _cut(self._keeper.logs(job.metadata.name, patience_s=0), limit) | logs
        return logs

    def job_cause(self, job: str | V1Job) -> Cause | None:
        found = self.read_job(job) if isinstance(job, str) else job
        if self.job_status(found) is self.JobStatus.COMPLETE:
            return None
        kept = self._kept_whole(found)
        return kept.cause if kept is not None else self._manager.job_cause(found)

    def job_history(self, job: str | V1Job) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
        found = self.read_job(job) if isinstance(job, str) else job
        kept = self._kept_whole(found)
        return (kept.events, kept.terminations) if kept is not None else self._manager.job_history(found)

    def delete_job(self, job: V1Job) -> None:
        """Once it is kept; raises PeerError when the archive is away."""
        try:
            found = self._manager.read_job(job.metadata.name)
            if self._keeper is not None:
                self._keeper.keep(found, by=self._asker)
            self._manager.delete_job(found)
        except NotFoundException:
            if not is_kept(job):
                self._view.deleted(job)
            raise
        logger.info("Job %s is deleted, by %s", found.metadata.name, self._asker)
        self._view.deleted(found)

    def _allowed(self, definition: str, key: str | None) -> contextlib.AbstractContextManager[None]:
        """A place for a new Job, where they are counted; a key that has made its Job needs none."""
        if self._allowance is None or not isinstance(self.signer, UserSigner):
            return contextlib.nullcontext()
        if key is not None:
            with contextlib.suppress(NotFoundException):
                self._manager.read_job(idempotency.name_of(self.signer.scope, definition, key))
                return contextlib.nullcontext()
        return self._allowance.taken(self.signer.user, self._unfinished)

    def _unfinished(self) -> int:
        return sum(not self.job_is_finished(job) for job in self.fetch_jobs())

    def _kept(self, job_name: str) -> V1Job | None:
        kept = self._keeper.kept(job_name) if self._keeper is not None else None
        if kept is None:
            return None
        job = kept.as_job()
        told = {KEPT: kept.at, **({LOST: " ".join(kept.lost)} if kept.lost else {})}
        job.metadata.annotations = {**(job.metadata.annotations or {}), **told}
        return job

    def _kept_whole(self, job: V1Job) -> Kept | None:
        """What is kept of a Job of which no more is to be had: then it is what the cluster could tell, or more."""
        if self._keeper is None:
            return None
        if is_kept(job):
            return self._keeper.kept(job.metadata.name)
        if not self._keeper.is_whole(job.metadata.uid):
            return None
        try:
            kept = self._keeper.kept(job.metadata.name, patience_s=0)
        except PeerError:
            return None
        return kept if kept is not None and kept.uid == job.metadata.uid else None


class Service:
    """The parts of one server that are about definitions, from :meth:`start` to :meth:`stop`: the view, the keeper,
    the cleanup."""

    def __init__(
        self,
        cluster: KubernetesCluster,
        definitions_file: str,
        *,
        signature: str,
        retention_s: float,
        kept_s: float | None,
        archive: Archive | None,
        per_user: int | None = None,
    ) -> None:
        """Jobs that have ended stay in the cluster for ``retention_s``, in the archive for ``kept_s``: None is ever.
        ``per_user`` of a user's may be unfinished at a time; None is no limit."""
        self._allowance = Allowance(per_user) if per_user is not None else None
        self._connection = connections.OwnConnection(cluster.session)
        register = ReloadingJobDefinitionsRegister(FileReloader(definitions_file), connection=self._connection)
        self._register = register
        plain = JobManager(cluster.namespace, JobSigner(signature), register, connection=self._connection)
        self._keeper = self._retention = None
        if archive is not None:
            kept = archive.jobs(plain.namespace, plain.signer.signature)
            self._keeper = Keeper(plain, kept)
            self._retention = Retention(kept, kept_s) if kept_s is not None else None
        told: dict[str, Any] = {}
        if self._keeper is not None:
            told = {"on_change": self._keeper.changed, "on_gone": self._keeper.gone}
        self._view = JobsView(cluster, plain.signer.label_selector(), **told)
        self._retention_s = retention_s
        self._deleter = JobDeleter(plain)
        self._plain = plain
        self._stops: list[Callable[[], None]] = []

    def manager_for(self, user: str, name: str, *, knows_all: bool) -> ServedJobs:
        """The Jobs of ``user``, whom people know by ``name``; with ``knows_all`` those of everybody, where new ones are
        this user's."""
        plain = self._plain
        signer = UserSigner(plain.signer.signature, user, knows_all=knows_all)
        manager = JobManager(plain.namespace, signer, plain.register, connection=plain.connection)
        asker = f"a request of {name} to this server"
        allowance = None if knows_all else self._allowance
        return ServedJobs(manager, self._view, self._keeper, asker=asker, allowance=allowance)

    def standing(self) -> Standing:
        """How it all stands, as far as it is known without asking anybody."""
        definitions, problems = self._register.counts()
        to_keep, is_archive_away = self._keeper.waiting() if self._keeper is not None else (0, False)
        return Standing(
            definitions=definitions,
            problems=problems,
            is_watched=self._view.is_current(),
            to_keep=to_keep,
            is_archive_away=is_archive_away,
        )

    def job_counts(self) -> dict[tuple[str, str], int]:
        """The Jobs in the cluster by definition and state, as far as they are known without asking it."""
        return counted(self._view.jobs(), self._plain)

    def start(self) -> None:
        """Begin to follow the Jobs, to keep them, and to remove those whose time has come."""
        for part in (self._view, self._keeper, self._retention):
            if part is not None:
                thread = threading.Thread(target=part.run, name=f"definitions-{type(part).__name__}", daemon=True)
                self._stops += [part.stop, thread.join]
                thread.start()
        stop_cleanup = self._deleter.run_background_cleanup(
            CLEANUP_S, retention_period_sec=self._retention_s, delete_callback=self._before_deletion
        )
        self._stops += [stop_cleanup, look_in_background(self._register)]

    def stop(self) -> None:
        """End what :meth:`start` began; a call that the cluster does not answer is waited for only a while."""
        ending = [threading.Thread(target=stop, daemon=True) for stop in self._stops]
        for thread in ending:
            thread.start()
        until = time.monotonic() + STOP_S
        for thread in ending:
            thread.join(max(0.0, until - time.monotonic()))
        self._connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _before_deletion(self, job: V1Job) -> None:
        if self._keeper is not None:
            self._keeper.keep(job, by=f"its annotation {JobDeleter.JOB_DELETION_TIME_ANNOTATION}")
        logger.info("Job %s is deleted: its retention is over", job.metadata.name)


def _place(job: V1Job) -> str:
    """Where it stands in a list that begins with the newest."""
    created = job.metadata.creation_timestamp
    return f"{_LATEST - int(created.timestamp() if created else 0):011}.{job.metadata.name}"


def _cut(logs: Logs, limit: int | None) -> JobManager.LogsByPodAndContainer:
    """The last lines of each."""
    return {
        pod: {name: text.split("\n") if limit is None else text.split("\n")[-limit:] for name, text in texts.items()}
        for pod, texts in logs.items()
    }
