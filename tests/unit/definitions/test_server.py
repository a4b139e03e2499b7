"""The server: its settings, who may ask, and what it answers when the cluster or a request is at fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import urllib3.exceptions
from fastapi import FastAPI
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from kubernetes.config import kube_config
from lando.definitions import JobManager, router, server
from lando.definitions.config import JobManagerFactory
from lando.errors import ConfigError
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job

ENVIRONMENT = {
    "JOB_SIGNATURE": "ours",
    "JOB_NAMESPACE": "batch",
    "JOB_DEFINITIONS_CONFIG_PATH": "definitions.yaml",
    "JOB_SERVER_OPEN": "true",
}
DEFINITIONS = """\
- name: thumbs
  spec: |
    metadata:
      name: thumbs-{{ album }}
      labels: {{ labels | default({}) }}
    spec: {parallelism: {{ n | default(1) }}}
- name: typed
  spec: |
    metadata: {name: "typed-{{ album }}"}
  arguments:
    album: {type: string, description: which one}
    size: {enum: [1, 2], default: 1}
- name: broken
- name: lost
  spec_path: /nowhere/at-all
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "definitions.yaml"
    file.write_text(DEFINITIONS)
    return file


def client_of(file: Path, **environment: str) -> TestClient:
    settings = server.Settings.of({**ENVIRONMENT, "JOB_DEFINITIONS_CONFIG_PATH": str(file), **environment})
    factory = JobManagerFactory.from_vars(settings.signature, settings.namespace, settings.definitions)
    return TestClient(server.create_app(factory.manager(), server.authorization(settings)))


@pytest.fixture
def client(batch: FakeBatch, file: Path) -> TestClient:
    return client_of(file)


@pytest.mark.parametrize("variable", ["JOB_SIGNATURE", "JOB_NAMESPACE", "JOB_DEFINITIONS_CONFIG_PATH"])
def test_a_missing_variable_is_named(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^{variable} is not set: "):
        server.Settings.of({**ENVIRONMENT, variable: ""})


@pytest.mark.parametrize(
    "wrong",
    [
        {"JOB_SERVER_OPEN": ""},
        {"JOB_SERVER_TOKEN": "t"},
        {"JOB_RETENTION_PERIOD_SEC": "an hour"},
        {"JOB_RETENTION_PERIOD_SEC": "nan"},
        {"JOB_SERVER_PORT": "70000"},
        {"JOB_SIGNATURE": "not a label"},
    ],
)
def test_settings_that_can_t_be_are_refused_by_name(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong)).replace("JOB_SERVER_OPEN", "JOB_SERVER_OPEN=true")):
        server.Settings.of({**ENVIRONMENT, **wrong})


def test_its_help_names_every_variable() -> None:
    told = server.usage()

    assert [name for name in server.VARIABLES if f"  {name} " not in told] == []
    assert max(map(len, told.splitlines())) <= 110


def test_a_start_without_a_kubeconfig_says_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))

    with pytest.raises(ConfigError, match=f"^there is no kubeconfig {file}: name one by KUBECONFIG"):
        server.log_in(server.Settings.of(ENVIRONMENT))
    file.write_text("{}")
    with pytest.raises(ConfigError, match=f"^the kubeconfig {file} can't be used: "):
        server.log_in(server.Settings.of(ENVIRONMENT))


def test_the_defaults_are_those_of_the_original() -> None:
    settings = server.Settings.of(ENVIRONMENT)

    assert (settings.port, settings.host, settings.retention_s, settings.in_cluster) == (5000, "0.0.0.0", 3600, False)
    assert server.Settings.of({**ENVIRONMENT, "IN_CLUSTER": "0"}).in_cluster  # anything but nothing


def test_only_who_shows_the_token_may_ask(batch: FakeBatch, file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first\n")
    client = client_of(file, JOB_SERVER_OPEN="", JOB_SERVER_TOKEN_FILE=str(secret))

    def asked(token: str) -> int:
        return client.get("/jobs", headers={"Authorization": token}).status_code

    assert client.get("/healthcheck").status_code == 200
    refused = client.get("/jobs")
    assert (refused.status_code, refused.json()["error"]) == (401, "Unauthorized")
    assert asked("Bearer first") == asked("Token first") == 200
    assert asked("Bearer wrong") == asked("Bearer ") == asked("Basic first") == asked("first") == 401
    secret.write_text("second")
    assert (asked("Bearer first"), asked("Bearer second")) == (401, 200)
    secret.write_text("")
    assert asked("Bearer ") == 401
    for method, path in (("post", "/jobs"), ("delete", "/jobs/a"), ("get", "/jobs/a/logs"), ("get", "/definitions")):
        assert getattr(client, method)(path).status_code == 401


def test_problems_of_the_file_are_shown_by_a_server_that_is_healthy(client: TestClient) -> None:
    told = client.get("/healthcheck").json()

    assert told["healthy"] is True
    assert "definition 'broken' has no manifest" in told["problems"][0]


def test_the_definitions_tell_their_arguments(client: TestClient) -> None:
    told = client.get("/definitions").json()["definitions"]

    assert told["thumbs"]["arguments"] == {
        "type": "object",
        "properties": {"album": {}, "labels": {}, "n": {}},
        "required": ["album"],
    }
    assert told["typed"]["arguments"]["properties"]["size"] == {"enum": [1, 2], "default": 1}
    assert told["typed"]["arguments"]["required"] == ["album"]
    assert "no such file" in told["lost"]["error"]
    assert "broken" not in told


@pytest.mark.parametrize(
    ("request_", "status", "error", "says"),
    [
        ({"content": b"{"}, 400, "BadRequest", "JSON object"),
        ({"content": b'{"job_definition_name": "thumbs", "n": NaN}'}, 400, "BadRequest", "JSON object"),
        ({"content": b"\xff"}, 400, "BadRequest", "JSON object"),
        ({"content": b"[" * 100_000}, 400, "BadRequest", "JSON object"),
        ({"content": b" " * 1_100_000}, 413, "TooLarge", "bytes"),
        ({"json": {"job_definition_name": "thumbs", "album": [0] * 50_001}}, 413, "TooLarge", "values"),
        (
            {"content": b'{"job_definition_name": "thumbs", "album": ' + b"[" * 100 + b"]" * 100 + b"}"},
            400,
            "BadRequest",
            "deep",
        ),
        (
            {"content": b'{"job_definition_name": "typed", "album": "a", "\\ud800": 1}'},
            400,
            "InvalidArgument",
            "no argument",
        ),
        ({"json": []}, 400, "BadRequest", "JSON object"),
        ({"json": {"album": "a"}}, 400, "BadRequest", "job_definition_name"),
        ({"json": {"job_definition_name": ["thumbs"]}}, 400, "BadRequest", "job_definition_name"),
        ({"json": {"job_definition_name": "none"}}, 404, "NotFound", "'none'"),
        ({"json": {"job_definition_name": "thumbs"}}, 400, "MissingArgument", "arguments are missing: album"),
        ({"json": {"job_definition_name": "typed", "album": 1}}, 400, "InvalidArgument", "argument album"),
        ({"json": {"job_definition_name": "typed", "albun": "1"}}, 400, "InvalidArgument", "did you mean 'album'"),
        ({"json": {"job_definition_name": "broken"}}, 422, "InvalidManifest", "no manifest"),
        ({"json": {"job_definition_name": "lost"}}, 422, "InvalidManifest", "definition 'lost': the template /nowhere"),
        (
            {"json": {"job_definition_name": "typed"}, "headers": {"Idempotency-Key": "k" * 300}},
            400,
            "BadRequest",
            "255",
        ),
    ],
)
def test_a_request_at_fault_is_told_why(
    client: TestClient, batch: FakeBatch, request_: dict[str, Any], status: int, error: str, says: str
) -> None:
    answer = client.post("/jobs", **request_)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert says in answer.json()["message"]
    assert batch.jobs == {}


def test_a_body_that_comes_slowly_takes_nobody_s_turn_and_not_for_ever(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, told = [], []

    async def turn() -> AsyncIterator[None]:
        turns.append("taken")
        yield

    async def nothing_comes() -> Any:
        await anyio.sleep_forever()

    async def tell(message: Any) -> None:
        told.append(message)

    monkeypatch.setattr(router, "BODY_S", 0.01)
    app = FastAPI()
    app.include_router(router.create_router(manager, lambda request: None, turn=turn))
    scope = {"type": "http", "method": "POST", "path": "/jobs", "query_string": b"", "headers": []}
    anyio.run(app, scope, nothing_comes, tell)

    assert told[0]["status"] == 400
    assert b"did not come within" in told[1]["body"]
    assert turns == []


def test_who_asks_for_health_waits_for_no_turn(manager: JobManager) -> None:
    turns = []

    async def turn() -> AsyncIterator[None]:
        turns.append("taken")
        yield

    app = FastAPI()
    app.include_router(router.create_router(manager, lambda request: None, turn=turn))
    asked = TestClient(app)

    assert asked.get("/healthcheck").status_code == 200
    assert turns == []
    assert asked.get("/jobs").status_code == 200
    assert turns == ["taken"]


def test_a_template_that_is_nowhere_is_told_with_its_definition(batch: FakeBatch, core: FakeCore, file: Path) -> None:
    file.write_text("- {name: pi, spec_config_map_name: digits, spec_config_map_namespace: batch}")
    client = client_of(file)

    answer = client.post("/jobs", json={"job_definition_name": "pi"})

    where = "the namespace batch has no ConfigMap digits"
    assert (answer.status_code, answer.json()["message"]) == (404, f"definition 'pi': {where}")
    assert client.get("/definitions").json()["definitions"]["pi"]["error"] == where


def test_all_missing_arguments_are_listed(client: TestClient) -> None:
    assert client.post("/jobs", json={"job_definition_name": "thumbs"}).json()["missing"] == ["album"]
    assert client.post("/jobs", json={"job_definition_name": "typed"}).json()["missing"] == ["album"]


def failing(error: Exception) -> Callable[[str, dict[str, Any]], None]:
    def fail(call: str, arguments: dict[str, Any]) -> None:
        raise error

    return fail


def answered(status: int) -> ApiException:
    error = ApiException(status=status)
    error.body = '{"message": "the cluster\'s words"}'
    return error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (answered(400), 422, "InvalidManifest"),
        (answered(422), 422, "InvalidManifest"),
        (answered(403), 403, "Forbidden"),
        (answered(401), 503, "ClusterUnavailable"),
        (answered(404), 404, "NotFound"),
        (answered(429), 503, "ClusterUnavailable"),
        (answered(500), 503, "ClusterUnavailable"),
        (urllib3.exceptions.ProtocolError(), 503, "ClusterUnavailable"),
        (urllib3.exceptions.LocationParseError("x"), 503, "ClusterUnavailable"),
        (ConnectionResetError(), 503, "ClusterUnavailable"),
        (RuntimeError("secret"), 500, "InternalError"),
    ],
)
def test_what_the_cluster_does_is_an_answer_too(
    client: TestClient, batch: FakeBatch, error: Exception, status: int, code: str
) -> None:
    batch.failing = failing(error)

    answer = client.post("/jobs", json={"job_definition_name": "thumbs", "album": "a"})

    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert "secret" not in answer.text
    if isinstance(error, ApiException):
        assert "the cluster's words" in answer.json()["message"]


def test_jobs_of_others_and_of_nobody_are_not_found(client: TestClient, batch: FakeBatch) -> None:
    batch.jobs["theirs"] = job("theirs", labels={})

    for name in ("theirs", "none"):
        for path in (f"/jobs/{name}", f"/jobs/{name}/status", f"/jobs/{name}/logs", f"/jobs/{name}/logs?follow=true"):
            assert (client.get(path).status_code, client.get(path).json()["error"]) == (404, "NotFound")
        assert client.delete(f"/jobs/{name}").status_code == 404
    assert "theirs" in batch.jobs
    batch.jobs |= {name: job(name) for name in (".", "..", "a b")}  # what the API would take for another path
    for name in ("%2e", "%2e%2e", "a%20b"):
        assert client.get(f"/jobs/{name}/status").status_code == 404
    selector = client.get("/jobs", params={"job_definition_name": "a,b!=c"})
    assert (selector.status_code, selector.json()["error"]) == (400, "BadRequest")
    assert client.get("/nowhere").json() == {
        "error": "NotFound",
        "message": "there is no /nowhere; /openapi.json tells what there is",
    }
    assert client.put("/jobs").json()["error"] == "MethodNotAllowed"


def test_a_status_has_every_key_and_times_as_http_dates(client: TestClient, batch: FakeBatch) -> None:
    batch.jobs["a"] = job("a", condition="Complete")
    batch.jobs["a"].status.start_time = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

    for status in (client.get("/jobs/a/status").json(), client.get("/jobs").json()["jobs"]["a"]):
        assert status["start_time"] == "Tue, 02 Jan 2024 03:04:05 GMT"
        assert status["completion_time"] is None
        assert status["active"] is None
        assert status["conditions"][0]["last_probe_time"] is None
        assert (status["conditions"][0]["type"], status["conditions"][0]["status"]) == ("Complete", "True")


def test_the_description_covers_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert {path: sorted(verbs) for path, verbs in paths.items()} == {
        "/healthcheck": ["get"],
        "/jobs": ["get", "post"],
        "/jobs/{job_name}": ["delete", "get"],
        "/jobs/{job_name}/status": ["get"],
        "/jobs/{job_name}/events": ["get"],
        "/jobs/{job_name}/logs": ["get"],
        "/definitions": ["get"],
    }
    assert paths["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]["required"] == [
        "job_definition_name"
    ]


def test_a_list_can_tell_all_of_each_job_by_one_call_for_the_pods_of_all(
    client: TestClient, batch: FakeBatch, core: FakeCore
) -> None:
    state = {"terminated": {"exitCode": 3, "reason": "Error"}}
    for name, condition in (("done", "Complete"), ("broken", "Failed"), ("other", "Failed")):
        batch.jobs[name] = job(
            name,
            condition=condition,
            labels={"app.kubernetes.io/managed-by": "ours"} | {"job_definition_name": "thumbs"},
        )
    asked = []

    def pods(namespace: str, **more: Any) -> Any:
        asked.append(more["label_selector"])
        status = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}
        metadata = {"name": "broken-x", "uid": "u", "labels": {"job-name": "broken"}}
        spec = {"containers": [{"name": "main"}]}
        items = [{"metadata": metadata, "spec": spec, "status": status}]
        return SimpleNamespace(data=json.dumps({"items": items, "metadata": {}}).encode())

    core.list_namespaced_pod = pods  # type: ignore[method-assign]

    told = client.get("/jobs?details=true").json()

    assert {name: one["state"] for name, one in told["jobs"].items()} == {
        "done": "Complete",
        "broken": "Failed",
        "other": "Failed",
    }
    assert "exit code 3" in told["jobs"]["broken"]["cause"]["sentence"]

    assert (told["jobs"]["done"]["cause"], told["jobs"]["done"]["job_definition_name"]) == (None, "thumbs")
    assert asked == ["job-name in (broken,other)"]


def test_a_list_tells_what_it_can_where_pods_can_t_be_read(
    client: TestClient, batch: FakeBatch, core: FakeCore
) -> None:
    batch.jobs["broken"] = job("broken", condition="Failed")

    def away(*_: Any, **__: Any) -> Any:
        raise ApiException(status=403)

    core.list_namespaced_pod = away  # type: ignore[method-assign]

    told = client.get("/jobs?details=true").json()["jobs"]["broken"]
    assert (told["state"], told["cause"]) == ("Failed", None)


def test_a_token_file_that_is_not_there_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"JOB_SIGNATURE": "a", "JOB_NAMESPACE": "b", "JOB_DEFINITIONS_CONFIG_PATH": "c"}
    server.authorization(server.Settings.of(environ | {"JOB_SERVER_TOKEN_FILE": "/nowhere"}))

    assert "JOB_SERVER_TOKEN_FILE /nowhere can't be read, so nobody is let in: No such file" in caplog.text
