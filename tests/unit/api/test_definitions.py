"""Jobs from definitions as part of the API server: who may, whose they are, and what is answered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lando.archive import Archive
from lando.config import ClusterSettings
from lando.definitions import JobManager, JobManagerFactory
from lando.definitions.exceptions import TooManyJobs
from lando.definitions.served.allowance import Allowance
from lando.definitions.served.service import ServedJobs, Service
from lando.k8s.cluster import KubernetesCluster
from tests.unit.api.serving import Api, Serve
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job, models

DEFINITIONS = """
- name: greet
  spec: |
    metadata: {name: "greet-{{ name }}"}
- name: usurp
  spec: |
    metadata: {name: usurp, labels: {lando-user: "{{ victim }}"}}
"""
GREET = {"job_definition_name": "greet", "name": "ada"}
JOBS = "/k8s-jobs/jobs"
LIMIT_S = 30.0


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> FakeBatch:
    fake = FakeBatch()
    monkeypatch.setattr("kubernetes.client.BatchV1Api", lambda connected: fake)
    return fake


@pytest.fixture
def api(serve: Serve, batch: FakeBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    """For all users."""
    core = FakeCore()
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda connected: core)
    return with_definitions(serve(definitions_for="users"), tmp_path)


def with_definitions(api: Api, folder: Path, *, per_user: int | None = None) -> Api:
    """With a service that does not run: so it asks the cluster, which ``batch`` is."""
    file = folder / "definitions.yaml"
    file.write_text(DEFINITIONS)
    api.site.definitions = Service(
        KubernetesCluster(ClusterSettings(namespace="batch", host="https://127.0.0.1:1")),
        str(file),
        signature="ours",
        retention_s=60,
        kept_s=None,
        archive=Archive(str(folder / "archive")),
        per_user=per_user,
    )
    return api


def made(api: Api, user: str, key: str | None = None, **arguments: str) -> str:
    """The name of a new Job of ``user``'s."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    answer = api.call("POST", JOBS, {**GREET, **arguments}, user, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_name"])


def listed(api: Api, user: str, query: str = "") -> set[str]:
    return set(api.get(JOBS + query, user).json()["jobs"])


def test_staff_make_jobs_with_their_own_token(serve: Serve, batch: FakeBatch, tmp_path: Path) -> None:
    api = with_definitions(serve(), tmp_path)

    assert made(api, "operator").startswith("greet-ada-")
    assert len(batch.jobs) == 1


def test_others_do_only_where_the_settings_say_so(serve: Serve, batch: FakeBatch, tmp_path: Path) -> None:
    for who, status in (("staff", 403), ("users", 200)):
        api = with_definitions(serve(definitions_for=who), tmp_path)
        assert api.post(JOBS, GREET, f"one-of-{who}").status_code == status
    assert len(batch.jobs) == 1


def test_a_user_s_jobs_are_nobody_else_s_but_staff_s(api: Api, batch: FakeBatch) -> None:
    batch.jobs["old"] = job("old")  # made before Jobs had users
    ada, bob, operator = (made(api, user) for user in ("ada", "bob", "operator"))

    for query in ("", "?limit=10", "?job_definition_name=greet", "?limit=10&job_definition_name=greet"):
        assert listed(api, "ada", query) == {ada}
        assert listed(api, "bob", query) == {bob}
        assert listed(api, "operator", query) == {ada, bob, operator} | ({"old"} if "name" not in query else set())
    assert api.get(f"{JOBS}/{ada}", "ada").json()["user"] == "ada"
    told = api.get(f"{JOBS}?details=true", "operator").json()["jobs"]
    assert {name: one["user"] for name, one in told.items()} == {
        ada: "ada",
        bob: "bob",
        operator: "operator",
        "old": None,
    }
    assert api.get(f"{JOBS}?details=true", "ada").json()["jobs"].keys() == {ada}
    assert [api.get(f"{JOBS}/{name}", "operator").json()["user"] for name in (ada, bob, operator, "old")] == [
        "ada",
        "bob",
        "operator",
        None,
    ]


@pytest.mark.parametrize(
    "rest", ["", "?wait_s=60", "/status", "/status?wait_s=60", "/events", "/logs", "/logs?follow=true"]
)
def test_a_job_of_somebody_else_is_as_unknown_as_one_that_never_was(api: Api, batch: FakeBatch, rest: str) -> None:
    batch.jobs["old"] = job("old")
    of_ada = made(api, "ada")
    answers = []
    for name in (of_ada, "old", "never"):
        for method in ("GET", "DELETE") if not rest else ("GET",):
            answer = api.call(method, f"{JOBS}/{name}{rest}", None, "bob")
            answers.append((answer.status_code, answer.text.replace(name, "it")))

    assert set(answers) == {(404, answers[0][1])}
    assert batch.jobs.keys() == {of_ada, "old"}


def test_a_user_deletes_what_is_theirs_and_staff_all_and_it_is_told_who_did(
    api: Api, batch: FakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ada, bob = made(api, "ada"), made(api, "bob")

    assert api.call("DELETE", f"{JOBS}/{ada}", None, "ada").status_code == 200
    assert api.call("DELETE", f"{JOBS}/{bob}", None, "operator").status_code == 200

    assert batch.jobs == {}
    assert f"Job {bob} is deleted, by a request of operator to this server" in caplog.messages
    assert "by a request of operator to this server" in api.get(f"{JOBS}/{bob}", "bob").json()["cause"]["sentence"]


def test_a_job_that_is_gone_still_is_its_user_s_alone(api: Api, batch: FakeBatch) -> None:
    name = made(api, "ada")
    assert api.call("DELETE", f"{JOBS}/{name}", None, "ada").status_code == 200
    assert batch.jobs == {}

    for rest in ("", "/status", "/events", "/logs"):
        for user, status in (("ada", 200), ("operator", 200), ("bob", 404)):
            assert api.get(f"{JOBS}/{name}{rest}", user).status_code == status, (user, rest)
    assert api.get(f"{JOBS}/{name}/logs?follow=true", "bob").json()["message"] == f"there is no Job {name!r}"
    assert api.get(f"{JOBS}/{name}", "operator").json()["user"] == "ada"


def test_no_manifest_and_no_argument_makes_a_job_somebody_else_s(api: Api, batch: FakeBatch) -> None:
    made(api, "ada")
    (of_ada,) = batch.jobs.values()
    ada = of_ada.metadata.labels["lando-user"]
    body = {"job_definition_name": "usurp", "victim": ada}

    names = {user: api.post(JOBS, body, user).json()["job_name"] for user in ("bob", "operator")}

    assert names["bob"] not in listed(api, "ada")
    assert names["operator"] not in listed(api, "ada")
    assert listed(api, "bob") == {names["bob"]}


def test_the_key_of_one_user_is_not_that_of_another(api: Api, tmp_path: Path) -> None:
    first = {user: made(api, user, "k") for user in ("ada", "bob", "operator")}

    assert len(set(first.values())) == 3
    assert {user: made(api, user, "k") for user in first} == first
    assert api.call("POST", JOBS, {**GREET, "name": "b"}, "ada", headers={"Idempotency-Key": "k"}).status_code == 409


def test_a_user_has_no_more_unfinished_jobs_than_the_settings_let(api: Api, batch: FakeBatch, tmp_path: Path) -> None:
    api = with_definitions(api, tmp_path, per_user=2)
    first = made(api, "ada", "k")
    made(api, "ada")
    made(api, "bob")

    refused = api.post(JOBS, GREET, "ada")
    assert (refused.status_code, refused.json()["error"]) == (403, "Forbidden")
    assert refused.json()["message"].startswith("2 Jobs that have not ended are all")
    assert made(api, "ada", "k") == first, "which makes none"
    assert api.post(f"{JOBS}?dry_run=true", GREET, "ada").status_code == 200
    assert {made(api, "operator") for _ in range(3)} <= batch.jobs.keys()

    batch.jobs[first].status.conditions = [models.V1JobCondition(type="Complete", status="True")]
    made(api, "ada")
    assert api.post(JOBS, GREET, "ada").status_code == 403


def test_requests_of_one_user_at_once_make_as_many_jobs_as_may_be_and_no_more() -> None:
    allowance, jobs = Allowance(5), []
    together = threading.Barrier(10)

    def make(number: int) -> bool:
        together.wait(30)
        try:
            with allowance.taken("ada", lambda: len(jobs)):
                jobs.append(number)
        except TooManyJobs:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(make, range(10))) == len(jobs) == 5
    assert not allowance._turns


def test_keys_of_staff_are_those_of_the_library(api: Api, batch: FakeBatch, tmp_path: Path) -> None:
    manager = JobManagerFactory.from_vars("ours", "batch", tmp_path / "definitions.yaml").manager()
    name = manager.create_job("greet", {"name": "ada"}, idempotency_key="k")

    assert name == "greet-8c3a01e5a1f1e50ae993f7ea"
    assert made(api, "operator", "k") == made(api, "lando", "k") == name


def test_nobody_sees_anything_without_a_token(api: Api) -> None:
    for path in ("healthcheck", "jobs", "definitions"):
        answer = api.client.get(f"/k8s-jobs/{path}")
        assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")


def test_a_server_without_definitions_says_so(serve: Serve) -> None:
    answer = serve().get("/k8s-jobs/definitions", "operator")

    assert answer.status_code == 404
    assert "setting definitions" in answer.json()["message"]


def test_no_more_requests_than_have_places_wait_for_the_cluster(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    places = api.site.definition_calls
    taken = []
    make = JobManager.make_job

    def noted(*arguments: Any, **more: Any) -> Any:
        taken.append(places.borrowed_tokens)
        return make(*arguments, **more)

    monkeypatch.setattr(JobManager, "make_job", noted)
    places.total_tokens = 1
    for _ in range(2):
        api.post(JOBS, GREET, "operator")

    assert (taken, places.borrowed_tokens) == ([1, 1], 0)


def test_errors_are_those_of_the_library_s_own_server(api: Api) -> None:
    answer = api.post(JOBS, {"job_definition_name": "greet"}, "operator")

    assert (answer.status_code, answer.json()["missing"]) == (400, ["name"])


def test_whoever_waits_for_a_job_holds_no_place_of_those_who_ask(
    api: Api, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.jobs["one"] = job("one")
    waits, may_end = threading.Event(), threading.Event()

    def wait(manager: JobManager, name: str, timeout_s: float) -> Any:
        waits.set()
        assert may_end.wait(LIMIT_S)
        batch.jobs["one"] = job("one", condition="Complete")
        return batch.jobs["one"]

    monkeypatch.setattr(ServedJobs, "wait_for_job", wait)
    api.site.definition_calls.total_tokens = 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.get, f"{JOBS}/one/status?wait_s=60", "operator")
        try:
            assert waits.wait(LIMIT_S)
            assert api.get(f"{JOBS}/one/status", "operator").json()["conditions"] is None
        finally:
            may_end.set()
        assert waiting.result(LIMIT_S).json()["conditions"][0]["type"] == "Complete"
