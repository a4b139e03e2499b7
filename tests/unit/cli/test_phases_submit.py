"""``lando phases submit``: what is sent, what is shown of the run's phases, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lando.cli import rendering
from lando.client.views import run_view

Document = Callable[..., dict[str, Any]]
SUBMIT = "POST /api/lando/v1/runs"
RUN = "GET /api/lando/v1/runs/3"
MODEL = "jobernetes: [{phase_name: load, jobs: [{name: fetch, type: directory, job_path: ../jobs}]}]\n"
JOB = """\
{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {template: {spec:
  {restartPolicy: Never, containers: [{name: m, image: x}]}}}}
"""


def step(name: str, state: str, phase: str = "load", **more: Any) -> dict[str, Any]:
    times = {"started": "2026-03-04T15:06:07Z", "ended": "2026-03-04T15:06:09.5Z"} if state != "Pending" else {}
    return {"name": name, "state": state, "phase": phase, "entry": "e", "attempt": None, **times, **more}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A model in the current folder; the files that belong to it."""
    here = tmp_path / "here"
    for path, text in {"here/m.yaml": MODEL, "jobs/a.yaml": JOB % "a", "jobs/b.yml": JOB % "b"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (here / "notes.txt").write_text("not sent")
    monkeypatch.chdir(here)
    return {"m.yaml": MODEL, "../jobs/a.yaml": JOB % "a", "../jobs/b.yml": JOB % "b"}


def test_a_model_is_sent_with_what_it_names_and_followed(
    api: Any, lando: Any, document: Document, model: dict[str, str]
) -> None:
    running = document(kind="phases", steps=[step("a", "Running"), step("b", "Pending")])
    said = [step("a", "Failed", sentence="It exited with 3."), step("b", "Failed", sentence="Too late.")]
    failed = [step("a", "Failed"), said[1]]
    api.on(SUBMIT, (201, running))
    api.on(
        RUN,
        running,
        document(kind="phases", state="Error", version=2, steps=failed, cause={"sentence": "Two failed."}),
        document(kind="phases", state="Error", version=3, steps=said, cause={"sentence": "Two failed."}),
    )
    outcome = lando("phases", "submit", "m.yaml", "--name", "nightly")
    assert outcome.code == 2, outcome.err
    assert outcome.out.splitlines()[0] == 'run 3 "batch 17" is submitted; follow it with: lando status 3 --watch'
    assert outcome.out.splitlines()[1:] == [
        "run 3: Running",
        "a: Running (2.5 s)",
        "a: Failed (2.5 s)",
        "b: Failed (2.5 s): Too late.",
        "run 3: Error",
        "why: Two failed.",
        "a: It exited with 3.",
    ]
    assert api.bodies(SUBMIT) == [{"kind": "phases", "model": "m.yaml", "files": model, "name": "nightly"}]


def test_without_following_it_ends_at_once_and_tells_programs_all(
    api: Any, lando: Any, document: Document, model: dict[str, str]
) -> None:
    api.on(SUBMIT, (201, document(kind="phases")))
    outcome = lando("phases", "submit", "m.yaml", "--no-follow", "--json")
    assert (outcome.code, json.loads(outcome.out)["id"]) == (0, 3)
    assert len(api.asked) == 1


def test_who_ends_the_following_is_told_that_the_run_goes_on(
    api: Any, lando: Any, document: Document, model: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lando.cli.phases_submit.follow", interrupt)
    api.on(SUBMIT, (201, document(kind="phases")))
    outcome = lando("phases", "submit", "m.yaml")
    assert outcome.code == 130
    assert outcome.err == "Run 3 goes on: lando status 3 --watch; to end it: lando cancel 3.\n"


def test_what_is_wrong_is_told_by_its_place_and_nothing_is_sent(
    api: Any, lando: Any, model: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs/b.yml").write_text("kind: Pod\n")
    outcome = lando("phases", "submit", "m.yaml", "--json")
    assert (outcome.code, outcome.out, api.asked) == (1, "", [])
    assert "../jobs/b.yml" in outcome.err
    assert "m.yaml can't be run: 1 problem" in outcome.err


def test_what_the_server_refuses_is_told_by_its_place(api: Any, lando: Any, model: dict[str, str]) -> None:
    finding = {"reason": "must be false here", "is_error": True, "file": "a.yaml", "line": 7, "phase": "", "entry": "e"}
    aside = {"reason": "it is left aside", "is_error": False, "file": "m.yaml"}
    api.on(SUBMIT, (400, {"detail": "The model can't be run: 1 thing is wrong with it.", "findings": [finding, aside]}))
    outcome = lando("phases", "submit", "m.yaml")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-3:] == [
        "lando: The model can't be run: 1 thing is wrong with it.",
        "a.yaml:7: entry e: must be false here",
        "warning: m.yaml: it is left aside",
    ]


def test_a_run_is_drawn_by_phases_and_of_many_jobs_the_most_telling_are_shown(document: Document) -> None:
    many = [step(f"job-{number}", "Pending") for number in range(60)]
    many[50] = step("job-50", "Failed", sentence="It exited with 3.")
    many[3] = step("job-3", "Complete")
    done, last = step("schema", "Complete", "prepare"), step("report", "Pending", "report")
    run = run_view(document(kind="phases", steps=[done, *many, last], ended=None))
    lines = [line.text for line in rendering.tree(run, rendering.utc_now())][1:]
    assert lines[:2] == ["✔ prepare: 1 Job complete", "✘ load: 1 of 60 Jobs complete"]
    assert "├─ ✘ job-50  Failed    2.5 s  It exited with 3." in lines
    assert len(lines) == 3 + rendering.PHASE_LINES + 1
    assert lines[-2:] == ["└─ … and 20 more: 19 Pending, 1 Complete", "· report: 1 Job"]


def test_of_a_run_that_is_over_each_job_is_shown_with_its_time(document: Document) -> None:
    steps = [step("schema", "Complete", "prepare"), step("fetch", "Complete")]
    run = run_view(document(kind="phases", state="Finished", steps=steps))
    assert [line.text for line in rendering.tree(run, rendering.utc_now())][1:] == [
        "✔ prepare: 1 Job complete",
        "└─ ✔ schema  Complete  2.5 s",
        "✔ load: 1 Job complete",
        "└─ ✔ fetch  Complete  2.5 s",
    ]


def test_a_list_says_how_many_jobs_of_a_phased_run_are_complete(document: Document) -> None:
    run = run_view(document(kind="phases", progress={"Complete": 3, "Running": 2, "Pending": 1}))
    assert "3 of 6 Jobs" in list(rendering.runs_table([run], rendering.utc_now()))[1]
