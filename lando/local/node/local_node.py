"""Everything of the embedded cluster that makes objects into running programs, started and stopped as one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lando.local.controllers.job_controller import JobController
from lando.local.controllers.job_decisions import FAILURE_BACKOFF_S
from lando.local.controllers.scheduler import NodeCapacity, Scheduler
from lando.local.node.evictions import DISK_PRESSURE
from lando.local.node.images import ImageTable
from lando.local.node.kubelet import STOP_GRACE_S, Kubelet
from lando.local.node.pod_worker import CRASH_BASE_S
from lando.local.node.processes import PIDS_LIMIT
from lando.local.node.sandbox import Bubblewrap, SandboxMode, choose_sandbox
from lando.local.node.volume_binder import VolumeBinder
from lando.local.store.objects import ObjectStore


class LocalNode:
    """Job controller, volume binder, scheduler and kubelet over one store.

    State lies below ``home``: ``volumes/`` (claims), ``pods/`` (logs and more), and ``images.yaml``, which a person may
    write. Raises ConfigError when ``sandbox`` is ``"bwrap"`` and that does not work here, or the home has no name that
    paths could be substituted by.
    """

    def __init__(
        self,
        store: ObjectStore,
        home: Path,
        *,
        sandbox: SandboxMode = "auto",
        capacity: NodeCapacity | None = None,
        images: ImageTable | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        failure_backoff_s: float = FAILURE_BACKOFF_S,
        crash_base_s: float = CRASH_BASE_S,
        pids_limit: int = PIDS_LIMIT,
    ) -> None:
        capacity = capacity or NodeCapacity()
        self._sandbox = choose_sandbox(sandbox, home)
        self._jobs = JobController(store, clock=clock, failure_backoff_s=failure_backoff_s)
        self._binder = VolumeBinder(store, home / "volumes", clock=clock)
        self._scheduler = Scheduler(store, capacity, clock=clock)
        self.kubelet = Kubelet(
            store,
            home / "pods",
            binder=self._binder,
            images=images or ImageTable(home / "images.yaml"),
            sandbox=self._sandbox,
            node_resources={"cpu": f"{capacity.cpus:f}", "memory": f"{capacity.memory:f}"},
            clock=clock,
            crash_base_s=crash_base_s,
            pids_limit=pids_limit,
            on_disk_pressure=self._disk_pressure_changed,
        )

    def _disk_pressure_changed(self) -> None:
        self._scheduler.set_taints([DISK_PRESSURE] if self.kubelet.evictions.under_pressure else [])

    @property
    def mounts(self) -> str:
        """How volumes get to their paths: ``bwrap`` or ``substitute``."""
        return "bwrap" if isinstance(self._sandbox, Bubblewrap) else "substitute"

    def start(self) -> None:
        """Clear what an earlier life left running, then begin."""
        self._binder.start()
        self.kubelet.start()
        self._scheduler.start()
        self._jobs.start()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Start nothing more, end what runs within ``grace_s`` seconds and a little, and record that."""
        self._jobs.stop()
        self._scheduler.stop()
        self.kubelet.stop(grace_s)
        self._binder.stop()
        self._sandbox.close()
