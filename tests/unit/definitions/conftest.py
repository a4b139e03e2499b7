"""A cluster of the official client's calls, as far as definitions make them."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import pytest
import urllib3
from kubernetes.client.exceptions import ApiException
from lando.archive import Archive, JobArchive
from lando.definitions import JobManager, JobSigner, StaticJobDefinitionsRegister
from lando.definitions.served.keeping import Keeper

models: Any = kubernetes.client


def job(name: str, *, condition: str | None = None, **metadata: Any) -> Any:
    """A V1Job as the API answers one."""
    metadata = {
        "uid": f"uid-{name}",
        "resource_version": "1",
        "labels": {"app.kubernetes.io/managed-by": "ours"},
        **metadata,
    }
    conditions = [models.V1JobCondition(type=condition, status="True")] if condition else None
    return models.V1Job(
        metadata=models.V1ObjectMeta(name=name, **metadata), status=models.V1JobStatus(conditions=conditions)
    )


class FakeBatch:
    """Jobs by name; ``failing`` is asked before each call and may raise."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failing: Callable[[str, dict[str, Any]], None] = lambda call, arguments: None
        self.page_size = 1000
        self._numbers = itertools.count(1)

    def _called(self, call: str, **arguments: Any) -> None:
        self.calls.append((call, arguments))
        self.failing(call, arguments)

    def _found(self, name: str) -> Any:
        if name not in self.jobs:
            raise ApiException(status=404)
        return self.jobs[name]

    def create_namespaced_job(self, *, namespace: str, body: Any, **more: Any) -> Any:
        self._called("create", namespace=namespace, body=body, **more)
        metadata = (body if isinstance(body, dict) else body.to_dict())["metadata"]
        if metadata["name"] in self.jobs:
            raise ApiException(status=409)
        made = job(metadata["name"], uid=f"uid-{next(self._numbers)}", labels=metadata.get("labels"))
        made.metadata.annotations = metadata.get("annotations")
        if "dry_run" not in more:
            self.jobs[metadata["name"]] = made
        return made

    def read_namespaced_job_status(self, *, name: str, namespace: str) -> Any:
        self._called("read", name=name, namespace=namespace)
        return self._found(name)

    def list_namespaced_job(self, *, namespace: str, label_selector: str, limit: int, _continue: str = "") -> Any:
        self._called("list", namespace=namespace, label_selector=label_selector, _continue=_continue)
        wanted = dict(pair.split("=", 1) for pair in label_selector.split(","))
        found = [one for one in self.jobs.values() if wanted.items() <= (one.metadata.labels or {}).items()]
        if _continue and not _continue.isdecimal():
            raise ApiException(status=400)
        begin = int(_continue or 0)
        end = begin + min(limit, self.page_size)
        token = str(end) if end < len(found) else None
        return models.V1JobList(items=found[begin:end], metadata=models.V1ListMeta(_continue=token))

    def patch_namespaced_job(self, *, name: str, namespace: str, body: Any) -> None:
        self._called("patch", name=name, namespace=namespace, body=body)
        metadata = self._found(name).metadata
        if body["metadata"].get("resourceVersion", metadata.resource_version) != metadata.resource_version:
            raise ApiException(status=409)
        metadata.annotations = {**(metadata.annotations or {}), **body["metadata"]["annotations"]}

    def delete_namespaced_job(self, *, name: str, namespace: str, body: Any) -> None:
        self._called("delete", name=name, namespace=namespace, body=body)
        if body.preconditions and body.preconditions.uid != self._found(name).metadata.uid:
            raise ApiException(status=409)
        del self.jobs[name]


class FakeCore:
    """Pods of Jobs and the logs of their containers; a log that is an exception is raised."""

    def __init__(self) -> None:
        self.pods: list[Any] = []
        self.logs: dict[tuple[str, str], bytes | Exception] = {}
        self.config_maps: dict[tuple[str, str], dict[str, str] | None] = {}
        self.asked: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.failing: Callable[[str], None] = lambda call: None
        self.api_client = models.ApiClient()

    def _called(self, call: str) -> None:
        self.calls.append(call)
        self.failing(call)

    def list_namespaced_pod(
        self,
        namespace: str,
        *,
        label_selector: str,
        limit: int | None = None,
        _continue: str = "",
        _preload_content: bool = True,
    ) -> Any:
        self._called("pods")
        if _preload_content:
            begin = int(_continue or 0)
            end = begin + (limit or len(self.pods))
            token = str(end) if end < len(self.pods) else None
            return SimpleNamespace(items=self.pods[begin:end], metadata=SimpleNamespace(_continue=token))
        items = [self.api_client.sanitize_for_serialization(pod) for pod in self.pods]
        return SimpleNamespace(data=json.dumps({"items": items}).encode())

    def list_namespaced_event(self, namespace: str, *, field_selector: str, **more: Any) -> Any:
        self._called("events")
        uid = field_selector.removeprefix("involvedObject.uid=")
        pods = [pod for pod in self.pods if pod.metadata.uid == uid]
        items = [
            {
                "involvedObject": {"kind": "Pod", "name": pod.metadata.name},
                "reason": "Started",
                "lastTimestamp": "2024-01-01T00:00:00Z",
            }
            for pod in pods
        ]
        return SimpleNamespace(data=json.dumps({"items": items}).encode())

    def read_namespaced_pod_log(self, *, name: str, container: str, **more: Any) -> Any:
        self._called("log")
        self.asked.append({"name": name, "container": container, **more})
        log = self.logs[name, container]
        if isinstance(log, Exception):
            raise log
        return urllib3.HTTPResponse(io.BytesIO(log), preload_content=False)

    def read_namespaced_config_map(self, *, name: str, namespace: str) -> Any:
        if (namespace, name) not in self.config_maps:
            raise ApiException(status=404)
        return SimpleNamespace(data=self.config_maps[namespace, name])


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> FakeBatch:
    fake = FakeBatch()
    monkeypatch.setattr("kubernetes.client.BatchV1Api", lambda connected: fake)
    return fake


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    fake = FakeCore()
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda connected: fake)
    return fake


@pytest.fixture
def make_job() -> Callable[..., Any]:
    return job


@pytest.fixture
def archive(tmp_path: Path) -> JobArchive:
    return Archive(str(tmp_path / "archive")).jobs("batch", "ours")


@pytest.fixture
def manager(batch: FakeBatch, core: FakeCore) -> JobManager:
    return JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister())


@pytest.fixture
def keeper(manager: JobManager, archive: JobArchive) -> Keeper:
    """Whose clock stands."""
    return Keeper(manager, archive, clock=lambda: 0.0)
