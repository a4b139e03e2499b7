"""What a run's sentences were read from, for its owner alone."""

from __future__ import annotations

from pathlib import Path

from lando.api.settings import Settings
from lando.archive import Archive
from tests.unit.api.serving import Api

RUNS = "/api/lando/v1/runs"
FAILED = {"verdict": "Failed", "cause": {"sentence": "It failed."}}


def test_evidence_comes_by_step_and_attempt(api: Api, settings: Settings) -> None:
    job = api.new_job()
    archive = Archive(str(settings.archive_url))
    archive.store_evidence(job, "run_workflow", 1, FAILED)
    archive.store_evidence(job, "stage_data", 2, FAILED)

    answer = api.get(f"{RUNS}/{job}/evidence").json()
    assert answer["kept"] is True
    assert [(one["step"], one["attempt"]) for one in answer["evidence"]] == [("stage_data", 2), ("run_workflow", 1)]
    only = api.get(f"{RUNS}/{job}/evidence?step=run_workflow").json()
    assert only["evidence"] == [{**FAILED, "step": "run_workflow", "attempt": 1}]


def test_a_run_without_failures_has_no_evidence(api: Api) -> None:
    assert api.get(f"{RUNS}/{api.new_job()}/evidence").json() == {"kept": True, "evidence": []}


def test_a_step_that_does_not_exist_is_refused(api: Api) -> None:
    answer = api.get(f"{RUNS}/{api.new_job()}/evidence?step=../../x")

    assert answer.status_code == 400
    assert list(answer.json()) == ["step"]


def test_an_archive_that_can_not_be_read_is_told_as_such(api: Api, settings: Settings) -> None:
    job = api.new_job()
    Archive(str(settings.archive_url)).store_evidence(job, "run_workflow", 1, FAILED)
    (Path(str(settings.archive_url)) / str(job) / "run_workflow" / "1" / "evidence.json").write_text("{")

    answer = api.get(f"{RUNS}/{job}/evidence")
    assert answer.status_code == 503
    assert "archive" in answer.json()["detail"]
