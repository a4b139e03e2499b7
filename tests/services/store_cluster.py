"""The embedded cluster's store and controllers behind the daemons' port, without HTTP, threads or processes.

What its controllers and its node would do by themselves happens at once and in the caller's thread; how a step ends is
for the test to say. So that nothing depends on speed: pods of a deleted Job stay at work until somebody watches for
their end, or :meth:`StoreCluster.let_go` is called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lando.k8s import cluster_errors
from lando.k8s.cluster import Manifest, Page
from lando.k8s.permissions import Permission
from lando.local.controllers.caretakers import ClaimProtection
from lando.local.controllers.job_controller import JobController, controlling_job
from lando.local.controllers.quota_controller import QuotaController
from lando.local.rules.jobs import JOB_NAME
from lando.local.rules.kinds import BY_RESOURCE
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Event, Subscription

RESOURCES = {kind.kind: kind.resource for kind in BY_RESOURCE.values()}
ENDED = ("Succeeded", "Failed")


class StoreWatch:
    """One watch of the store, as the daemons read it."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def __iter__(self) -> StoreWatch:
        return self

    def __next__(self) -> Manifest:
        with told("watch"):
            event: Event = next(self._events)
        return {"type": event.type, "object": event.object}

    @property
    def _events(self) -> Iterator[Event]:
        return iter(self._subscription)

    def close(self) -> None:
        self._subscription.close()


class StoreCluster:
    """One namespace of the embedded cluster, its state in ``path`` (None: in memory)."""

    def __init__(self, path: Path | None = None, namespace: str = "lando") -> None:
        self.store = ObjectStore(path)
        self.namespace = namespace
        self.logs: dict[str, str] = {}
        """By pod; a pod has a line of its own otherwise."""
        self.on_job: Callable[[Manifest], None] = lambda job: None
        """Told each Job that was made, before it has pods."""
        self.denied: set[Permission] = set()
        """What our account may not do; only :meth:`may` knows of it."""
        self._jobs = JobController(self.store, failure_backoff_s=0.0)
        self._claims = ClaimProtection(self.store)
        self._quotas = QuotaController(self.store)
        if self.store.find("namespaces", "", namespace) is None:
            self.store.create("namespaces", "", {"metadata": {"name": namespace}})

    def close(self) -> None:
        self.store.close()

    # -- the calls of a daemon -----------------------------------------------------------------------------------

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        with told(f"create {manifest['kind']} {manifest['metadata']['name']}", writes=True):
            made = self.store.create(RESOURCES[manifest["kind"]], self.namespace, manifest, dry_run=dry_run)
        if dry_run:
            return made
        if manifest["kind"] == "Job":
            self.on_job(made)
            self._control(made["metadata"]["name"])
        return made

    def get(self, kind: str, name: str) -> Manifest:
        with told(f"get {kind} {name}"):
            return self.store.get(RESOURCES[kind], self.namespace, name)

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
                RESOURCES[kind],
                self.namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_=continue_token or "",
            )
        return Page(
            items=listing.items, resource_version=listing.resource_version, continue_token=listing.continue_token
        )

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> StoreWatch:
        with told(f"watch {kind}"):
            subscription = self.store.watch(
                RESOURCES[kind],
                self.namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                resource_version=resource_version,
                bookmarks=True,
                timeout_s=timeout_s,
            )
        self.let_go()
        return StoreWatch(subscription)

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        with told(f"patch {kind} {name}", writes=True):
            return self.store.patch(RESOURCES[kind], self.namespace, name, patch)

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        with told(f"delete {kind} {name}"):
            self.store.delete(RESOURCES[kind], self.namespace, name, propagation="Background", uid=uid)
        self._collect_garbage()

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        self.get("Pod", pod)
        return self.logs.get(pod, f"log of {pod.rpartition('-')[0]}\n")

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Any:
        return iter(self.pod_log(pod, container).splitlines())

    def may(self, permission: Permission) -> bool:
        return permission not in self.denied

    # -- what happens in the cluster -----------------------------------------------------------------------------

    def finish(
        self, job: str, exit_code: int = 0, message: Mapping[str, Any] | None = None, pod_reason: str | None = None
    ) -> None:
        """The pod of a Job ends; with ``pod_reason`` (``Evicted``) by the node's doing."""
        pod = self.pod(job)
        assert pod is not None, f"Job {job} has no pod at work"
        status = pod["status"]
        terminated = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": pod["metadata"]["creationTimestamp"],
            "finishedAt": pod["metadata"]["creationTimestamp"],
            **({"message": json.dumps(message)} if message else {}),
        }
        status["phase"] = "Failed" if exit_code else "Succeeded"
        if pod_reason:
            status |= {"reason": pod_reason, "message": "The node was low on resource: memory."}
        for container in status["containerStatuses"]:
            container |= {"state": {"terminated": terminated}, "ready": False}
        self.store.update_status("pods", self.namespace, pod)
        self._control(job)
        self._control(job)  # the finalizers of its pods first, then its condition

    def hold(self, job: str, reason: str, message: str) -> None:
        """The container of a Job's pod can't start: it waits, for this reason."""
        pod = self.pod(job)
        assert pod is not None, f"Job {job} has no pod at work"
        pod["status"]["phase"] = "Pending"
        for container in pod["status"]["containerStatuses"]:
            container |= {"state": {"waiting": {"reason": reason, "message": message}}, "ready": False}
        self.store.update_status("pods", self.namespace, pod)

    def go_on(self, job: str) -> None:
        """What was held starts."""
        pod = self.pod(job)
        assert pod is not None, f"Job {job} has no pod at work"
        pod["status"]["phase"] = "Running"
        for container in pod["status"]["containerStatuses"]:
            container |= {"state": {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}, "ready": True}
        self.store.update_status("pods", self.namespace, pod)

    def vanish(self, job: str) -> None:
        """Somebody deletes the Job and its pods by hand."""
        self.store.delete("jobs", self.namespace, job, propagation="Background")
        self._collect_garbage()
        self.let_go()

    def set_quota(self, **hard: str) -> None:
        """Limit the namespace; without arguments lift the limit."""
        if self.store.find("resourcequotas", self.namespace, "limit"):
            self.store.delete("resourcequotas", self.namespace, "limit")
        if hard:
            named = {key.replace("_", "/"): value for key, value in hard.items()}
            self.store.create(
                "resourcequotas", self.namespace, {"metadata": {"name": "limit"}, "spec": {"hard": named}}
            )
            self._quotas._reconcile((self.namespace, "limit"))

    def let_go(self) -> None:
        """The node ends the pods that are being deleted; what waited for them goes, too."""
        for pod in self.pods():
            if "deletionTimestamp" in pod["metadata"]:
                name = pod["metadata"]["name"]
                self.store.delete("pods", self.namespace, name, grace_period_s=0)
                if self.store.find("pods", self.namespace, name) is not None:
                    self._control(str((controlling_job(pod) or {}).get("name")))
        self._collect_garbage()

    # -- what is there -------------------------------------------------------------------------------------------

    def pods(self, job: str | None = None) -> Sequence[Manifest]:
        """All pods, or those that a Job of this name controls or controlled."""
        named = "" if job is None else f"{JOB_NAME}={job}"
        items = self.store.list("pods", self.namespace, label_selector=named).items
        return [pod for pod in items if job in (None, (controlling_job(pod) or {}).get("name"))]

    def pod(self, job: str) -> Manifest | None:
        """The pod of the present Job of this name that is at work."""
        there = self.store.find("jobs", self.namespace, job)
        uid = there and there["metadata"]["uid"]
        for pod in self.pods(job):
            if (controlling_job(pod) or {}).get("uid") == uid and pod["status"].get("phase") not in ENDED:
                return pod
        return None

    def jobs_at_work(self) -> Sequence[str]:
        """Names of Jobs whose pod is at work."""
        names = [job["metadata"]["name"] for job in self.store.list("jobs", self.namespace).items]
        return [name for name in names if self.pod(name)]

    # -- controllers and node --------------------------------------------------------------------------------------

    def _control(self, job: str) -> None:
        """The job controller looks at a Job; the node starts the pods it made."""
        self._jobs._reconcile((self.namespace, job))
        for pod in self.pods(job):
            if not pod["spec"].get("nodeName"):
                self._run(pod)
        self._jobs._reconcile((self.namespace, job))

    def _run(self, pod: Manifest) -> None:
        def bind(item: Manifest) -> None:
            item["spec"]["nodeName"] = "node"

        name = pod["metadata"]["name"]
        pod = self.store.modify("pods", self.namespace, name, bind, subresource="binding")
        began = pod["metadata"]["creationTimestamp"]
        pod["status"] = {
            **pod.get("status", {}),
            "phase": "Running",
            "startTime": began,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": began}},
                }
                for container in pod["spec"]["containers"]
            ],
        }
        self.store.update_status("pods", self.namespace, pod)

    def _collect_garbage(self) -> None:
        """Delete what is owned by nothing that is there, and let go claims that nobody uses."""
        resources = ("leases", "jobs", "pods", "configmaps", "secrets", "persistentvolumeclaims")
        items = {resource: self.store.list(resource, self.namespace).items for resource in resources}
        present = {item["metadata"]["uid"] for kind in items.values() for item in kind}
        orphans = [
            (resource, item["metadata"])
            for resource in resources
            for item in items[resource]
            if (owners := item["metadata"].get("ownerReferences"))
            and "deletionTimestamp" not in item["metadata"]
            and not any(owner["uid"] in present for owner in owners)
        ]
        for resource, metadata in orphans:
            self.store.delete(resource, self.namespace, metadata["name"], propagation="Background")
        for pod in items["pods"]:
            if owner := controlling_job(pod):
                self._jobs._reconcile((self.namespace, owner["name"]))
        for claim in items["persistentvolumeclaims"]:
            self._claims._reconcile((self.namespace, claim["metadata"]["name"]))
        if orphans:
            self._collect_garbage()


@contextmanager
def told(what: str, *, writes: bool = False) -> Iterator[None]:
    """The store's refusals as a daemon gets them over HTTP."""
    try:
        yield
    except ApiError as error:
        raise cluster_errors.from_status(error.body(), code=error.code, what=what, writes=writes) from error
