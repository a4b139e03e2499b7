"""Keeps what a run's Jobs said before they are deleted: their containers' logs, last words, and evidence.

What can't be kept is no reason to stop; where there is no log, the archive says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from lando import labels, logs
from lando.archive import Entry
from lando.decide import ObjectRef
from lando.errors import PeerError
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import Container, containers, mapping, name, newest_first, uid
from lando.k8s.observe import Observation
from lando.k8s.untold import harmless


class LogArchive(Protocol):
    """Where logs go before their Jobs are deleted."""

    def store(
        self, run_id: int, step: str, attempt: int, container: str, log: str, termination: str | None = None
    ) -> None: ...
    def store_missing(
        self, run_id: int, step: str, attempt: int, why: str, container: str = "", termination: str | None = None
    ) -> None: ...
    def store_evidence(self, run_id: int, step: str, attempt: int, document: Mapping[str, Any]) -> None: ...
    def entries(self, run_id: int) -> Sequence[Entry]: ...


class Archiving:
    """What one transition of one run keeps; does nothing without an archive."""

    def __init__(
        self, archive: LogArchive | None, cluster: Cluster, run_id: int, observation: Observation, log_bytes: int
    ) -> None:
        self._archive = archive
        self._cluster = cluster
        self._run_id = run_id
        self._observation = observation
        self._log_bytes = log_bytes

    def evidence(self, step: str | None) -> None:
        """Keep what a failure or wait of ``step`` was read from."""
        seen = self._observation.evidence.get(step or "")
        if self._archive is not None and step is not None and seen is not None:
            self._keep(partial(self._archive.store_evidence, self._run_id, step, seen["attempt"], seen), "evidence")

    def logs_of(self, ref: ObjectRef) -> None:
        """Keep the logs of a Job's containers, init containers too; nothing if the Job was not observed."""
        job = self._observation.jobs.get(ref)
        if job is None or self._archive is None:
            return
        key = labels.step_key(mapping(job["metadata"].get("labels")))
        attempt = str(mapping(job["metadata"].get("annotations")).get(labels.ATTEMPT, "1"))
        if key is None or not attempt.isdigit():
            return
        nothing = f"no pod of the Job {ref.name} was left."
        self._logs(key.step, int(attempt), self._observation.pods.get(uid(job), ()), nothing)

    def vanished(self, step: str, attempt: int, ref: ObjectRef, job_uid: str) -> None:
        """Keep the logs of pods that outlived their Job; where there are none, say so."""
        nothing = f"the Job {ref.name} was gone before its log could be kept."
        self._logs(step, attempt, self._observation.pods.get(job_uid, ()), nothing)

    def _logs(self, step: str, attempt: int, pods: Sequence[Manifest], nothing: str) -> None:
        archive = self._archive
        if archive is None:
            return
        with logs.about(step=step, attempt=attempt):
            started = [
                (pod, container, container.name if number == 0 else f"{container.name}.{name(pod)}")
                for number, pod in enumerate(newest_first(pods))
                for container in containers(pod)
                if mapping(container.status.get("state")).keys() & {"running", "terminated"}
            ]
            for pod, container, kept_as in started:
                self._log(archive, step, attempt, name(pod), container, kept_as)
            if not started:
                why = "none of its containers was started." if pods else nothing
                self._keep(partial(archive.store_missing, self._run_id, step, attempt, why))

    def _log(self, archive: LogArchive, step: str, attempt: int, pod: str, container: Container, kept_as: str) -> None:
        message = container.terminated.get("message")
        try:
            text = self._cluster.pod_log(pod, container.name, limit_bytes=self._log_bytes)
        except PeerError as error:
            why = f"it could not be read from the cluster ({error})."
            self._keep(partial(archive.store_missing, self._run_id, step, attempt, why, kept_as, message))
            return
        self._keep(partial(archive.store, self._run_id, step, attempt, kept_as, text, message))

    def _keep(self, keep: Callable[[], None], what: str = "archive") -> None:
        harmless(self._run_id, what, keep)
