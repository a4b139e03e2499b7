"""What our own API answers about phased runs, and what becomes of answers that can't be used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from lando.config import LandoApiSettings
from lando.errors import NotFound, Rejected
from lando.plans.phases import RESOURCES, Submission, Unreadable
from lando.runs import Attempt, AttemptState, Category, Cause, RunState, StepState
from lando.sources import runs
from lando.sources.http import Answer
from lando.sources.runs import RunsSource

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "a"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "letters"}}
MODEL = {
    "jobernetes_config": {"resources": ["map.json"]},
    "jobernetes": [{"phase_name": "p", "jobs": [{"name": "one", "job_path": "a.json"}]}],
}


def run_document(**changes: Any) -> dict[str, Any]:
    return {
        "id": 17,
        "kind": "phases",
        "owner": "ann",
        "name": "load",
        "state": "Running",
        "generation": 2,
        "held": False,
        "last_updated": "2026-03-04T15:08:00Z",
        "lando_connection": 1,
        "document_digest": "d",
        "steps": {"a": "Pending"},
        **changes,
    }


class FakeApi:
    """Answers with the run that it was given; notes what it was asked."""

    def __init__(self) -> None:
        self.run = run_document()
        self.document: Any = {
            "model": "m.yaml",
            "files": {"m.yaml": json.dumps(MODEL), "a.json": json.dumps(JOB), "map.json": json.dumps(MAP)},
        }
        self.listed: list[Any] = []
        self.asked: list[tuple[str, str, Any]] = []

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Any = None, if_match: Any = None
    ) -> Answer:
        self.asked.append((method, path, body if body is not None else query))
        document = self.document if path.endswith("/document") else self.run
        return Answer(document=document, etag='"3"')

    def items(self, path: str, *, query: list[tuple[str, str]]) -> Iterator[Any]:
        self.asked.append(("LIST", path, query))
        asked = dict(query)
        states, ids = ({value for key, value in query if key == wanted} for wanted in ("state", "id"))
        found = [
            one
            for one in self.listed
            if one["id"] > int(asked["after"]) and (one["state"] in states or str(one["id"]) in ids)
        ]
        yield from found[: int(asked["limit"])]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def source(api: FakeApi) -> RunsSource:
    source = RunsSource(LandoApiSettings(url="http://127.0.0.1/api/lando/v1", token="t"))
    given: Any = api
    source._api = source._attempts._api = given
    return source


def test_a_run_brings_its_model_which_is_fetched_once(api: FakeApi, source: RunsSource) -> None:
    run = source.get(17)
    assert (run.kind, run.owner, run.state, run.generation, run.version) == (
        "phases",
        "ann",
        RunState.RUNNING,
        2,
        '"3"',
    )
    assert isinstance(run.document, Submission)
    assert [job.name for job in run.document.model.jobs()] == ["a"]
    assert run.document.restricted, "where the API does not say whom it trusts"
    assert source.changed(run) == run.changed is not None
    source.get(17)
    assert [path for _, path, _ in api.asked].count("admin/runs/17/document") == 1


@pytest.mark.parametrize(
    ("step", "resources"), [("Pending", "Pending"), ("Running", "Complete"), ("Failed", "Complete")]
)
def test_the_resources_are_a_step_that_was_done_before_any_other_began(
    api: FakeApi, source: RunsSource, step: str, resources: str
) -> None:
    api.run = run_document(steps={"a": step})
    assert source.get(17).steps == {RESOURCES: StepState(resources), "a": StepState(step)}


def test_only_what_differs_is_written_and_never_the_resources(api: FakeApi, source: RunsSource) -> None:
    run = source.get(17)
    written, notice = source.write(run, state=RunState.RUNNING, steps={**run.steps, RESOURCES: StepState.RUNNING})
    assert (written.steps[RESOURCES], notice) == (StepState.RUNNING, None)
    source.write(run, state=RunState.ERROR, steps={RESOURCES: StepState.COMPLETE, "a": StepState.FAILED})
    puts = [body for method, _, body in api.asked if method == "PUT"]
    assert puts == [{"state": "Error", "steps": {"a": "Failed"}}]


def test_what_concerns_the_resources_concerns_the_run_as_a_whole(api: FakeApi, source: RunsSource) -> None:
    run = source.get(17)
    source.report_error(run, RESOURCES, Cause(category=Category.USER, sentence="The name is taken.", exit_code=None))
    source.set_condition(run, RESOURCES, "It waits.")
    assert [body["step"] for method, _, body in api.asked if method in ("POST", "PUT")] == [None, None]
    told = next(body for method, _, body in api.asked if method == "POST")
    assert told == {
        "step": None,
        "category": "user",
        "content": "The name is taken.",
        "exit_code": None,
        "generation": 2,
    }


def test_a_survey_goes_page_by_page_and_asks_for_the_rest_by_id(
    api: FakeApi, source: RunsSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RUNS_PER_PAGE", 2)
    states = ["Running", "Running", "Starting", "Finished", "Error"]
    api.listed = [run_document(id=number, state=state) for number, state in enumerate(states, 1)]
    api.listed.insert(0, run_document(id=0, state="Running"))
    found = source.survey([3, 4, 99])
    assert sorted(found) == [1, 2, 3, 4]
    assert found[4].state is RunState.FINISHED
    assert (found[1].connection, found[1].kind) == (1, "phases")


def test_an_older_api_keeps_no_such_runs_and_is_there_all_the_same(
    source: RunsSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*asked: Any, **options: Any) -> Any:
        raise NotFound("Lando API", "GET admin/runs: answered 404", status=404)

    monkeypatch.setattr(FakeApi, "request", unknown)
    monkeypatch.setattr(FakeApi, "items", unknown)
    source.probe()
    assert source.survey([3]) == {}


def test_a_run_of_a_list_that_can_not_be_read_is_left_out(api: FakeApi, source: RunsSource) -> None:
    api.listed = [run_document(id=1), {**run_document(id=2), "steps": {"a": "Odd"}}]
    assert sorted(source.survey([])) == [1]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"kind": "batch"}, "the unknown kind 'batch'"),
        ({"state": "Odd"}, "can't be read"),
        ({"steps": None}, "can't be read"),
    ],
)
def test_an_answer_that_can_not_be_used_is_refused_with_what_is_wrong(
    api: FakeApi, source: RunsSource, changes: dict[str, Any], wrong: str
) -> None:
    api.run = run_document(**changes)
    with pytest.raises(Rejected, match=wrong):
        source.get(17)


@pytest.mark.parametrize("document", [None, {}, {"model": "m.yaml", "files": None}])
def test_a_document_that_can_not_be_read_is_refused(api: FakeApi, source: RunsSource, document: Any) -> None:
    api.document = document
    with pytest.raises(Rejected):
        source.get(17)


def test_a_run_whose_model_can_not_be_read_any_more_can_still_be_ended(api: FakeApi, source: RunsSource) -> None:
    api.document = {"model": "m.yaml", "files": {}}

    run = source.get(17)

    assert run.document == Unreadable(reason="m.yaml: does not exist.")
    assert list(run.steps) == ["a"]


def test_the_attempts_of_many_steps_are_all_told_in_parts(api: FakeApi, source: RunsSource) -> None:
    run = source.get(17)
    began = [Attempt(step="a", number=1, job="a-17", uid=f"u{n}", state=AttemptState.RUNNING) for n in range(950)]

    source.tell_attempts(run, began)

    parts = [body["attempts"] for _, path, body in api.asked if path == "runs/17/attempts"]
    assert {one["uid"] for part in parts for one in part} == {one.uid for one in began}
    assert max(len(part) for part in parts) == 100
