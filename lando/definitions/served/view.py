"""The Jobs of one signature, kept true by a watch, so that to ask for them costs the cluster no call.

A watch tells late. So what was written through here is laid over what the watch has told, until that has come to it.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from lando.definitions.connection import job_of
from lando.definitions.spec import V1Job
from lando.k8s.cluster import Cluster
from lando.k8s.reflector import Change, ChangeType, Reflector

RELIST_S = 60.0
"""Between lists where the account may not watch: what has ended is still to be kept."""
MAX_WRITTEN = 1000
"""Jobs to which the watch has not come yet; with more of them the view begins anew, by a list."""


class JobsView:
    """Safe to use from several threads; ``on_change`` is told each Job that is new or has changed, ``on_gone`` each
    that the cluster has no more, as it was last seen, and whether that was its end."""

    def __init__(
        self,
        cluster: Cluster,
        label_selector: str,
        *,
        on_change: Callable[[V1Job], None] = lambda job: None,
        on_gone: Callable[[V1Job, bool], None] = lambda job, is_seen: None,
    ) -> None:
        self._on_change = on_change
        self._on_gone = on_gone
        self._jobs: dict[str, V1Job] = {}
        self._written: dict[str, V1Job] = {}
        self._lock = threading.Lock()
        self._heard = threading.Condition(self._lock)
        self._stopped = False
        self._reflector = Reflector(cluster, "Job", self._changed, label_selector=label_selector, relist_s=RELIST_S)

    def is_current(self) -> bool:
        """Whether it can be relied on: otherwise the cluster itself has to be asked."""
        followed = self._reflector
        return followed.healthy() and followed.last_error is None and followed.may_watch

    def jobs(self) -> list[V1Job]:
        """All, by name; they are shared and must not be changed."""
        with self._lock:
            self._forget_told()
            jobs = self._jobs | self._written
        return [jobs[name] for name in sorted(jobs)]

    def get(self, name: str) -> V1Job | None:
        with self._lock:
            return self._known(name)

    def await_change(self, name: str, seen: V1Job | None, timeout_s: float) -> None:
        """Until :meth:`get` gives something else than ``seen``, :meth:`stop`, or ``timeout_s`` are over."""
        with self._heard:
            self._heard.wait_for(lambda: self._stopped or self._known(name) is not seen, timeout_s)

    def made(self, job: V1Job) -> None:
        """Take in a Job that the cluster has answered to whoever made it."""
        with self._lock:
            known = self._known(job.metadata.name)
            if known is None or known.metadata.uid != job.metadata.uid:
                self._note(job)

    def deleted(self, job: V1Job) -> None:
        """Take in that the cluster has been told to delete the Job, which was read before."""
        with self._lock:
            known = self._known(job.metadata.name)
            if known is None or known.metadata.uid != job.metadata.uid:
                known = job
            going = copy.copy(known)
            going.metadata = copy.copy(known.metadata)
            going.metadata.deletion_timestamp = known.metadata.deletion_timestamp or datetime.now(UTC)
            if self._jobs.get(job.metadata.name) is known:
                self._jobs[job.metadata.name] = going
            else:
                self._note(going)

    def run(self) -> None:
        """Follow the cluster until :meth:`stop`."""
        self._reflector.run()

    def stop(self) -> None:
        """End :meth:`run`, from any thread, and whatever waits."""
        self._reflector.stop()
        with self._heard:
            self._stopped = True
            self._heard.notify_all()

    def _known(self, name: str) -> V1Job | None:
        self._forget_told()
        return self._written.get(name) or self._jobs.get(name)

    def _note(self, job: V1Job) -> None:
        """Lay ``job`` over what the watch has told, unless that is past it: then it was told, and may be gone again."""
        self._written[job.metadata.name] = job
        self._forget_told()
        if len(self._written) > MAX_WRITTEN:
            self._written.clear()
            self._reflector.list_again()

    def _forget_told(self) -> None:
        told = _number(self._reflector.version)
        for name, job in list(self._written.items()):
            if _number(job.metadata.resource_version) <= told:
                del self._written[name]
                if name not in self._jobs:  # it came and went while nothing was heard of the cluster
                    self._on_gone(job, False)

    def _changed(self, change: Change) -> None:
        name = str(change.object["metadata"]["name"])
        if change.type is ChangeType.DELETED:
            with self._lock:
                known = self._jobs.get(name)
                if known is not None and known.metadata.uid == change.uid:  # else one of that name came after it
                    del self._jobs[name]
                    self._heard.notify_all()
            self._on_gone(job_of(change.object), change.is_seen)
            return
        job = job_of(change.object)
        with self._lock:
            known = self._known(name)
            if known is not None and known.metadata.uid == change.uid and job.metadata.deletion_timestamp is None:
                job.metadata.deletion_timestamp = known.metadata.deletion_timestamp  # which nothing takes back
            self._jobs[name] = job
            self._forget_told()
            self._heard.notify_all()
        self._on_change(job)


def _number(version: str | None) -> float:
    """A version of Kubernetes' is a whole number, and those of one kind grow; what is none counts as told."""
    return int(version) if version and version.isdecimal() else -math.inf
