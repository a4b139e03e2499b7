"""The history of a run: every attempt of a step with its Job, and what Lando did again by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.api import attempts
from tests.unit.api.serving import Api

RUNS = "/api/lando/v1/runs"
EVICTED = "Pod stage-data-1-x on node n1 was evicted from its node."


def told(number: int, state: str = "Running", step: str = "stage_data", **more: Any) -> dict[str, Any]:
    job = f"{step.replace('_', '-')}-1-ada"
    return {"step": step, "attempt": number, "job": job, "uid": f"uid-{step}-{number}", "state": state, **more}


def evicted(number: int) -> dict[str, Any]:
    return told(number, "Failed", category="infrastructure", sentence=EVICTED, exit_code=137)


def tell(api: Api, job: int, *attempts: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = api.put(f"{RUNS}/{job}/attempts", {"attempts": list(attempts)})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def run(api: Api, job: int) -> dict[str, Any]:
    return dict(api.get(f"{RUNS}/{job}").json())


def seen(api: Api, job: int) -> list[tuple[str, int, str]]:
    return [(one["step"], one["attempt"], one["state"]) for one in run(api, job)["attempts"]]


def test_a_retry_of_our_own_is_an_activity_with_the_cause_of_the_attempt_before(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, told(1))
    tell(api, job, evicted(1))
    tell(api, job, told(2))
    one = run(api, job)
    assert [(row["step"], row["attempt"]) for row in one["activities"][-2:]] == [("Staging In", 1), ("Staging In", 2)]
    assert one["activities"][-1]["sentence"] == f"Attempt 1 ended: {EVICTED} Attempt 2 began."
    assert one["activities"][-1]["category"] == "infrastructure"
    assert one["activities"][-1]["job"] == "stage-data-1-ada"
    assert one["activities"][-1]["uid"] == "uid-stage_data-2"
    assert one["steps"][0]["attempt"] == 2
    first, second = one["attempts"]
    assert (first["state"], first["exit_code"], first["sentence"]) == ("Failed", 137, EVICTED)
    assert (second["state"], second["ended"]) == ("Running", None)
    assert api.get(f"{RUNS}/{job}/activities").json() == one["activities"]


def test_bespins_own_list_of_activities_stays_as_it_is(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    before = api.get(f"/api/job-activities/?job={job}").json()
    tell(api, job, told(1), evicted(1), told(2))
    assert api.get(f"/api/job-activities/?job={job}").json() == before
    assert set(before[-1]) == {"id", "created", "state", "step", "job"}


def test_telling_again_adds_nothing_and_wakes_nobody(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, told(1), evicted(1), told(2))
    before = run(api, job)
    tell(api, job, told(1), evicted(1), told(2))
    assert run(api, job) == before


def test_what_has_ended_stays_as_it_was_first_told(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, evicted(1))
    tell(api, job, told(1), told(1, "Failed", category="infrastructure", sentence="The pod is gone."))
    assert run(api, job)["attempts"][0]["sentence"] == EVICTED


def test_an_end_that_was_never_told_is_read_from_what_became_of_the_step(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, told(1), told(2))
    assert seen(api, job) == [("stage_data", 1, "Unknown"), ("stage_data", 2, "Running")]
    api.write(job, "R/R")
    assert seen(api, job) == [("stage_data", 1, "Unknown"), ("stage_data", 2, "Complete")]
    tell(api, job, told(1, step="run_workflow"))
    api.write(job, "C/")
    assert seen(api, job)[-1] == ("run_workflow", 1, "Canceled")


def test_an_attempt_whose_beginning_was_never_told_is_there_with_its_end(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S", "R/R")
    tell(api, job, told(1, "Complete"))
    assert seen(api, job) == [("stage_data", 1, "Complete")]
    assert [row["attempt"] for row in run(api, job)["activities"]][-2:] == [1, None]


def test_a_clock_that_is_wrong_puts_no_attempt_outside_of_its_step(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    early, late = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    tell(api, job, told(1, "Complete", began=early.isoformat(), ended=late.isoformat()))
    one = run(api, job)
    (attempt,) = one["attempts"]
    assert one["activities"][-1]["created"] <= attempt["began"] <= attempt["ended"]
    assert attempt["ended"] < late.isoformat()
    assert one["activities"][-1]["attempt"] == 1


def test_a_failure_carries_its_cause_and_the_attempt_that_failed(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, told(1), told(1, "Failed", category="user", sentence="It ended with exit code 3.", exit_code=3))
    api.write(job, "E/S")
    error = {"job": str(job), "job_step": "S", "content": "It ended with exit code 3.\n\nlog", "category": "user"}
    api.post("/api/v2/admin/job-errors/", error, "lando")
    last = run(api, job)["activities"][-1]
    assert (last["state"], last["attempt"], last["category"]) == ("Error", 1, "user")
    assert last["sentence"] == "It ended with exit code 3."


def test_a_run_that_begins_anew_keeps_the_history_of_its_former_life(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/S")
    tell(api, job, told(1))
    api.write(job, "C/")
    api.post(f"/api/v2/jobs/{job}/restart/")
    api.write(job, "R/S")
    tell(api, job, {**told(1), "uid": "another"})
    assert seen(api, job) == [("stage_data", 1, "Unknown"), ("stage_data", 1, "Running")]
    assert "Attempt" not in str([row["sentence"] for row in run(api, job)["activities"]]), (
        "a user's restart is no retry"
    )


def test_attempts_are_counted_anew_in_a_new_life(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/S")
    steps = run(api, job)["steps"]
    assert (steps[0]["attempt"], steps[1]["attempt"]) == (1, None)
    version = run(api, job)["version"]
    tell(api, job, told(3))
    one = run(api, job)
    assert (one["steps"][0]["attempt"], one["version"]) == (3, version + 1)
    api.write(job, "C/")
    api.post(f"/api/v2/jobs/{job}/restart/")
    assert run(api, job)["steps"][0]["attempt"] == 1


def test_the_oldest_attempts_go_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "KEPT", 3)
    job = api.new_job()
    api.write(job, "R/S")
    for number in range(1, 6):
        tell(api, job, told(number))
    assert [number for _, number, _ in seen(api, job)] == [3, 4, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "make_tea"},
        {"attempt": 0},
        {"uid": "x" * 65},
        {"job": ""},
        {"state": "Well"},
        {"began": "2026-03-04T15:06:07"},
        {"category": "weather"},
    ],
)
def test_what_is_no_attempt_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    job = api.new_job()
    tell(api, job, {**told(1), **wrong}, status=400)
    assert seen(api, job) == []


def test_only_staff_may_tell_and_only_of_runs_that_are_there(api: Api) -> None:
    job = api.new_job()
    assert api.put(f"{RUNS}/{job}/attempts", {"attempts": [told(1)]}, "ada").status_code == 403
    tell(api, 10**6, told(1), status=404)


def keep(api: Api, job: int) -> None:
    archive = api.site.archive
    assert archive is not None
    archive.store(job, "stage_data", 1, "main", "first try\n")
    archive.store_missing(job, "stage_data", 2, "the Job was gone.")


def logs(api: Api, job: int, query: str = "") -> str:
    answer = api.get(f"{RUNS}/{job}/logs?{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_log_of_one_attempt_is_read_also_while_the_next_is_at_work(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    tell(api, job, told(1), evicted(1), told(3))
    keep(api, job)
    assert logs(api, job, "step=stage_data&attempt=1") == "first try\n"
    assert logs(api, job, "step=stage_data&attempt=1&follow=true") == "first try\n"
    assert logs(api, job, "step=stage_data&attempt=2") == "[There is no log: the Job was gone.]\n"
    assert logs(api, job, "attempt=7") == ""


def test_without_an_attempt_all_are_read(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S", "R/R")
    keep(api, job)
    text = logs(api, job, "step=stage_data")
    assert text.index("attempt 1") < text.index("first try") < text.index("attempt 2") < text.index("[There is no log")


@pytest.mark.parametrize("attempt", ["0", "-1", "x", "99999999999"])
def test_what_is_no_attempt_has_no_log(api: Api, attempt: str) -> None:
    assert api.get(f"{RUNS}/{api.new_job()}/logs?attempt={attempt}").status_code == 400


def test_the_use_of_the_output_volume_is_kept_with_the_attempt_that_told_it(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    assert run(api, job)["volume"] is None
    api.write(job, "R/R")
    use = {"used": 90 * 2**30, "size": 100 * 2**30}
    tell(api, job, told(1, "Complete", "run_workflow", volume=use), told(1, step="organize_output"))
    assert run(api, job)["volume"] == use
    assert [one["volume"] for one in run(api, job)["attempts"]] == [use, None]
    tell(api, job, told(1, volume={"used": -1, "size": 0}), status=400)
