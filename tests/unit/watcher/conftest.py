"""A watcher whose cluster is a stub, whose queue is in memory and whose clock stands still."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando import labels
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings
from lando.errors import LandoError
from lando.k8s.reflector import Change, ChangeType
from lando.k8s.watcher import Watcher

Made = dict[str, Any]
START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


class StubCluster:
    """Logs and pods by name; remembers patches."""

    namespace = "jobs"

    def __init__(self) -> None:
        self.logs: dict[str, str | list[LandoError]] = {}
        self.pods: list[Made] = []
        self.patches: list[tuple[str, Made]] = []
        self.patch_error: LandoError | None = None
        self.asked: list[str] = []

    def pod_log(self, pod: str, container: str, **options: Any) -> str:
        self.asked.append(f"log {pod}/{container}")
        said = self.logs.get(pod, "")
        if isinstance(said, list):
            raise said.pop(0) if len(said) > 1 else said[0]
        return said[-options["limit_bytes"] :]

    def list(self, kind: str, selector: str = "", fields: str = "") -> list[Made]:
        self.asked.append(f"list {kind} {selector}")
        return self.pods

    def patch(self, kind: str, name: str, patch: Made) -> Made:
        if self.patch_error:
            raise self.patch_error
        self.patches.append((name, patch))
        return {}


class StubPublisher:
    """Confirms at once, or fails as told."""

    blocked: str | None = None
    trouble: str | None = None

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, str | None, str | None]] = []
        self.errors: list[LandoError] = []

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        future: Future[None] = Future()
        if self.errors:
            future.set_exception(self.errors.pop(0))
        else:
            self.published.append((queue, body, content_type, message_id))
            future.set_result(None)
        return future

    def wrong(self) -> str | None:
        return self.trouble

    def notify(self, body: bytes) -> None: ...
    def close(self, timeout_s: float = 5.0) -> None: ...


class Scene:
    """What happens in the cluster, and what the watcher says of it."""

    def __init__(self, message_format: str = "json", *, own_runs: bool = True) -> None:
        self.cluster = StubCluster()
        self.publisher = StubPublisher()
        self.now = START
        config = Config(
            work_queue=WorkQueueSettings(listen_queue="lando", url="memory://x", message_format=message_format),
            cluster_api_settings=ClusterSettings(namespace="jobs", host="http://127.0.0.1:1", token="t"),
            bespin_api=BespinApiSettings(url="http://127.0.0.1:1/api/v2", token="t"),
            lando_api=LandoApiSettings(url="http://127.0.0.1:1/api/lando/v1", token="t") if own_runs else None,
            patience_s=600,
        )
        self.watcher = Watcher(
            config,
            cluster=self.cluster,  # type: ignore[arg-type]
            publisher=self.publisher,
            clock=lambda: self.now,
        )

    def sees(self, item: Made, kind: ChangeType = ChangeType.MODIFIED) -> str | None:
        """A reflector tells of ``item``."""
        note = {
            "Job": self.watcher.sightings.on_job,
            "Pod": self.watcher.sightings.on_pod,
            "Event": self.watcher.sightings.on_event,
        }[item["kind"]]
        return note(Change(type=kind, object=item))

    def looks(self, uid: str = "job-uid") -> list[Made]:
        """The watcher looks at the Job; the evidence of what it says, with the run's id."""
        before = len(self.publisher.published)
        self.watcher.look(uid)
        said = [json.loads(body) for _, body, _, _ in self.publisher.published[before:]]
        return [{"run": message["job_id"], "kind": message["kind"], **message["evidence"]} for message in said]

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def scenes() -> type[Scene]:
    return Scene


@pytest.fixture
def job() -> Callable[..., Made]:
    def make(
        condition: str | None = None, *, step: str = "run_workflow", uid: str = "job-uid", **metadata: Any
    ) -> Made:
        conditions = [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded"}] if condition else []
        return {
            "kind": "Job",
            "metadata": {
                "name": "run-workflow-42-ada",
                "uid": uid,
                "resourceVersion": str(uuid.uuid4()),
                "creationTimestamp": "2026-03-04T10:00:00Z",
                "labels": {labels.BESPIN_JOB: "true", labels.BESPIN_JOB_ID: "42", labels.BESPIN_JOB_STEP: step},
                **metadata,
            },
            "spec": {"selector": {"matchLabels": {"controller-uid": uid}}},
            "status": {"conditions": conditions},
        }

    return make


@pytest.fixture
def pod() -> Callable[..., Made]:
    def make(phase: str = "Running", state: Made | None = None, *, owner: str = "job-uid", name: str = "p1") -> Made:
        return {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "creationTimestamp": "2026-03-04T10:00:00Z",
                "ownerReferences": [{"kind": "Job", "uid": owner, "controller": True}],
            },
            "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "tool:1"}]},
            "status": {
                "phase": phase,
                "startTime": "2026-03-04T10:00:00Z",
                "containerStatuses": [{"name": "main", "state": state or {"running": {}}}],
            },
        }

    return make
