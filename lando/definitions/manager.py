"""Jobs of named definitions: made, found, read and removed, each only under its manager's signature."""

from __future__ import annotations

import heapq
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import urllib3.exceptions
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from lando.definitions import connection as connections
from lando.definitions import idempotency, pod_logs
from lando.definitions.causes import cause_of, causes_of, events_of
from lando.definitions.deleting import JobDeleter
from lando.definitions.exceptions import ArgumentError, DefinitionError, NotFoundException, remaps_exception
from lando.definitions.kubernetes_errors import is_kubernetes_not_found_exception
from lando.definitions.registers import JobDefinitionsRegister, StaticJobDefinitionsRegister
from lando.definitions.signing import JobSigner, check_label_value
from lando.definitions.spec import Job, JobGenerator, V1Job, name_of, rename
from lando.runs import Cause

__all__ = [
    "JobDefinitionsRegister",
    "JobDeleter",
    "JobManager",
    "JobSigner",
    "NotFoundException",
    "StaticJobDefinitionsRegister",
    "is_kubernetes_not_found_exception",
]

logger = logging.getLogger(__name__)

PAGE_SIZE = 250  # a Job is some kilobytes as JSON, and a multiple of that as objects
NAMES_TRIED = 5  # one collision of 96 random bits is unlikely enough; a broken source of them is not endless
LOOK_S = 2.0  # between two looks at a Job that is waited for
HISTORY_PODS = 20  # whose events are asked for, by a call each
LISTS_TRIED = 3  # how often a list whose place expired is begun again
_GENERATED = re.compile(rf"-[0-9a-f]{{{2 * JobGenerator.SUFFIX_BYTES}}}")

_NAME = re.compile(r"[\w.-]{1,253}", re.ASCII)

_not_found = remaps_exception(matchers=[(is_kubernetes_not_found_exception, NotFoundException)])


class JobManager:
    """The Jobs of one namespace that have one signature.

    The kubernetes client's default configuration has to be loaded before the first call, unless there is a
    ``connection``. What a cluster answers besides 404 is raised as the client's ApiException.
    """

    JOB_LOGS_LIMIT_BYTES = 1024**3
    """Of each container's log."""

    class JobStatus(Enum):
        """Where a Job stands."""

        RUNNING = "Running"
        COMPLETE = "Complete"
        FAILED = "Failed"

    LogsByPodAndContainer = dict[str, dict[str, list[str]]]

    def __init__(
        self,
        namespace: str,
        signer: JobSigner,
        register: JobDefinitionsRegister,
        *,
        connection: connections.Connection = connections.DEFAULT,
    ) -> None:
        self.namespace = namespace
        self.signer = signer
        self.register = register
        self.connection = connection

    def create_job(
        self,
        job_definition_name: str,
        template_args: Mapping[str, Any] | None = None,
        pre_create: Callable[[Job], object] | None = None,
        *,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> str:
        """Make a Job of the definition; its name, as the cluster answered it.

        ``pre_create`` is given the signed Job and may change it; when it raises, nothing is made. Of all calls with one
        ``idempotency_key`` the first makes the Job and the others get its name, as long as there is that Job. With
        ``dry_run`` the cluster only says whether it would take the Job.

        Raises:
            NotFoundException: there is no such definition.
            MissingArgument: (a jinja2 UndefinedError) the template needs an argument that was not given.
            ArgumentError: (a ValueError) an argument does not fit.
            DefinitionError: (a ValueError) the definition makes no manifest of a Job.
            IdempotencyError: (a ValueError) the key came before with other arguments, or made a Job that is going.
        """
        made = self.obtain_job(
            job_definition_name, template_args, pre_create, idempotency_key=idempotency_key, dry_run=dry_run
        )
        return str(made.metadata.name)

    def obtain_job(
        self,
        job_definition_name: str,
        template_args: Mapping[str, Any] | None = None,
        pre_create: Callable[[Job], object] | None = None,
        *,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> V1Job:
        """As :meth:`create_job`; the Job, as the cluster answered it."""
        job = self.make_job(job_definition_name, template_args)
        digest = None
        if idempotency_key is not None:
            digest = idempotency.mark(job, self.signer.scope, job_definition_name, idempotency_key, template_args)
        name = name_of(job)
        if pre_create is not None:
            pre_create(job)
        has_broken = False
        for _ in range(NAMES_TRIED - 1):
            try:
                return self._create(job, dry_run=dry_run)
            except urllib3.exceptions.ProtocolError:  # a kept connection that was just closed, or a broken one
                if name_of(job) != name or not _GENERATED.search(name):
                    raise
                has_broken = True  # it may have come there, which the name tells: nobody else has these digits
            except ApiException as error:
                if error.status != 409 or name_of(job) != name:  # a name that the hook chose is the only one
                    raise
                if digest is not None or has_broken:
                    try:
                        made = self.read_job(name)
                    except NotFoundException:  # gone meanwhile, or another signature's
                        continue
                    if digest is not None:
                        idempotency.check(made, digest)
                    return made
                logger.info("The name %s is taken; another is tried", name)
                name = _GENERATED.sub("", name) + "-" + secrets.token_hex(JobGenerator.SUFFIX_BYTES)
                rename(job, name)
        return self._create(job, dry_run=dry_run)

    def make_job(self, job_definition_name: str, template_args: Mapping[str, Any] | None = None) -> Job:
        """The signed Job that :meth:`create_job` would send; nothing is made."""
        generator = self.register.get_generator(job_definition_name)
        try:
            check_label_value("the name", job_definition_name)
            job = generator.generate(template_args=template_args)
        except (DefinitionError, ArgumentError) as error:
            raise type(error)(f"definition {job_definition_name!r}: {error}") from error
        except NotFoundException as error:  # of its template
            raise NotFoundException(error.args[0], f"definition {job_definition_name!r}: {error}") from error
        self.signer.sign(job, job_definition_name)
        return job

    @_not_found
    def delete_job(self, job: V1Job) -> None:
        """Have the Job and its pods removed; returns before they are gone. NotFoundException when there is none."""
        name, uid = job.metadata.name, job.metadata.uid
        if not (uid and self.signer.has_signed(job)):
            uid = self.read_job(name).metadata.uid
        options = client.V1DeleteOptions(
            propagation_policy="Foreground", preconditions=client.V1Preconditions(uid=uid) if uid else None
        )
        try:
            with self.connection.batch() as batch:
                batch.delete_namespaced_job(name=name, namespace=self.namespace, body=options)
        except ApiException as error:
            if error.status == 409:  # a Job of that name, but another one
                raise NotFoundException(error) from error
            raise

    def fetch_jobs(self, job_definition_name: str | None = None, **extra_labels: Any) -> Iterator[V1Job]:
        """The Jobs of this signature, of one definition if given, with all of ``extra_labels``; page by page."""
        selector = self.signer.label_selector(job_definition_name, **extra_labels)
        told: set[str] = set()
        for attempt in range(LISTS_TRIED):
            try:
                for job in self._listed(selector):
                    identity = job.metadata.uid or job.metadata.name
                    if identity not in told:
                        told.add(identity)
                        yield job
                return
            except ApiException as error:
                if error.status != 410 or attempt + 1 == LISTS_TRIED:
                    raise

    def list_jobs(self, job_definition_name: str | None = None, **extra_labels: Any) -> list[V1Job]:
        """All that :meth:`fetch_jobs` gives."""
        return list(self.fetch_jobs(job_definition_name, **extra_labels))

    def list_page(
        self, job_definition_name: str | None = None, *, limit: int = PAGE_SIZE, token: str | None = None
    ) -> tuple[list[V1Job], str | None]:
        """One page of the list, and the token of the next one if there is more."""
        return self._page(self.signer.label_selector(job_definition_name), limit, token)

    @_not_found
    def read_job(self, job_name: str) -> V1Job:
        """The Job with its status. NotFoundException when there is none of that name and this signature."""
        if not _NAME.fullmatch(job_name) or job_name in (".", ".."):  # they would be another path of the API
            raise NotFoundException(f"no Job can have the name {job_name!r}")
        with self.connection.batch() as batch:
            job = batch.read_namespaced_job_status(name=job_name, namespace=self.namespace)
        if not self.signer.has_signed(job):
            raise NotFoundException(f"the Job {job_name} is not one of {self.signer.signature!r}")
        return job

    def wait_for_job(self, job_name: str, timeout_s: float | None = None) -> V1Job:
        """The Job as soon as it has ended, or as it stands after ``timeout_s``; None waits for as long as it takes.

        The cluster is asked every :data:`LOOK_S`; one that is away meanwhile is asked again, and what it last answered
        is raised at the time-out only. NotFoundException when there is no such Job, or no more.
        """
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        job = self.read_job(job_name)
        while True:
            left = until - time.monotonic()
            if left <= 0 or self.job_is_finished(job):
                return job
            time.sleep(min(left, LOOK_S))
            try:
                job = self.read_job(job_name)
            except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                is_away = not isinstance(error, ApiException) or error.status in (None, 0, 429) or error.status >= 500
                if not is_away or time.monotonic() >= until:
                    raise
                logger.warning("The Job %s can't be looked at now: %s", job_name, type(error).__name__)

    def job_logs(self, job_name: str | V1Job, limit: int | None = 200) -> LogsByPodAndContainer:
        """The last ``limit`` lines of each container of each pod of the Job, or the one of that name; None for all:
        pod, container, lines.

        Of a container that has not started, the reason is its only line. NotFoundException when there is no such Job.
        """
        job = self.read_job(job_name) if isinstance(job_name, str) else job_name
        told: JobManager.LogsByPodAndContainer = {}
        with self.connection.core() as core:
            for pod in self.pods_of(core, job.metadata.name, job.metadata.uid):
                logs = told.setdefault(pod.metadata.name, {})
                for container in pod_logs.containers_of(pod):
                    found = pod_logs.lines(core, pod, container, limit=limit, limit_bytes=self.JOB_LOGS_LIMIT_BYTES)
                    if found is not None:
                        logs[container] = found
        return told

    def job_status(self, job: str | V1Job) -> JobManager.JobStatus:
        """Where the Job, or the one of that name, stands: its first condition that is an end decides."""
        found = self.read_job(job) if isinstance(job, str) else job
        for condition in (found.status.conditions if found.status else None) or []:
            if condition.status == "True" and condition.type in ("Complete", "Failed"):
                return self.JobStatus(condition.type)
        return self.JobStatus.RUNNING

    def job_is_finished(self, job: str | V1Job) -> bool:
        """Whether the Job, or the one of that name, has ended, well or not."""
        return self.job_status(job) is not self.JobStatus.RUNNING

    def job_cause(self, job: str | V1Job) -> Cause | None:
        """Why the Job, or the one of that name, failed or what it waits for; None when it succeeded or is at work."""
        found = self.read_job(job) if isinstance(job, str) else job
        if self.job_status(found) is self.JobStatus.COMPLETE:
            return None
        with self.connection.core() as core:
            return cause_of(core, found, self.namespace)

    def job_causes(self, jobs: Sequence[V1Job]) -> dict[str, Cause]:
        """By name, the cause of each of these Jobs that failed or waits, without its events and log: for lists."""
        open_ones = [job for job in jobs if self.job_status(job) is not self.JobStatus.COMPLETE]
        with self.connection.core() as core:
            return causes_of(core, open_ones, self.namespace)

    def job_history(self, job: str | V1Job) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
        """The events of the Job, or the one of that name, and of its :data:`HISTORY_PODS` newest pods, as the API has
        them; by pod and container the termination messages of all."""
        found = self.read_job(job) if isinstance(job, str) else job
        with self.connection.core() as core:
            pods = self.pods_of(core, found.metadata.name, found.metadata.uid)
            newest = heapq.nlargest(HISTORY_PODS, pods, key=lambda pod: pod.metadata.creation_timestamp)
            uids = [found.metadata.uid, *(pod.metadata.uid for pod in newest)]
            events = [event for uid in uids for event in events_of(core, self.namespace, uid)]
        return events, {pod.metadata.name: pod_logs.terminations_of(pod) for pod in pods}

    def pods_of(self, core: Any, job_name: str, uid: str | None = None) -> list[Any]:
        """The pods that there are of the Job; with its ``uid`` none of another one that had its name."""
        return list(self.each_pod(core, job_name, uid))

    def each_pod(self, core: Any, job_name: str, uid: str | None = None) -> Iterator[Any]:
        """As :meth:`pods_of`, page by page."""
        place: dict[str, str] = {}
        while True:
            listed = core.list_namespaced_pod(
                namespace=self.namespace, label_selector=f"job-name={job_name}", limit=PAGE_SIZE, **place
            )
            yield from (pod for pod in listed.items if uid is None or _controller(pod) in (None, uid))
            place = {"_continue": listed.metadata._continue}
            if not place["_continue"]:
                return

    def _create(self, job: Job, *, dry_run: bool) -> V1Job:
        options = {"dry_run": "All"} if dry_run else {}
        with self.connection.batch() as batch:
            return batch.create_namespaced_job(namespace=self.namespace, body=connections.body_of(job), **options)

    def _listed(self, selector: str) -> Iterator[V1Job]:
        token: str | None = None
        while True:
            page, token = self._page(selector, PAGE_SIZE, token)
            yield from page
            if not token:
                return

    def _page(self, selector: str, limit: int, token: str | None) -> tuple[list[V1Job], str | None]:
        place = {"_continue": token} if token else {}
        with self.connection.batch() as batch:
            listed = batch.list_namespaced_job(namespace=self.namespace, label_selector=selector, limit=limit, **place)
        return list(listed.items), listed.metadata._continue or None


def _controller(pod: Any) -> str | None:
    """The UID of what made the pod."""
    owners = pod.metadata.owner_references or []
    return next((str(owner.uid) for owner in owners if owner.controller), None)
