"""A node over a store in memory, and ways to wait for what becomes of its objects."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from lando.local.controllers.scheduler import NodeCapacity
from lando.local.node.local_node import LocalNode
from lando.local.node.processes import PIDS_LIMIT
from lando.local.node.sandbox import SandboxMode
from lando.local.store.objects import ObjectStore

Manifest = dict[str, Any]
PATIENCE_S = 60.0


class Cluster:
    """A store with a node; everything happens in the namespace ``default``."""

    def __init__(
        self,
        home: Path,
        sandbox: SandboxMode = "substitute",
        capacity: NodeCapacity | None = None,
        pids_limit: int = PIDS_LIMIT,
    ) -> None:
        self.home = home
        self.store = ObjectStore(home / "objects.db")
        if self.store.find("namespaces", "", "default") is None:
            self.store.create("namespaces", "", {"metadata": {"name": "default"}})
        capacity = capacity or NodeCapacity(cpus=Decimal(4), memory=Decimal(8 * 2**30))
        self.node = LocalNode(
            self.store,
            home,
            sandbox=sandbox,
            capacity=capacity,
            failure_backoff_s=0.01,
            crash_base_s=0.01,
            pids_limit=pids_limit,
        )

    def start(self) -> Cluster:
        self.node.start()
        return self

    def stop(self) -> None:
        self.node.stop(0.5)
        self.store.close()

    def create(self, resource: str, name: str, **parts: Any) -> Manifest:
        return self.store.create(resource, "default", {"metadata": {"name": name}, **parts})

    def claim(self, name: str, **spec: Any) -> Manifest:
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
        return self.create("persistentvolumeclaims", name, spec=spec)

    def pod(self, name: str, script: str = "true", *, container: Manifest | None = None, **spec: Any) -> Manifest:
        """A pod with one container ``main`` that runs ``script`` by ``sh``."""
        main = {"name": "main", "image": "tool:1", "command": ["sh", "-c", script], **(container or {})}
        return self.create("pods", name, spec={"restartPolicy": "Never", "containers": [main], **spec})

    def job(self, name: str, script: str = "true", *, pod: Manifest | None = None, **spec: Any) -> Manifest:
        """A Job of one container ``main`` that runs ``script`` by ``sh``; no retries unless ``spec`` says so."""
        main = {"name": "main", "image": "tool:1", "command": ["sh", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}
        return self.create("jobs", name, spec={"backoffLimit": 0, "template": template, **spec})

    def wait(self, resource: str, name: str, test: Callable[[Manifest], Any]) -> Manifest:
        """The object as soon as ``test`` holds for it."""
        with self.store.watch(resource, "default", timeout_s=PATIENCE_S) as events:
            last = None
            for event in events:
                if event.type == "DELETED" or event.object["metadata"]["name"] != name:
                    continue
                last = event.object
                if test(last):
                    return last
        raise AssertionError(f"{resource} {name} never came to it; last seen: {last}")

    def wait_gone(self, resource: str, name: str) -> None:
        listing = self.store.list(resource, "default")
        if all(item["metadata"]["name"] != name for item in listing.items):
            return
        with self.store.watch(
            resource, "default", resource_version=listing.resource_version, timeout_s=PATIENCE_S
        ) as events:
            for event in events:
                if event.type == "DELETED" and event.object["metadata"]["name"] == name:
                    return
        raise AssertionError(f"{resource} {name} is still there")

    def wait_event(self, about: str, reason: str) -> str:
        """The message of the first event with ``reason`` about the object of that name."""
        with self.store.watch("events", "default", timeout_s=PATIENCE_S) as events:
            for event in events:
                seen = event.object
                if seen["involvedObject"]["name"] == about and seen["reason"] == reason:
                    return str(seen["message"])
        raise AssertionError(f"no event {reason} about {about}")

    def ended(self, name: str) -> Manifest:
        """The pod once it has ended."""
        return self.wait("pods", name, lambda pod: phase(pod) in ("Succeeded", "Failed"))

    def running(self, name: str) -> Manifest:
        return self.wait("pods", name, lambda pod: phase(pod) == "Running")

    def finished(self, name: str) -> Manifest:
        """The Job once it is Complete or Failed."""
        return self.wait("jobs", name, lambda job: {"Complete", "Failed"} & conditions(job).keys())

    def pods_of(self, job: str) -> list[Manifest]:
        return self.store.list("pods", "default", label_selector=f"batch.kubernetes.io/job-name={job}").items

    def log(self, pod: str, container: str = "main", **options: Any) -> str:
        return b"".join(self.node.kubelet.read("default", pod, container, **options)).decode()

    def wait_log(self, pod: str, text: str, container: str = "main") -> None:
        """Wait until ``text`` stands in the log of a container that has started."""
        self.wait("pods", pod, lambda each: "waiting" not in state(each, container))
        seen = b""
        for piece in self.node.kubelet.read("default", pod, container, follow=True):
            seen += piece
            if text.encode() in seen:
                return
        raise AssertionError(f"{text!r} never appeared in the log: {seen!r}")

    def claim_folder(self, name: str) -> Path:
        return self.home / "volumes" / str(self.store.get("persistentvolumeclaims", "default", name)["metadata"]["uid"])


def phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase"))


def conditions(manifest: Manifest) -> dict[str, Manifest]:
    """Conditions that are True, by type."""
    found = (manifest.get("status") or {}).get("conditions") or []
    return {each["type"]: each for each in found if each["status"] == "True"}


def state(pod: Manifest, container: str = "main") -> Manifest:
    """The container's state; waiting when it is not reported yet."""
    status = pod.get("status") or {}
    for part in ("containerStatuses", "initContainerStatuses"):
        for each in status.get(part) or []:
            if each["name"] == container:
                return dict(each["state"])
    return {"waiting": {}}


def waiting_for(reason: str, container: str = "main") -> Callable[[Manifest], bool]:
    return lambda pod: state(pod, container).get("waiting", {}).get("reason") == reason
