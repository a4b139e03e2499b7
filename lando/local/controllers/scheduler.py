"""The scheduler of the embedded cluster: pods get its one node, in order, when there is room for them.

A pod that the node could never hold stays Pending and says so in the words of the Kubernetes scheduler.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from lando.local.controllers.event_recorder import NORMAL, WARNING, EventRecorder
from lando.local.controllers.reconciling import Controller, Informer, Key, key_of
from lando.local.rules.lifecycle import timestamp
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

_ALL: Key = ("", "")
"""The scheduler looks at everything that waits, whatever changed."""
NODE_NAME = "lando-local"
MAX_PODS = 110
"""Pods at a time, as on a node of Kubernetes."""


def machine_cpus() -> Decimal:
    """CPUs that this process may use."""
    return Decimal(len(os.sched_getaffinity(0)))


def machine_memory() -> Decimal:
    """Bytes of memory of this machine."""
    return Decimal(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _labels() -> dict[str, str]:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "kubernetes.io/hostname": NODE_NAME,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
    }


@dataclass(frozen=True, kw_only=True)
class NodeCapacity:
    """What the node offers."""

    cpus: Decimal = field(default_factory=machine_cpus)
    memory: Decimal = field(default_factory=machine_memory)
    """Bytes."""
    pods: int = MAX_PODS
    labels: dict[str, str] = field(default_factory=_labels)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What pods ask for."""

    cpus: Decimal = Decimal(0)
    memory: Decimal = Decimal(0)
    pods: int = 0

    def __add__(self, other: Requests) -> Requests:
        return Requests(cpus=self.cpus + other.cpus, memory=self.memory + other.memory, pods=self.pods + other.pods)


def pod_requests(pod: Manifest) -> Requests:
    """What one pod needs: its containers together, or its greediest init container."""

    def of(container: Manifest, resource: str) -> Decimal:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        return parse_quantity(asked.get(resource, "0"))

    def needed(resource: str) -> Decimal:
        together = sum((of(each, resource) for each in pod["spec"]["containers"]), Decimal(0))
        first = max((of(each, resource) for each in pod["spec"].get("initContainers") or []), default=Decimal(0))
        return max(together, first)

    return Requests(cpus=needed("cpu"), memory=needed("memory"), pods=1)


def misfits(pod: Manifest, node: NodeCapacity, used: Requests) -> list[str]:
    """Why the node can't take ``pod`` beside ``used``; empty when it can."""
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    total = used + pod_requests(pod)
    found = []
    if total.pods > node.pods:
        found.append("Too many pods")
    if total.cpus > node.cpus:
        found.append("Insufficient cpu")
    if total.memory > node.memory:
        found.append("Insufficient memory")
    return found


def unschedulable(reasons: Iterable[str]) -> str:
    """The scheduler's sentence for one node."""
    return f"0/1 nodes are available: {', '.join(f'1 {reason}' for reason in reasons)}."


class Scheduler(Controller):
    """Watches pods and claims; binds pods to the node in the order of their making.

    A pod that has to wait for room does not hold back smaller ones made after it: one of them may be what a pod
    at work waits for.
    """

    def __init__(
        self,
        store: ObjectStore,
        node: NodeCapacity,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._events = EventRecorder(store, "default-scheduler", clock=clock)
        self._arrivals: dict[str, int] = {}
        self._taints: Sequence[str] = ()
        sources = (
            Informer(store, "pods", self._pod_changed),
            Informer(store, "persistentvolumeclaims", self._changed),
        )
        super().__init__("scheduler", self._schedule, sources)

    def set_taints(self, taints: Sequence[str]) -> None:
        """The keys of all the taints that the node has from now on; no pod is bound to it while it has any."""
        self._taints = tuple(taints)
        self.queue.add(_ALL)

    def _pod_changed(self, change: str, pod: Manifest) -> None:
        uid = pod["metadata"]["uid"]
        if change == "DELETED":
            self._arrivals.pop(uid, None)
        else:
            self._arrivals.setdefault(uid, int(pod["metadata"]["resourceVersion"]))
        self.queue.add(_ALL)

    def _order(self, pod: Manifest) -> tuple[str, int]:
        metadata = pod["metadata"]
        return metadata["creationTimestamp"], self._arrivals.get(metadata["uid"], int(metadata["resourceVersion"]))

    def _changed(self, _change: str, _manifest: Manifest) -> None:
        self.queue.add(_ALL)

    def _schedule(self, _key: Key) -> float | None:
        pods = self._store.list("pods", field_selector="status.phase!=Succeeded,status.phase!=Failed").items
        used = Requests()
        for pod in pods:
            if pod["spec"].get("nodeName"):
                used += pod_requests(pod)
        pending = [
            pod for pod in pods if not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]
        ]
        for pod in sorted(pending, key=self._order):
            missing = self._missing_claim(pod)
            if missing is not None:
                self._refuse(pod, f"0/1 nodes are available: {missing}.")
            elif taints := self._taints:
                self._refuse(pod, unschedulable(f"node(s) had untolerated taint {{{key}: }}" for key in taints))
            elif reasons := misfits(pod, self._node, used):
                self._refuse(pod, unschedulable(reasons))
            elif self._bind(pod):
                used += pod_requests(pod)
        return None

    def _missing_claim(self, pod: Manifest) -> str | None:
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes") or []:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name is None:
                continue
            claim = self._store.find("persistentvolumeclaims", namespace, name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if "deletionTimestamp" in claim["metadata"]:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return None

    def _bind(self, pod: Manifest) -> bool:
        namespace, name = key_of(pod)
        uid = pod["metadata"]["uid"]

        def assign(current: Manifest) -> None:
            current["spec"]["nodeName"] = NODE_NAME

        def say(current: Manifest) -> None:
            _set_scheduled(current, self._clock(), message=None)

        try:
            self._store.modify("pods", namespace, name, say, subresource="status", uid=uid)
            self._store.modify("pods", namespace, name, assign, subresource="binding", uid=uid)
        except ApiError as error:
            log.debug("pod %s/%s not bound: %s", namespace, name, error)
            return False
        self._events.record(pod, NORMAL, "Scheduled", f"Successfully assigned {namespace}/{name} to {NODE_NAME}")
        return True

    def _refuse(self, pod: Manifest, message: str) -> None:
        for entry in (pod.get("status") or {}).get("conditions") or []:
            if entry["type"] == "PodScheduled" and entry.get("message") == message:
                return
        namespace, name = key_of(pod)

        def say(current: Manifest) -> None:
            _set_scheduled(current, self._clock(), message=message)

        try:
            self._store.modify("pods", namespace, name, say, subresource="status", uid=pod["metadata"]["uid"])
        except ApiError as error:
            log.debug("pod %s/%s not marked: %s", namespace, name, error)
            return
        self._events.record(pod, WARNING, "FailedScheduling", message)


def _set_scheduled(pod: Manifest, now: datetime, *, message: str | None) -> None:
    status = pod.setdefault("status", {})
    value = "True" if message is None else "False"
    before = next((each for each in status.get("conditions") or [] if each["type"] == "PodScheduled"), None)
    changed = before is None or before["status"] != value
    entry = {
        "type": "PodScheduled",
        "status": value,
        "lastTransitionTime": timestamp(now) if changed or before is None else before["lastTransitionTime"],
    }
    if message is not None:
        entry["reason"], entry["message"] = "Unschedulable", message
    others = [each for each in status.get("conditions") or [] if each["type"] != "PodScheduled"]
    status["conditions"] = [*others, entry]
