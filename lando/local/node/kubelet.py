"""The kubelet of the embedded cluster's one node: a worker for each pod assigned to it, and their logs.

What an earlier life of the node left running is ended before anything is started, and its pods fail as disrupted, so
that nothing ever runs twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from lando.local.controllers.event_recorder import EventRecorder
from lando.local.controllers.reconciling import Informer
from lando.local.controllers.scheduler import NODE_NAME
from lando.local.node.container_logs import read_log
from lando.local.node.environment import Lookups
from lando.local.node.evictions import EvictionManager
from lando.local.node.images import ImageTable
from lando.local.node.pod_endings import fail_pod, is_over, remove_for_good
from lando.local.node.pod_folder import PodFolder
from lando.local.node.pod_status import NODE_LOST, NODE_STOPPING
from lando.local.node.pod_worker import CRASH_BASE_S, PodContext, PodWorker
from lando.local.node.processes import PIDS_LIMIT, end_leftovers
from lando.local.node.sandbox import Sandbox
from lando.local.node.volume_binder import VolumeBinder
from lando.local.node.volumes import VolumeSources
from lando.local.rules.status import Manifest, bad_request
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

STOP_GRACE_S = 5.0
"""What running pods are given to end when the node stops."""
KILL_MARGIN_S = 5.0
"""Beyond a grace period: for SIGKILL and the last writes."""


class Kubelet:
    """Runs the pods whose ``spec.nodeName`` is this node; also the API server's source of their logs."""

    def __init__(
        self,
        store: ObjectStore,
        pods_folder: Path,
        *,
        binder: VolumeBinder,
        images: ImageTable,
        sandbox: Sandbox,
        node_resources: dict[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        crash_base_s: float = CRASH_BASE_S,
        pids_limit: int = PIDS_LIMIT,
        on_disk_pressure: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_disk_pressure`` is told when ``evictions.under_pressure`` changed."""
        self._store = store
        self._folder = pods_folder
        self._binder = binder
        self._node_resources = node_resources
        self._clock = clock
        self._context = PodContext(
            store=store,
            events=EventRecorder(store, "kubelet", host=NODE_NAME, clock=clock),
            images=images,
            sandbox=sandbox,
            sources=self._sources,
            clock=clock,
            crash_base_s=crash_base_s,
            pids_limit=pids_limit,
        )
        self.evictions = EvictionManager(pods_folder, self._at_work, self._claim_folders, on_disk_pressure)
        self._lock = threading.Lock()
        self._workers: dict[str, PodWorker] = {}
        self._stopping = False
        self._informers = [
            Informer(store, "pods", self._pod_changed, field_selector=f"spec.nodeName={NODE_NAME}"),
            Informer(store, "configmaps", self._source_changed),
            Informer(store, "secrets", self._source_changed),
            Informer(store, "persistentvolumeclaims", self._source_changed),
        ]

    def start(self) -> None:
        """Clear what an earlier life left, then begin."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._recover()
        self.evictions.start()
        for informer in self._informers:
            informer.start()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End every pod, with ``grace_s`` seconds for their programs; those that had begun fail as disrupted."""
        with self._lock:
            self._stopping = True
            workers = list(self._workers.values())
        self.evictions.stop()
        for worker in workers:
            worker.shut_down(grace_s, NODE_STOPPING)
        until = time.monotonic() + grace_s + KILL_MARGIN_S
        for worker in workers:
            if not worker.join(max(until - time.monotonic(), 0.0)):
                log.error("pod %s did not end in time", worker.pod["metadata"]["name"])
        for informer in self._informers:
            informer.stop()

    # -- pods --------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        pods = self._store.list("pods", field_selector=f"spec.nodeName={NODE_NAME}").items
        known = {pod["metadata"]["uid"]: pod for pod in pods}
        folders = {path.name: PodFolder(self._folder, path.name) for path in self._folder.iterdir() if path.is_dir()}
        live = {uid: folder for uid, folder in folders.items() if uid not in known or not is_over(known[uid])}
        records = [record for folder in live.values() for record in folder.process_records()]
        if live and (ended := end_leftovers(records, [f"{uid}/" for uid in live])):
            log.warning("ended %d processes that an earlier life of the node left running", ended)
        for uid, folder in live.items():
            pod = known.get(uid)
            if pod is None:
                folder.remove()
            elif folder.was_started():
                fail_pod(self._store, pod, NODE_LOST, self._clock())
                folder.release()

    def _pod_changed(self, change: str, pod: Manifest) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        folder = PodFolder(self._folder, uid)
        with self._lock:
            worker = self._workers.get(uid)
            if self._stopping:
                return
            begin = worker is None and change != "DELETED" and self._is_to_begin(pod) and not folder.was_started()
            if begin:
                worker = self._workers[uid] = PodWorker(self._context, pod, folder, self._worker_done)
        if begin and worker is not None:
            folder.identify(pod)
            worker.start()
        elif change == "DELETED":
            if worker is not None:
                # Deleted by force: it is gone already, and so must be what runs of it.
                worker.terminate(0)
            else:
                folder.remove()
        elif "deletionTimestamp" in metadata:
            if worker is not None:
                worker.terminate(float(metadata.get("deletionGracePeriodSeconds", 0)))
            else:
                remove_for_good(self._store, pod)

    def _is_to_begin(self, pod: Manifest) -> bool:
        """Asked of the store, since an event may be older than the pod's end."""
        metadata = pod["metadata"]
        current = self._store.find("pods", metadata["namespace"], metadata["name"])
        return (
            current is not None
            and current["metadata"]["uid"] == metadata["uid"]
            and "deletionTimestamp" not in current["metadata"]
            and not is_over(current)
        )

    def _worker_done(self, worker: PodWorker) -> None:
        with self._lock:
            self._workers.pop(worker.uid, None)
        namespace, name = worker.pod["metadata"]["namespace"], worker.pod["metadata"]["name"]
        current = self._store.find("pods", namespace, name)
        if current is None or current["metadata"]["uid"] != worker.uid:
            worker.folder.remove()
        elif "deletionTimestamp" in current["metadata"]:
            # Asked to go after its last look at itself.
            remove_for_good(self._store, current)

    def _source_changed(self, _change: str, _manifest: Manifest) -> None:
        for worker in self._at_work():
            worker.poke()

    def _at_work(self) -> list[PodWorker]:
        with self._lock:
            return list(self._workers.values())

    def _claim_folders(self, pod: Manifest) -> list[Path]:
        namespace = pod["metadata"]["namespace"]
        claims = [each.get("persistentVolumeClaim") for each in pod["spec"].get("volumes") or []]
        folders = [self._binder.folder_of(namespace, claim["claimName"]) for claim in claims if claim]
        return [folder for folder in folders if folder is not None]

    def _sources(self, pod: Manifest) -> VolumeSources:
        namespace = pod["metadata"]["namespace"]
        return VolumeSources(
            lookups=Lookups(
                config_map=lambda name: self._store.find("configmaps", namespace, name),
                secret=lambda name: self._store.find("secrets", namespace, name),
                node=self._node_resources,
            ),
            claim_folder=lambda name: self._binder.folder_of(namespace, name),
        )

    # -- logs --------------------------------------------------------------------------------------------------------

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
    ) -> Iterator[bytes]:
        """A container's log; as :class:`lando.local.http.log_source.LogSource` says."""
        manifest = self._store.get("pods", namespace, pod)
        uid, status = manifest["metadata"]["uid"], manifest.get("status") or {}
        spec = manifest["spec"]
        names = [each["name"] for part in ("initContainers", "containers") for each in spec.get(part) or []]
        if container not in names:
            raise bad_request(f"container {container} is not valid for pod {pod}")
        reported = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        state: Manifest = next((each for each in reported if each["name"] == container), {})
        restarts = int(state.get("restartCount", 0))
        now = state.get("state") or {}
        folder = PodFolder(self._folder, uid)
        with self._lock:
            worker = self._workers.get(uid)
        writer = worker.writer(container) if worker is not None else None
        if previous:
            if restarts == 0:
                raise bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
            restarts, writer = restarts - 1, None
        elif writer is None and "terminated" not in now and "running" not in now:
            if restarts == 0:
                reason = (now.get("waiting") or {}).get("reason") or "ContainerCreating"
                raise bad_request(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')
            restarts -= 1
        return read_log(
            writer.path if writer is not None else folder.log(container, restarts),
            writer,
            follow=follow,
            tail_lines=tail_lines,
            limit_bytes=limit_bytes,
            since_time=since_time,
            timestamps=timestamps,
        )
