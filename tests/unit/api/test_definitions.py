"""Jobs from definitions as part of the API server: who may, and what is answered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lando.definitions import JobGenerator, JobManager, JobSigner, StaticJobDefinitionsRegister, YamlStringSpecSource
from tests.unit.api.serving import Api, Serve

SPEC = 'metadata: {name: "greet-{{ name }}"}'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cluster was told to make."""
    jobs: list[Any] = []

    def create(*, namespace: str, body: Any) -> Any:
        jobs.append(body)
        return SimpleNamespace(metadata=SimpleNamespace(name=body.to_dict()["metadata"]["name"]))

    monkeypatch.setattr("kubernetes.client.BatchV1Api", lambda _: SimpleNamespace(create_namespaced_job=create))
    return jobs


def with_definitions(api: Api) -> Api:
    register = StaticJobDefinitionsRegister({"greet": JobGenerator(YamlStringSpecSource(SPEC))})
    manager = JobManager("batch", JobSigner("ours"), register)
    api.site.definitions = SimpleNamespace(manager=manager)  # type: ignore[assignment]
    return api


def test_staff_make_jobs_with_their_own_token(serve: Serve, made: list[Any]) -> None:
    api = with_definitions(serve())

    answer = api.post("/k8s-jobs/jobs", {"job_definition_name": "greet", "name": "ada"}, "operator")

    assert answer.status_code == 200
    assert answer.json()["job_name"].startswith("greet-ada-")
    assert len(made) == 1


def test_others_do_only_where_the_settings_say_so(serve: Serve, made: list[Any]) -> None:
    for who, status in (("staff", 403), ("users", 200)):
        api = with_definitions(serve(definitions_for=who))
        answer = api.post("/k8s-jobs/jobs", {"job_definition_name": "greet", "name": "ada"}, f"one-of-{who}")
        assert answer.status_code == status
    assert len(made) == 1


def test_nobody_sees_anything_without_a_token(serve: Serve) -> None:
    api = with_definitions(serve())

    for path in ("healthcheck", "jobs", "definitions"):
        answer = api.client.get(f"/k8s-jobs/{path}")
        assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")


def test_a_server_without_definitions_says_so(serve: Serve) -> None:
    answer = serve().get("/k8s-jobs/definitions", "operator")

    assert answer.status_code == 404
    assert "setting definitions" in answer.json()["message"]


def test_no_more_requests_than_have_places_wait_for_the_cluster(
    serve: Serve, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = with_definitions(serve())
    places = api.site.definition_calls
    taken = []
    make = JobManager.make_job

    def noted(*arguments: Any, **more: Any) -> Any:
        taken.append(places.borrowed_tokens)
        return make(*arguments, **more)

    monkeypatch.setattr(JobManager, "make_job", noted)
    places.total_tokens = 1
    for _ in range(2):
        api.post("/k8s-jobs/jobs", {"job_definition_name": "greet", "name": "ada"}, "operator")

    assert (taken, places.borrowed_tokens) == ([1, 1], 0)


def test_errors_are_those_of_the_library_s_own_server(serve: Serve, made: list[Any]) -> None:
    api = with_definitions(serve())

    answer = api.post("/k8s-jobs/jobs", {"job_definition_name": "greet"}, "operator")

    assert (answer.status_code, answer.json()["missing"]) == (400, ["name"])
