"""The cluster of the model: the embedded cluster's real store and controllers without threads, and a simple node.

What the controllers of a cluster do by themselves happens in :meth:`ModelCluster.settle`, at once and in one order;
what pods do is the model's choice.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lando import labels
from lando.errors import NotFound
from lando.k8s.cluster import Manifest, Page
from lando.k8s.observe import owning_job
from lando.local.controllers import garbage_collector
from lando.local.controllers.caretakers import ClaimProtection
from lando.local.controllers.garbage_collector import GarbageCollector
from lando.local.controllers.job_controller import JobController
from lando.local.node import pod_status
from lando.local.rules.lifecycle import timestamp
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Event
from tests.model.clock import Clock
from tests.services.store_cluster import RESOURCES, told

NAMESPACE = "test"
NODE = "node"
SETTLING_LIMIT = 1000
"""Keys that the controllers look at before the model calls it a loop."""


class Keys:
    """A controller's queue that never waits: what is asked for later is looked at when the clock moves."""

    def __init__(self) -> None:
        self._keys: dict[Any, None] = {}

    def add(self, key: Any, delay_s: float = 0.0) -> None:
        if delay_s <= 0:
            self._keys[key] = None

    def pop(self) -> Any:
        """The oldest key; None when there is none."""
        if not self._keys:
            return None
        key = next(iter(self._keys))
        del self._keys[key]
        return key


@dataclass(frozen=True, kw_only=True)
class Started:
    """A pod of a step that began to work."""

    run_id: int
    step: str
    pod: str
    """Its UID."""
    job: str
    """UID of its Job."""


@dataclass
class Node:
    """What the pods of the model do."""

    at_work: dict[str, Started] = field(default_factory=dict)
    """By UID of the pod."""
    hold: str | None = None
    """Why no new pod can start: ``unschedulable`` or ``image``; None while they can."""
    stubborn: bool = False
    """Pods that are to end take their time."""


class ModelCluster:
    """The calls of :class:`lando.k8s.cluster.Cluster` on the store, and the hands with which the model moves it."""

    namespace = NAMESPACE

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = ObjectStore(None, clock=clock.now)
        self.store.create("namespaces", "", {"metadata": {"name": NAMESPACE}})
        self.node = Node()
        self.started: deque[Started] = deque()
        """Pods that began to work since the model last looked."""
        self._jobs = JobController(self.store, clock=clock.now, failure_backoff_s=0.0)
        self._garbage = GarbageCollector(self.store)
        self._claims = ClaimProtection(self.store)
        for controller in (self._jobs, self._garbage, self._claims):
            controller.queue = Keys()  # type: ignore[assignment]
        self._jobs._events = _Silence()  # type: ignore[assignment]
        self._changes = self.store.watch(None)
        self._to_look_at: set[str] = set()
        """Names of pods that the node has not looked at since they changed."""

    # -- the calls ----------------------------------------------------------------------------------------------------

    def create(self, manifest: Manifest) -> Manifest:
        with told(f"create {manifest['kind']} {manifest['metadata']['name']}", writes=True):
            return self.store.create(RESOURCES[manifest["kind"]], NAMESPACE, manifest)

    def get(self, kind: str, name: str) -> Manifest:
        with told(f"get {kind} {name}"):
            return self.store.get(RESOURCES[kind], NAMESPACE, name)

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        return self.list_page(kind, label_selector, field_selector=field_selector).items

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = 500,
        continue_token: str | None = None,
    ) -> Page:
        with told(f"list {kind}"):
            listing = self.store.list(
                RESOURCES[kind], NAMESPACE, label_selector=label_selector, field_selector=field_selector
            )
            return Page(items=listing.items, resource_version=listing.resource_version, continue_token=None)

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> ModelWatch:
        return ModelWatch(self, kind, label_selector, resource_version, timeout_s)

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        with told(f"patch {kind} {name}", writes=True):
            return self.store.patch(RESOURCES[kind], NAMESPACE, name, patch)

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        with told(f"delete {kind} {name}"):
            self.store.delete(RESOURCES[kind], NAMESPACE, name, propagation="Background", uid=uid)

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        self.get("Pod", pod)
        return f"log of {pod}\n"

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Any:
        raise NotImplementedError

    # -- what a cluster does by itself --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the controllers and the node do all they would do by now."""
        for _ in range(SETTLING_LIMIT):
            if not (self._hear() or self._reconcile() or self._kubelet()):
                return
        raise AssertionError("the cluster never comes to rest")

    def _hear(self) -> bool:
        heard = False
        while (event := self._changes.get(0.0)) is not None:
            heard = True
            if event.resource == "events":
                continue
            item = event.object
            for uid in sorted(garbage_collector._record(self._garbage._graph, _Parsed(event, item))):
                self._garbage.queue.add(("", uid))
            if event.resource == "jobs":
                self._jobs._job_changed(event.type, item)
            elif event.resource == "pods":
                self._jobs._pod_changed(event.type, item)
                self._claims._on_pod(event.type, item)
                if event.type == "DELETED":
                    self.node.at_work.pop(item["metadata"]["uid"], None)
                else:
                    self._to_look_at.add(event.name)
            elif event.resource == "persistentvolumeclaims":
                self._claims._on_claim(event.type, item)
        return heard

    def _reconcile(self) -> bool:
        worked = False
        for controller in (self._jobs, self._garbage, self._claims):
            while (key := controller.queue.pop()) is not None:  # type: ignore[attr-defined]
                worked = True
                try:
                    controller._reconcile(key)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
        return worked

    def _kubelet(self) -> bool:
        worked = False
        for pod_name in sorted(self._to_look_at):
            pod = self.store.find("pods", NAMESPACE, pod_name)
            if pod is None or (is_over := self._looks_at(pod)) is None:
                self._to_look_at.discard(pod_name)
            else:
                worked = worked or is_over
        return worked

    def _looks_at(self, pod: Manifest) -> bool | None:
        """Do what the node has to do with a pod: True when that was something, False while it has to wait."""
        metadata = pod["metadata"]
        has_ended = pod["status"].get("phase") in pod_status.ENDED
        if metadata.get("deletionTimestamp"):
            if self.node.stubborn or (has_ended and metadata.get("finalizers")):
                return False
            self._end_deleted(pod)
            return True
        if has_ended or metadata["uid"] in self.node.at_work:
            return None
        if self.node.hold is not None:
            return False
        self._begin(pod)
        return True

    def _begin(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        if not pod["spec"].get("nodeName"):

            def assign(current: Manifest) -> None:
                current["spec"]["nodeName"] = NODE

            self.store.modify("pods", NAMESPACE, metadata["name"], assign, subresource="binding")
        state = {"running": {"startedAt": self._stamp()}}
        self._write_status(pod, "Running", state)
        key = labels.step_key(metadata["labels"])
        if key is not None and (job := owning_job(pod)):
            started = Started(run_id=key.run_id, step=key.step, pod=metadata["uid"], job=job)
            self.node.at_work[started.pod] = started
            self.started.append(started)

    def _end_deleted(self, pod: Manifest) -> None:
        """As a kubelet does it: the containers are ended, then the pod is removed."""
        if pod["status"].get("phase") not in pod_status.ENDED:
            self._write_status(pod, "Failed", _terminated(137, "Error", self._stamp()))
        self.node.at_work.pop(pod["metadata"]["uid"], None)
        self._remove(pod)

    def _remove(self, pod: Manifest) -> None:
        with_grace = {"grace_period_s": 0, "uid": pod["metadata"]["uid"]}
        try:
            self.store.delete("pods", NAMESPACE, pod["metadata"]["name"], **with_grace)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _write_status(
        self, pod: Manifest, phase: str, state: Manifest, *, reason: str = "", message: str = "", disruption: str = ""
    ) -> None:
        def change(current: Manifest) -> None:
            status = current["status"]
            status["phase"] = phase
            status["startTime"] = status.get("startTime", self._stamp())
            if reason:
                status |= {"reason": reason, "message": message}
            if disruption:
                condition = {"type": pod_status.DISRUPTED, "status": "True", "reason": disruption}
                status["conditions"] = [*status.get("conditions", []), condition]
            status["containerStatuses"] = [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "ready": False,
                    "restartCount": 0,
                    "state": state,
                }
                for container in current["spec"]["containers"]
            ]

        self.store.modify("pods", NAMESPACE, pod["metadata"]["name"], change, subresource="status")

    def _stamp(self) -> str:
        return timestamp(self.clock.now())

    # -- what the model does to it ------------------------------------------------------------------------------------

    def pods_at_work(self) -> list[Started]:
        """Pods that run, in the order in which they began."""
        return list(self.node.at_work.values())

    def finish(
        self,
        started: Started,
        exit_code: int = 0,
        message: Mapping[str, Any] | None = None,
        *,
        pod_reason: str = "",
        reason: str = "",
        disruption: str = "",
    ) -> None:
        """The pod ends by itself, or is ended by its node for ``pod_reason``."""
        pod = self._pod(started)
        words = json.dumps(message) if message else ""
        state = _terminated(exit_code, reason or ("Completed" if exit_code == 0 else "Error"), self._stamp(), words)
        phase = "Succeeded" if exit_code == 0 else "Failed"
        said = f"The node said {pod_reason}." if pod_reason else ""
        self._write_status(pod, phase, state, reason=pod_reason, message=said, disruption=disruption)
        self.node.at_work.pop(started.pod, None)

    def is_doomed(self, started: Started) -> bool:
        """Whether no Job counts the pod's success: it is being deleted, or its Job was deleted without it."""
        metadata = self._pod(started)["metadata"]
        return "deletionTimestamp" in metadata or not metadata.get("ownerReferences")

    def orphan(self, job: str) -> None:
        """Somebody deletes the Job and leaves its pods."""
        self.store.delete("jobs", NAMESPACE, job, propagation="Orphan")

    def delete_pod(self, started: Started) -> None:
        """Somebody deletes the pod."""
        self.store.delete("pods", NAMESPACE, self._pod(started)["metadata"]["name"])

    def hold_waiting(self) -> None:
        """Say of the pods that can't start why."""
        for pod in self.store.list("pods", NAMESPACE).items:
            if pod["status"].get("phase") in pod_status.ENDED or pod["metadata"]["uid"] in self.node.at_work:
                continue
            if self.node.hold == "image":
                state = {"waiting": {"reason": "ErrImagePull", "message": "the registry knows no such image"}}
                self._write_status(pod, "Pending", state)
            elif self.node.hold == "unschedulable":
                self._unschedulable(pod)

    def _unschedulable(self, pod: Manifest) -> None:
        def change(current: Manifest) -> None:
            current["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient memory.",
                    "lastTransitionTime": current["metadata"]["creationTimestamp"],
                }
            ]

        self.store.modify("pods", NAMESPACE, pod["metadata"]["name"], change, subresource="status")

    def set_quota(self, jobs: int | None) -> None:
        """Let the namespace have so many Jobs; None lifts the quota."""
        if self.store.find("resourcequotas", NAMESPACE, "few") is not None:
            self.store.delete("resourcequotas", NAMESPACE, "few")
        if jobs is not None:
            hard = {"count/jobs.batch": str(jobs)}
            self.store.create("resourcequotas", NAMESPACE, {"metadata": {"name": "few"}, "spec": {"hard": hard}})

    def objects(self, *kinds: str) -> list[Manifest]:
        """All objects of these kinds that are not system's own."""
        return [item for kind in kinds for item in self.store.list(RESOURCES[kind], NAMESPACE).items]

    def _pod(self, started: Started) -> Manifest:
        for pod in self.store.list("pods", NAMESPACE).items:
            if pod["metadata"]["uid"] == started.pod:
                return pod
        raise NotFound("cluster", f"pod {started.pod}")


@dataclass(frozen=True)
class _Parsed:
    """An event whose object has been parsed."""

    event: Event
    object: Manifest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.event, name)


class _Silence:
    """Nobody here reads what the controllers say besides."""

    def record(self, *_words: object, **_names: object) -> None: ...


class ModelWatch(Iterator[Manifest]):
    """Changes as they are there; when there are none, time passes and the cluster goes on."""

    def __init__(self, cluster: ModelCluster, kind: str, selector: str, version: str, timeout_s: int) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._waited = False
        with told(f"watch {kind}"):
            self._changes = cluster.store.watch(
                RESOURCES[kind], NAMESPACE, label_selector=selector, resource_version=version
            )

    def __next__(self) -> Manifest:
        event = self._changes.get(0.0)
        if event is None and not self._waited:
            self._waited = True
            self._cluster.settle()
            event = self._changes.get(0.0)
        if event is None:
            self._cluster.clock.advance(self._timeout_s)
            raise StopIteration
        return {"type": event.type, "object": event.object}

    def close(self) -> None:
        self._changes.close()


def _terminated(exit_code: int, reason: str, stamp: str, message: str = "") -> Manifest:
    ended: Manifest = {"exitCode": exit_code, "reason": reason, "startedAt": stamp, "finishedAt": stamp}
    if message:
        ended["message"] = message
    return {"terminated": ended}
