"""A world in memory: a cluster, an admin API and a broker, with the real daemon between them."""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from lando.archive import Entry
from lando.config import BespinApiSettings, ClusterSettings, Config, WorkQueueSettings
from lando.errors import Conflict, NotFound, PeerError, Rejected, Unavailable
from lando.k8s.cluster import Manifest, Page
from lando.k8s.lando import LandoDaemon
from lando.k8s.observe import owning_job
from lando.k8s.outage import Outage
from lando.messages import Command, Condition, Evidence, Message, codec
from lando.queues import memory
from lando.queues.memory import MemoryBroker
from lando.sources.bespin import BespinSource
from lando.sources.http import Answer

STAMP = "2026-03-04T15:06:07Z"
STEPS = {
    "S": "stage-data-42-ada",
    "R": "run-workflow-42-ada",
    "o": "organize-output-42-ada",
    "O": "save-output-42-ada",
    "P": "record-output-project-42-ada",
}


def wait_for(condition: Callable[[], Any], what: str = "the condition", timeout_s: float = 30.0) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"{what} did not come about within {timeout_s} s")


class MemoryWatch:
    """Events of a fake watch; it ends after its time-out."""

    def __init__(self, cluster: MemoryCluster, kind: str, position: int, timeout_s: float) -> None:
        self._cluster, self._kind, self._position = cluster, kind, position
        self._end = time.monotonic() + timeout_s

    def __iter__(self) -> MemoryWatch:
        return self

    def __next__(self) -> Manifest:
        with self._cluster.changed:
            while time.monotonic() < self._end:
                for number, kind, event in self._cluster.events:
                    if number > self._position and kind == self._kind:
                        self._position = number
                        return event
                self._cluster.changed.wait(max(self._end - time.monotonic(), 0.0))
        raise StopIteration

    def close(self) -> None:
        self._end = 0.0


class MemoryCluster:
    """The calls of a cluster over a dictionary."""

    namespace = "test"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.logs: dict[str, str] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.events: list[tuple[int, str, Manifest]] = []
        self.changed = threading.Condition(threading.RLock())
        self.before: Callable[[str, str, str], None] = lambda verb, kind, name: None
        """Called before each request; raises what the request is to raise."""
        self.pods_linger = False
        """Pods of a deleted Job stay at work until :meth:`end_pods`."""
        self._numbers = itertools.count(1)

    def _call(self, verb: str, kind: str, name: str = "") -> None:
        self.calls.append((verb, kind, name))
        self.before(verb, kind, name)

    def _tell(self, type_: str, item: Manifest) -> None:
        number = next(self._numbers)
        self.events.append((number, item["kind"], {"type": type_, "object": copy.deepcopy(item)}))
        self.changed.notify_all()

    def create(self, manifest: Manifest) -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._call("create", kind, name)
        with self.changed:
            if (kind, name) in self.objects:
                raise Conflict("cluster", f"{kind} {name} exists", status=409)
            item = copy.deepcopy(manifest)
            number = str(next(self._numbers))
            item["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": number, "creationTimestamp": STAMP}
            self.objects[kind, name] = item
            self._tell("ADDED", item)
            if kind == "Job":
                self._make_pod(item)
            return copy.deepcopy(item)

    def _make_pod(self, job: Manifest) -> None:
        name = f"{job['metadata']['name']}-pod{next(self._numbers)}"
        container = job["spec"]["template"]["spec"]["containers"][0]["name"]
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
        pod = {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "uid": f"uid-{next(self._numbers)}",
                "creationTimestamp": STAMP,
                "labels": dict(job["metadata"]["labels"]),
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": container, "image": "x"}], "nodeName": "node"},
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": container, "state": {"running": {"startedAt": STAMP}}}],
            },
        }
        self.objects["Pod", name] = pod
        self.logs[name] = f"log of {name}\n"
        self._tell("ADDED", pod)

    def get(self, kind: str, name: str) -> Manifest:
        self._call("get", kind, name)
        with self.changed:
            if (kind, name) not in self.objects:
                raise NotFound("cluster", f"{kind} {name} is not there", status=404)
            return copy.deepcopy(self.objects[kind, name])

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = 500,
        continue_token: str | None = None,
    ) -> Page:
        self._call("list", kind)
        with self.changed:
            items = [
                copy.deepcopy(item)
                for (kind_, _), item in self.objects.items()
                if kind_ == kind and _matches(item, label_selector)
            ]
            return Page(items=items, resource_version=str(next(self._numbers)), continue_token=None)

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> MemoryWatch:
        self._call("watch", kind)
        return MemoryWatch(self, kind, int(resource_version), timeout_s)

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        self._call("patch", kind, name)
        with self.changed:
            if (kind, name) not in self.objects:
                raise NotFound("cluster", f"{kind} {name} is not there", status=404)
            metadata = self.objects[kind, name]["metadata"]
            if patch.get("metadata", {}).get("resourceVersion") not in (None, metadata["resourceVersion"]):
                raise Conflict("cluster", f"{kind} {name} has been modified", status=409)
            _merge(self.objects[kind, name], patch)
            metadata["resourceVersion"] = str(next(self._numbers))
            return copy.deepcopy(self.objects[kind, name])

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        self._call("delete", kind, name)
        with self.changed:
            item = self.objects.get((kind, name))
            if item is None:
                raise NotFound("cluster", f"{kind} {name} is not there", status=404)
            if uid is not None and item["metadata"]["uid"] != uid:
                raise Conflict("cluster", "another uid", status=409)
            del self.objects[kind, name]
            self._tell("DELETED", item)
            if kind == "Job" and not self.pods_linger:
                self.end_pods(item["metadata"]["uid"])

    def orphan(self, job: str) -> str:
        """Somebody deletes the Job and leaves its pod, whose name is returned."""
        with self.changed:
            pod = self.pod(job)
            item = self.objects.pop(("Job", job))
            pod["metadata"]["labels"]["controller-uid"] = item["metadata"]["uid"]
            del pod["metadata"]["ownerReferences"]
            self._tell("DELETED", item)
            return str(pod["metadata"]["name"])

    def end_pods(self, job_uid: str | None = None) -> None:
        """Remove the pods of a Job, or of every Job that is no more."""
        with self.changed:
            jobs = {item["metadata"]["uid"] for (kind, _), item in self.objects.items() if kind == "Job"}
            for key, item in list(self.objects.items()):
                if key[0] != "Pod":
                    continue
                owner = owning_job(item)
                if owner == job_uid or (job_uid is None and owner not in jobs):
                    del self.objects[key]
                    self._tell("DELETED", item)

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        self._call("log", "Pod", pod)
        return self.logs[pod]

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Any:
        raise NotImplementedError

    # -- what the cluster itself would do ---------------------------------------------------------------------

    def finish(self, job: str, exit_code: int = 0, message: Mapping[str, Any] | None = None, reason: str = "") -> None:
        """The Job's pod ends."""
        with self.changed:
            item = self.objects["Job", job]
            pod = self.pod(job)
            terminated = {
                "exitCode": exit_code,
                "reason": reason or ("Completed" if exit_code == 0 else "Error"),
                "message": json.dumps(message) if message else None,
            }
            pod["status"]["phase"] = "Succeeded" if exit_code == 0 else "Failed"
            if reason:
                pod["status"]["reason"] = reason
            pod["status"]["containerStatuses"][0]["state"] = {"terminated": terminated}
            condition = {"type": "Complete" if exit_code == 0 else "Failed", "status": "True"}
            if exit_code:
                condition["reason"] = "BackoffLimitExceeded"
            item["status"] = {"conditions": [condition], "startTime": STAMP, "completionTime": STAMP}

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        return self.list_page(kind, label_selector).items

    def pod(self, job: str) -> Manifest:
        uid = self.objects["Job", job]["metadata"]["uid"]
        return next(item for (kind, _), item in self.objects.items() if kind == "Pod" and owning_job(item) == uid)

    def names(self, *kinds: str) -> Sequence[str]:
        """Names of all objects of these kinds."""
        with self.changed:
            return sorted(name for kind, name in self.objects if kind in kinds)

    def has_job(self, name: str, attempt: int | None = None) -> bool:
        with self.changed:
            item = self.objects.get(("Job", name))
            return item is not None and (
                attempt is None or item["metadata"]["annotations"]["lando.attempt"] == str(attempt)
            )


def _matches(item: Manifest, selector: str) -> bool:
    labels = item["metadata"].get("labels", {})
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            inner = target.setdefault(key, {})
            _merge(inner, value)
        else:
            target[key] = value


def runtime_step(step_type: str) -> dict[str, Any]:
    return {
        "id": 1,
        "flavor": {"id": 1, "name": "small", "cpus": 1, "memory": "1Gi"},
        "step_type": step_type,
        "image_name": "lando-steps:local",
        "base_command": ["python", "-m", f"lando.steps.{step_type}"],
    }


def bespin_job() -> dict[str, Any]:
    return {
        "id": 42,
        "workflow_version": {
            "id": 7,
            "name": "Exome analysis",
            "type": "packed",
            "workflow_path": "#main",
            "url": "https://files.example.org/flows/exome-packed.cwl",
            "version": "4.1.0",
            "methods_document": None,
        },
        "user": {"id": 11, "username": "ada@example.org"},
        "name": "batch 17",
        "created": "2026-03-04T15:06:07.123456Z",
        "state": "S",
        "step": "",
        "last_updated": "2026-03-04T15:08:00.000123Z",
        "job_settings": {
            "id": 2,
            "job_runtime_k8s": {
                "id": 1,
                "steps": [
                    runtime_step(step) for step in ("stage_data", "run_workflow", "organize_output", "save_output")
                ],
            },
        },
        "job_flavor": {"id": 4, "name": "m.large", "cpus": 8, "memory": "16Gi"},
        "job_order": '{"threads": 4}',
        "output_project": {"id": 19, "job": 42, "project_id": "", "readme_file_id": ""},
        "stage_group": 23,
        "volume_size": 107,
        "share_group": 6,
    }


@dataclass
class FakeAdmin:
    """The admin API, behind the transport of the real source."""

    jobs: dict[int, dict[str, Any]] = field(default_factory=lambda: {42: bespin_job()})
    stage_groups: dict[int, dict[str, Any]] = field(
        default_factory=lambda: {23: {"id": 23, "dds_files": [], "url_files": []}}
    )
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda method, path: None
    after_put: Callable[[dict[str, Any]], None] = lambda job: None

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        self.before(method, path)
        resource, _, rest = path.partition("/")
        number = int(rest.strip("/")) if rest.strip("/") else None
        if method != "GET":
            self.writes.append((f"{method} {resource}", dict(body or {})))
        match method, resource, number:
            case "GET", "jobs", None:
                return Answer(document=copy.deepcopy(list(self.jobs.values())))
            case _, "jobs", int():
                if number not in self.jobs:
                    raise NotFound("Bespin API", "no such job", status=404)
                job = self.jobs[number]
                if method == "PUT":
                    job.update(body or {}, last_updated=datetime.now(UTC).isoformat().replace("+00:00", "Z"))
                    self.after_put(job)
                return Answer(document=copy.deepcopy(job))
            case "GET", "job-file-stage-groups", int():
                return Answer(document=copy.deepcopy(self.stage_groups[number]))
            case "GET", "share-groups", int():
                return Answer(document={"id": number, "users": [{"id": 2, "name": "Grace", "dds_id": "1c1c"}]})
            case "GET", "job-errors", None:
                return Answer(document=list(self.errors))
            case "POST", "job-errors", None:
                if not body or not body["content"].strip() or not body["job_step"]:
                    raise Rejected("Bespin API", "an error without content or step", status=400)
                self.errors.append(dict(body))
                return Answer(document=dict(body))
            case "PUT", "job-dds-output-projects", int():
                self.jobs[42]["output_project"].update(body or {})
                return Answer(document=dict(body or {}))
        raise PeerError("test", f"unexpected {method} {path}")

    def items(self, path: str, *, query: list[tuple[str, str]] | None = None) -> Iterator[Any]:
        yield from self.request("GET", path, query=query).document

    def close(self) -> None:
        pass


@dataclass
class FakeArchive:
    stored: list[tuple[int, str, int, str, str | None]] = field(default_factory=list)
    missing: list[tuple[int, str, int, str, str]] = field(default_factory=list)
    evidence: dict[tuple[int, str, int], Mapping[str, Any]] = field(default_factory=dict)
    error: Exception | None = None
    away: bool = False

    def store_evidence(self, run_id: int, step: str, attempt: int, document: Mapping[str, Any]) -> None:
        if self.error:
            raise self.error
        self.evidence[run_id, step, attempt] = document

    def sizes(self) -> dict[int, int]:
        return {
            run_id: sum(len(log) for number, _, _, log, _ in self.stored if number == run_id)
            for run_id, *_ in self.stored
        }

    def remove(self, run_id: int) -> None:
        self.stored = [one for one in self.stored if one[0] != run_id]

    def entries(self, run_id: int) -> list[Entry]:
        if self.away:
            raise Unavailable("archive", "away")
        return [
            Entry(step=step, attempt=attempt, container="c")
            for number, step, attempt, _, _ in self.stored
            if number == run_id
        ]

    def store(
        self, run_id: int, step: str, attempt: int, container: str, log: str, termination: str | None = None
    ) -> None:
        if self.error:
            raise self.error
        self.stored.append((run_id, step, attempt, log, termination))

    def store_missing(
        self, run_id: int, step: str, attempt: int, why: str, container: str = "", termination: str | None = None
    ) -> None:
        if self.error:
            raise self.error
        self.missing.append((run_id, step, attempt, container, why))


CONFIG = Config(
    work_queue=WorkQueueSettings(listen_queue="lando", url="memory://test"),
    cluster_api_settings=ClusterSettings(namespace="test", host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
    workers=2,
)


class World:
    """The daemon at work between its fakes."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.admin = FakeAdmin()
        self.archive = FakeArchive()
        self.broker = MemoryBroker(delays_s=(0.01, 0.02, 0.03))
        self.notices = self.broker.listen()
        self.config = CONFIG
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, **changes: Any) -> None:
        """A fresh daemon, as after a restart of its process."""
        self.config = replace(self.config, **changes)
        self.source = BespinSource(self.config.bespin_api)
        self.source._api = self.admin  # type: ignore[assignment]
        self.daemon = LandoDaemon(
            self.config,
            cluster=self.cluster,
            source=self.source,
            consumer=self.broker.consumer("lando", prefetch=8),
            publisher=self.broker.publisher(),
            archive=self.archive,
            stop_s=5.0,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.daemon.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive(), "the daemon did not stop"

    def send(self, command: Command, **fields: Any) -> None:
        message = Message(command=command, run_id=fields.pop("run_id", 42), **fields)
        self.broker.publisher().publish(
            "lando", codec.encode(message, "json"), content_type="application/json", message_id=message.id
        ).result(5)

    def step_changed(self, step: str, condition: Condition = Condition.COMPLETE, **fields: Any) -> None:
        self.send(Command.STEP_CHANGED, evidence=Evidence(step=step, condition=condition, **fields))

    def settle(self) -> None:
        """Wait until the queue is empty, everything in it was settled, and no worker is at a look of the resync."""
        workers = self.daemon._dispatcher
        wait_for(lambda: self.broker.depth("lando") == 0 and not workers.longest_s(), "an empty queue and idle workers")

    @property
    def job(self) -> dict[str, Any]:
        return self.admin.jobs[42]

    @property
    def at(self) -> str:
        return f"{self.job['state']}/{self.job['step']}"

    def reach(self, at: str) -> None:
        wait_for(lambda: self.at == at, f"{at} (now {self.at})")

    def complete(self, letter: str, step: str, message: Mapping[str, Any] | None = None) -> None:
        """The step's Job completes, and the watcher says so."""
        wait_for(lambda: self.cluster.has_job(STEPS[letter]), f"the Job of {step}")
        self.settle()
        self.cluster.finish(STEPS[letter], message=message)
        self.step_changed(step)

    def run_to_the_end(self) -> None:
        for letter, step in (("S", "stage_data"), ("R", "run_workflow"), ("o", "organize_output")):
            self.complete(letter, step)
        self.complete("O", "save_output", {"project_id": "p-1", "readme_file_id": "r-1"})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # How long the daemon rests between two looks is not what these tests are about.
    monkeypatch.setattr(memory, "STOP_CHECK_S", 0.005)
    monkeypatch.setattr(Outage.__init__, "__kwdefaults__", {**Outage.__init__.__kwdefaults__, "first_s": 0.01})
    world = World()
    yield world
    world.stop()


@pytest.fixture
def waiting() -> Callable[..., Any]:
    return wait_for
