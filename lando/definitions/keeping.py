"""What the archive keeps of a Job, so that its logs and its cause can be read when the cluster has it no more."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes.client.exceptions import ApiException

from lando.archive import JobArchive
from lando.definitions import pod_logs
from lando.definitions.causes import events_of
from lando.definitions.connection import job_of
from lando.definitions.exceptions import NotFoundException
from lando.definitions.kubernetes_errors import message_of
from lando.definitions.manager import JobManager
from lando.definitions.spec import V1Job
from lando.errors import PeerError
from lando.runs import Category, Cause

logger = logging.getLogger(__name__)

LINES = 10_000
"""Of each container, the last."""
PODS = 20
"""Of each Job, the newest."""
BYTES = 16 * 1024 * 1024
"""Of the logs of each Job, those of the newest pods first: they are in memory, all at once."""
RETRY_S = 10.0
"""Until an archive or a cluster that was away is asked again."""

Logs = dict[str, dict[str, str]]
"""By pod and container."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One Job as it was."""

    job: V1Job
    at: str
    cause: Cause | None
    terminations: Logs
    events: list[dict[str, Any]]


class Keeper:
    """Keeps the Jobs of ``manager``, those that have ended as soon as they are told by :meth:`ended`."""

    def __init__(self, manager: JobManager, archive: JobArchive) -> None:
        self._manager = manager
        self._archive = archive
        self._waiting: dict[str, str] = {}
        self._told = threading.Condition()
        self._stopped = False

    def ended(self, job: V1Job) -> None:
        """Keep the Job soon, by the thread of :meth:`run`."""
        with self._told:
            self._waiting[job.metadata.name] = job.metadata.uid
            self._told.notify()

    def run(self) -> None:
        """Keep what :meth:`ended` is told, until :meth:`stop`."""
        while True:
            with self._told:
                self._told.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                name, uid = next(iter(self._waiting.items()))
            try:
                if self.uid_of(name) != uid:
                    self.keep(self._manager.read_job(name))
            except NotFoundException:
                logger.warning("Job %s was gone before its logs could be kept", name)
            except Exception as error:  # noqa: BLE001 - the archive or the cluster is away
                logger.warning("Job %s can't be kept yet: %s", name, _words(error))
                with self._told:
                    self._waiting[name] = self._waiting.pop(name)  # behind the others
                    self._told.wait_for(lambda: self._stopped, RETRY_S)
                continue
            with self._told:
                if self._waiting.get(name) == uid:
                    del self._waiting[name]

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        with self._told:
            self._stopped = True
            self._told.notify()

    def keep(self, job: V1Job) -> None:
        """Have the archive keep the Job; nothing where it does already, unless there may be more to keep.

        Raises PeerError when the archive is away, and what a cluster that is away raises.
        """
        name, namespace = job.metadata.name, self._manager.namespace
        before = self._archive.document(name)
        is_same = before is not None and before["job"]["metadata"].get("uid") == job.metadata.uid
        if before is not None and is_same and (before["is_over"] or job.metadata.deletion_timestamp):
            return
        logs: Logs = {}
        terminations: Logs = {}
        with self._manager.connection.core() as core:
            pods = self._manager.pods_of(core, name)
            pods = sorted(pods, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)[:PODS]
            left = BYTES
            for pod in pods:
                for container in pod_logs.containers_of(pod):
                    text = self._log(core, pod, container, left)
                    logs.setdefault(pod.metadata.name, {})[container] = text
                    left = max(0, left - len(text.encode()))
                terminations[pod.metadata.name] = pod_logs.terminations_of(pod)
            uids = [job.metadata.uid, *(pod.metadata.uid for pod in pods)]
            events = [event for uid in uids for event in events_of(core, namespace, uid)]
            document = core.api_client.sanitize_for_serialization(job)
        cause = self._manager.job_cause(job)
        self._archive.store(
            name,
            {
                "job": document,
                "kept": datetime.now(UTC).isoformat(timespec="seconds"),
                "is_over": self._manager.job_is_finished(job),
                "cause": cause
                and {
                    "category": cause.category.value,
                    "sentence": cause.sentence,
                    "advice": cause.advice,
                    "exit_code": cause.exit_code,
                    "log_tail": cause.log_tail,
                },
                "terminations": terminations,
                "events": events,
            },
            logs,
        )

    def uid_of(self, name: str) -> str | None:
        """Of the Job of that name that is kept whole."""
        document = self._archive.document(name)
        if document is None or not document["is_over"]:
            return None
        uid: str = document["job"]["metadata"]["uid"]
        return uid

    def kept(self, name: str) -> Kept | None:
        """The last Job of that name; None where there was none."""
        document = self._archive.document(name)
        if document is None:
            return None
        cause = document["cause"]
        return Kept(
            job=job_of(document["job"]),
            at=document["kept"],
            cause=cause and Cause(**{**cause, "category": Category(cause["category"])}),
            terminations=document["terminations"],
            events=document["events"],
        )

    def logs(self, name: str) -> Logs:
        """Those of the last Job of that name; nothing where none are kept."""
        return self._archive.logs(name) or {}

    def _log(self, core: Any, pod: Any, container: str, limit_bytes: int) -> str:
        if not limit_bytes:
            return f"[There is no log: only {BYTES} bytes of a Job's logs are kept.]"
        try:
            found = pod_logs.lines(core, pod, container, limit=LINES, limit_bytes=limit_bytes)
        except ApiException as error:  # its node may be gone for good, and the Job is not to be kept for that
            return f"[There is no log: {message_of(error)}]"
        return "[There is no log: the pod was gone.]" if found is None else "\n".join(found)


def _words(error: Exception) -> str:
    if isinstance(error, ApiException):
        return message_of(error)
    return str(error) if isinstance(error, PeerError) else type(error).__name__
