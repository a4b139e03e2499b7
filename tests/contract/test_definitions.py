"""Jobs from definitions, by the library and over HTTP, on the embedded cluster and a real control plane."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.definitions.config import JobManagerFactory, ReloadingJobDefinitionsRegister
from lando.definitions.exceptions import IdempotencyError, NotFoundException
from lando.definitions.manager import JobDeleter, JobManager
from lando.definitions.server import create_app
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

WAIT_S = 60
KEY = JobDeleter.JOB_DELETION_TIME_ANNOTATION


def manifest(name: str, script: str, played: dict[str, str], **spec: Any) -> str:
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", **job(name, script, played, **spec)})


HELLO = manifest("hello-NAME", "echo 'Hello NAME'; echo '{\"a\": true}'", notes(log='Hello NAME\n{"a": true}\n'))
FAIL = manifest("fail", "echo no luck; exit 3", notes("Failed:3", log="no luck\n"))
ENDLESS = manifest("endless", "sleep 600", notes(duration_s=600))
DEFINITIONS = {
    "hello": {"spec": HELLO.replace("NAME", "{{ name }}")},
    "fail": {"spec": FAIL},
    "endless": {"spec": ENDLESS},
    "invalid": {"spec": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: invalid}\nspec: {parallelism: {{ n }}}\n"},
    "by-map": {"spec_config_map_name": "template", "spec_config_map_namespace": "NAMESPACE"},
    "typed": {
        "spec": HELLO.replace("NAME", "{{ name }}"),
        "arguments": {"name": {"type": "string", "maxLength": 5, "default": "you"}},
    },
}


@pytest.fixture
def definitions(api: KubernetesApi, tmp_path: Path) -> Path:
    document = [{"name": name, **entry} for name, entry in DEFINITIONS.items()]
    file = tmp_path / "definitions.yaml"
    file.write_text(yaml.safe_dump(document).replace("NAMESPACE", api.namespace))
    return file


@pytest.fixture
def manager(api: KubernetesApi, definitions: Path) -> Iterator[JobManager]:
    """With the process-wide configuration of the client, as a program loads it."""
    configuration = kubernetes.client.Configuration(host=api.url)
    configuration.ssl_ca_cert = str(api.ca_file)
    configuration.api_key["authorization"] = str(api.session.headers["Authorization"])
    before = kubernetes.client.Configuration._default
    kubernetes.client.Configuration.set_default(configuration)
    yield JobManagerFactory.from_vars("ours", api.namespace, definitions).manager()
    kubernetes.client.Configuration.set_default(before)


@pytest.fixture
def server(manager: JobManager) -> Iterator[TestClient]:
    with TestClient(create_app(manager, lambda request: None)) as client:
        yield client


def ended(manager: JobManager, name: str) -> None:
    wait_until(lambda: manager.job_is_finished(name), WAIT_S, what=f"the end of {name}")


def test_a_job_is_made_followed_read_and_deleted(manager: JobManager, api: KubernetesApi) -> None:
    name = manager.create_job(
        "hello", {"name": "you"}, pre_create=lambda made: made["metadata"].update(annotations={"a": "b"})
    )
    assert re.fullmatch(r"hello-you-[0-9a-f]{24}", name)
    assert manager.job_cause(name) is None
    ended(manager, name)

    assert manager.job_status(name) is JobManager.JobStatus.COMPLETE
    read = manager.read_job(name)
    assert read.status.succeeded == 1
    assert read.status.completion_time.tzinfo is not None
    assert read.metadata.annotations["a"] == "b"
    ((_, logs),) = manager.job_logs(name).items()
    assert logs == {"main": ["Hello you", '{"a": true}', ""]}
    ((_, logs),) = manager.job_logs(name, limit=1).items()
    assert logs == {"main": ['{"a": true}', ""]}
    assert [one.metadata.name for one in manager.fetch_jobs("hello")] == [name]
    assert manager.list_jobs("fail") == []

    stranger = JobManagerFactory(api.namespace, "theirs", manager.register).manager()
    assert stranger.list_jobs() == []
    for ask in (stranger.read_job, stranger.job_logs, lambda _: stranger.delete_job(read)):
        with pytest.raises(NotFoundException):
            ask(name)

    manager.delete_job(read)
    wait_until(lambda: api.get("jobs", name).code == 404, WAIT_S, what="the deletion")
    wait_until(lambda: not api.list("pods").body["items"], WAIT_S, what="the end of its pods")
    with pytest.raises(NotFoundException):
        manager.delete_job(read)


def test_a_failed_job_says_why(manager: JobManager, server: TestClient) -> None:
    name = manager.create_job("fail")
    ended(manager, name)

    cause = manager.job_cause(name)

    assert cause is not None
    assert (cause.category.value, cause.exit_code) == ("user", 3)
    assert "no luck" in cause.log_tail
    shown = server.get(f"/jobs/{name}").json()
    assert (shown["state"], shown["job_definition_name"], shown["cause"]["exit_code"]) == ("Failed", "fail", 3)
    assert shown["status"]["failed"] == 1


def test_jobs_are_marked_and_deleted_when_their_time_has_come(manager: JobManager, api: KubernetesApi) -> None:
    deleter = JobDeleter(manager)
    old, running, kept = (
        manager.create_job("fail"),
        manager.create_job("endless"),
        manager.create_job("hello", {"name": "x"}),
    )
    ended(manager, old)
    ended(manager, kept)
    read = manager.read_job(kept)
    deleter.mark_deletion_time(read, 3600)
    assert int(read.metadata.annotations[KEY]) > time.time() + 3500
    told: list[str] = []

    deleter.mark_and_delete_old_jobs(
        retention_period_sec=-1, delete_callback=lambda one: told.append(one.metadata.name)
    )

    assert told == [] or told == [old]  # marked in this pass, or by it and due at once
    deleter.cleanup_jobs(delete_callback=lambda one: told.append(one.metadata.name))
    assert set(told) == {old}
    wait_until(lambda: api.get("jobs", old).code == 404, WAIT_S, what="the deletion")
    assert {one.metadata.name for one in manager.list_jobs()} == {running, kept}
    assert manager.read_job(kept).metadata.annotations == read.metadata.annotations
    # By hand, and still running.
    api.patch("jobs", running, {"metadata": {"annotations": {KEY: "12.5"}}})
    deleter.cleanup_jobs()
    wait_until(lambda: api.get("jobs", running).code == 404, WAIT_S, what="the deletion")


def test_a_look_tells_of_templates_before_a_job_is_asked_for(manager: JobManager, api: KubernetesApi) -> None:
    register = manager.register
    assert isinstance(register, ReloadingJobDefinitionsRegister)
    register.look()
    assert [told.split(": ", 1)[1] for told in register.problems if "ConfigMap" in told] == [
        f"spec_config_map_name: the namespace {api.namespace} has no ConfigMap template"
    ]
    api.create("configmaps", {"metadata": {"name": "template"}, "data": {"template": FAIL.replace("Never", "Always")}})
    register.look()
    restart = "spec.template.spec.restartPolicy: this has to be Never or OnFailure, not 'Always'"
    (told,) = [told for told in register.problems if "ConfigMap" in told]
    assert told.startswith(f"ConfigMap {api.namespace}/template:")
    assert told.endswith(restart)


def test_a_template_comes_from_a_config_map_as_it_is_now(manager: JobManager, api: KubernetesApi) -> None:
    with pytest.raises(NotFoundException):
        manager.create_job("by-map")
    api.create("configmaps", {"metadata": {"name": "template"}, "data": {"template": FAIL}})
    assert manager.create_job("by-map").startswith("fail-")
    api.patch("configmaps", "template", {"data": {"template": HELLO.replace("NAME", "map")}})
    assert manager.create_job("by-map").startswith("hello-map-")


def test_a_key_makes_one_job_however_often_and_wherever_it_is_shown(manager: JobManager, server: TestClient) -> None:
    body = {"job_definition_name": "hello", "name": "you"}

    def post(_: int) -> tuple[int, str]:
        made = server.post("/jobs", json=body, headers={"Idempotency-Key": "one"})
        return made.status_code, made.json()["job_name"]

    with ThreadPoolExecutor(50) as threads:
        answers = set(threads.map(post, range(50)))

    ((status, name),) = answers
    assert status == 200
    assert [one.metadata.name for one in manager.list_jobs()] == [name]
    again = server.post("/jobs", json={**body, "name": "me"}, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["error"]) == (409, "Conflict")
    with pytest.raises(IdempotencyError):
        manager.create_job("hello", {"name": "me"}, idempotency_key="one")
    assert manager.create_job("hello", {"name": "you"}, idempotency_key="two") != name


def test_definitions_that_change_under_load_are_picked_up_and_fail_no_request(
    manager: JobManager, server: TestClient, definitions: Path
) -> None:
    answers: list[int] = []
    enough = threading.Event()

    def load() -> None:
        while not enough.is_set():
            answers.append(
                server.post("/jobs?dry_run=true", json={"job_definition_name": "hello", "name": "x"}).status_code
            )

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        text = definitions.read_text()
        for version in range(5):
            new = definitions.with_suffix(".new")
            new.write_text(text.replace("hello-", f"hello{version}-") if version != 3 else "- name: [")
            new.rename(definitions)
            seen = len(answers)
            wait_until(lambda seen=seen: len(answers) >= seen + 6, WAIT_S, what="more requests")
            assert manager.make_job("hello", {"name": "x"})["metadata"]["name"].startswith(
                f"hello{version if version != 3 else 2}-x-"
            )
    finally:
        enough.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert set(answers) == {200}
    assert manager.list_jobs() == []  # the cluster only looked at them


def test_the_server_lists_shows_and_deletes(manager: JobManager, server: TestClient) -> None:
    made = [
        server.post("/jobs", json={"job_definition_name": name}).json()["job_name"] for name in ("typed", "endless")
    ]
    ended(manager, made[0])

    assert server.get("/jobs").json()["jobs"].keys() == set(made)
    assert server.get("/jobs", params={"job_definition_name": "endless"}).json()["jobs"].keys() == {made[1]}
    first = server.get("/jobs", params={"limit": 1}).json()
    second = server.get("/jobs", params={"limit": 1, "continue": first["continue"]}).json()
    assert first["jobs"].keys() | second["jobs"].keys() == set(made)
    assert second["continue"] is None
    status = server.get(f"/jobs/{made[0]}/status").json()
    assert status["succeeded"] == 1
    assert status["conditions"][-1]["type"] == "Complete"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", status["completion_time"])
    logs = server.get(f"/jobs/{made[0]}/logs").json()
    assert list(logs.values()) == [{"main": ["Hello you", '{"a": true}', ""]}]
    assert server.get(f"/jobs/{made[0]}/logs", params={"follow": True}).text == 'Hello you\n{"a": true}\n'
    assert server.delete(f"/jobs/{made[1]}").json() == {"job_name": made[1]}
    wait_until(lambda: server.get(f"/jobs/{made[1]}").status_code == 404, WAIT_S, what="the deletion")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"job_definition_name": "unknown"}, 404, "NotFound"),
        ({"job_definition_name": "hello"}, 400, "MissingArgument"),
        ({"job_definition_name": "typed", "name": "too long"}, 400, "InvalidArgument"),
        ({"job_definition_name": "invalid", "n": "1\nhostNetwork: true"}, 422, "InvalidManifest"),
        ({"job_definition_name": "invalid", "n": 1}, 422, "InvalidManifest"),
    ],
)
def test_the_server_says_what_is_wrong_with_a_request(
    server: TestClient, body: dict[str, Any], status: int, error: str
) -> None:
    answer = server.post("/jobs", json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["message"]


def test_a_quota_s_refusal_is_told_in_the_cluster_s_words(api: KubernetesApi, server: TestClient) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    assert api.create("resourcequotas", quota).code == 201

    def refused() -> bool:
        answer = server.post("/jobs?dry_run=true", json={"job_definition_name": "fail"})
        return answer.status_code == 403 and "exceeded quota" in answer.json()["message"]

    wait_until(refused, WAIT_S, what="the quota's refusal")


def test_other_errors_of_the_cluster_pass_through_the_library(manager: JobManager) -> None:
    with pytest.raises(ApiException) as caught:
        manager.create_job("invalid", {"n": 1})
    assert caught.value.status in (400, 422)
