"""The job controller of the embedded cluster: makes a Job's pods, counts them, and says when the Job has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from lando.local.controllers.event_recorder import NORMAL, WARNING, EventRecorder
from lando.local.controllers.job_decisions import FAILURE_BACKOFF_S, TRACKING, decide_job, pod_for
from lando.local.controllers.reconciling import Controller, Informer, Key, key_of
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

CREATE_RETRY_S = 1.0
"""Seconds after which a pod that could not be made (a quota, an invalid template) is tried again."""


class JobController(Controller):
    """Watches Jobs and their pods; what to do, :func:`.job_decisions.decide_job` decides."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        failure_backoff_s: float = FAILURE_BACKOFF_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._failure_backoff_s = failure_backoff_s
        self._events = EventRecorder(store, "job-controller", clock=clock)
        sources = (Informer(store, "jobs", self._job_changed), Informer(store, "pods", self._pod_changed))
        super().__init__("job-controller", self._reconcile, sources)

    def _job_changed(self, _change: str, job: Manifest) -> None:
        self.queue.add(key_of(job))

    def _pod_changed(self, change: str, pod: Manifest) -> None:
        owner = controlling_job(pod)
        tracked = change != "DELETED" and TRACKING in pod["metadata"].get("finalizers", [])
        job = None
        if owner is not None:
            namespace, name = pod["metadata"]["namespace"], owner["name"]
            self.queue.add((namespace, name))
            job = self._store.find("jobs", namespace, name) if tracked else None
        if tracked and (owner is None or job is None or job["metadata"]["uid"] != owner["uid"]):
            # Orphaned, or its Job is gone: nobody is left who could count it.
            self._release(pod)

    def _reconcile(self, key: Key) -> float | None:
        namespace, name = key
        job = self._store.find("jobs", namespace, name)
        if job is None:
            self._release_orphans(namespace, name)
            return None
        decision = decide_job(job, self._pods_of(job), self._clock(), failure_backoff_s=self._failure_backoff_s)
        if decision.status != job.get("status"):
            # Guarded by the version that was looked at: a conflict means there is more to look at.
            job = self._store.update_status("jobs", namespace, {**job, "status": decision.status})
        for kind, reason, message in decision.events:
            self._events.record(job, kind, reason, message)
        for pod in decision.release:
            self._release(pod)
        for pod in decision.delete:
            self._delete(job, pod)
        again_s = decision.again_s
        for index in decision.create:
            if not self._create(job, index):
                again_s = min(again_s, CREATE_RETRY_S) if again_s is not None else CREATE_RETRY_S
                break
        if decision.delete_job:
            self._store.delete("jobs", namespace, name, propagation="Foreground", uid=job["metadata"]["uid"])
        return again_s

    def _pods_of(self, job: Manifest) -> list[Manifest]:
        uid = job["metadata"]["uid"]
        chosen = (job["spec"].get("selector") or {}).get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in sorted(chosen.items()))
        pods = self._store.list("pods", job["metadata"]["namespace"], label_selector=selector).items
        return [pod for pod in pods if (controlling_job(pod) or {}).get("uid") == uid]

    def _create(self, job: Manifest, index: int | None) -> bool:
        try:
            pod = self._store.create("pods", job["metadata"]["namespace"], pod_for(job, index))
        except ApiError as error:
            self._events.record(job, WARNING, "FailedCreate", f"Error creating: {error}")
            return False
        self._events.record(job, NORMAL, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return True

    def _delete(self, job: Manifest, pod: Manifest) -> None:
        namespace, name = key_of(pod)
        try:
            self._store.delete("pods", namespace, name, uid=pod["metadata"]["uid"])
        except ApiError as error:
            if error.code != 404:
                raise
            return
        self._events.record(job, NORMAL, "SuccessfulDelete", f"Deleted pod: {name}")

    def _release_orphans(self, namespace: str, name: str) -> None:
        """Free the pods of a Job that is gone."""
        for pod in self._store.list("pods", namespace).items:
            owner = controlling_job(pod)
            if owner is not None and owner["name"] == name and TRACKING in pod["metadata"].get("finalizers", []):
                self._release(pod)

    def _release(self, pod: Manifest) -> None:
        namespace, name = key_of(pod)

        def without_finalizer(current: Manifest) -> None:
            kept = [each for each in current["metadata"].get("finalizers", []) if each != TRACKING]
            current["metadata"]["finalizers"] = kept

        try:
            self._store.modify("pods", namespace, name, without_finalizer, uid=pod["metadata"]["uid"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def controlling_job(pod: Manifest) -> Manifest | None:
    """The owner reference of the Job that controls ``pod``."""
    for reference in pod["metadata"].get("ownerReferences") or []:
        if reference.get("controller") and reference["kind"] == "Job":
            return dict(reference)
    return None
