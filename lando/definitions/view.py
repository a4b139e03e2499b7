"""The Jobs of one signature, kept true by a watch, so that to ask for them costs the cluster no call."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lando.definitions.connection import job_of
from lando.definitions.spec import V1Job
from lando.k8s.cluster import Cluster
from lando.k8s.reflector import Change, ChangeType, Reflector


class JobsView:
    """Safe to use from several threads; ``on_change`` is told each Job that is new or has changed."""

    def __init__(
        self, cluster: Cluster, label_selector: str, *, on_change: Callable[[V1Job], None] = lambda job: None
    ) -> None:
        self._on_change = on_change
        self._jobs: dict[str, V1Job] = {}
        self._lock = threading.Lock()
        self._reflector = Reflector(cluster, "Job", self._changed, label_selector=label_selector)

    def is_current(self) -> bool:
        """Whether it can be relied on: otherwise the cluster itself has to be asked."""
        return self._reflector.healthy() and self._reflector.last_error is None

    def jobs(self) -> list[V1Job]:
        """All, by name; they are shared and must not be changed."""
        with self._lock:
            return [self._jobs[name] for name in sorted(self._jobs)]

    def get(self, name: str) -> V1Job | None:
        with self._lock:
            return self._jobs.get(name)

    def run(self) -> None:
        """Follow the cluster until :meth:`stop`."""
        self._reflector.run()

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        self._reflector.stop()

    def _changed(self, change: Change) -> None:
        name = str(change.object["metadata"]["name"])
        if change.type is ChangeType.DELETED:
            with self._lock:
                known = self._jobs.get(name)
                if known is not None and known.metadata.uid == change.uid:  # else one of that name came after it
                    del self._jobs[name]
            return
        job = job_of(change.object)
        with self._lock:
            self._jobs[name] = job
        self._on_change(job)
