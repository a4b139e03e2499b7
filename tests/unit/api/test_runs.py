"""Runs in people's words, their logs and their results."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lando.api import models as m
from lando.api import results
from lando.api.settings import Settings
from lando.api.site import MAX_PATIENT
from lando.archive import Archive
from lando.errors import NotFound, Rejected, Unavailable
from sqlalchemy import update
from tests.unit.api.serving import Api, Serve

RUNS = "/api/lando/v1/runs"


def test_a_run_says_how_each_step_went(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/", "R/V", "R/S", "R/R")
    run = api.get(f"{RUNS}/{job}").json()
    assert (run["state"], run["step"], run["kind"], run["owner"]) == ("Running", "run_workflow", "cwl", "ada")
    assert run["workflow"] == "ada-read-counts/1"
    assert [(step["name"], step["state"], step["attempt"]) for step in run["steps"]] == [
        ("stage_data", "Complete", 1),
        ("run_workflow", "Running", 1),
        ("organize_output", "Pending", None),
        ("save_output", "Pending", None),
    ]
    assert run["steps"][0]["label"] == "Staging In"
    assert run["ended"] is None
    assert api.get(f"{RUNS}/{job}/activities").json() == run["activities"]
    assert run["activities"][-1]["step"] == "Running Workflow"


def test_an_error_that_is_told_twice_is_kept_once_in_each_life_of_the_run(api: Api) -> None:
    job = api.new_job()
    api.write(job, "E/R")
    body = {"job": str(job), "job_step": "R", "content": " It exited with 3. ", "category": "user"}
    for generation in (1, 1, 2, 1):
        told = api.post("/api/v2/admin/job-errors/", {**body, "generation": generation}, "lando")
        assert told.status_code == 201
    errors = api.get(f"/api/v2/admin/job-errors/?job={job}", "lando").json()
    assert [error["content"] for error in errors] == ["It exited with 3."] * 2


def test_a_cause_is_shown_whatever_the_clocks_of_the_servers_say(api: Api) -> None:
    """And one of a former life, even if it comes late, is not taken for the present one's."""
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/S", "E/S")
    body = {"job": str(job), "job_step": "S", "category": "user"}
    for generation, content in ((1, "Now."), (0, "Before.")):
        api.post("/api/v2/admin/job-errors/", {**body, "content": content, "generation": generation}, "lando")
    with api.site.database.write() as session:
        session.execute(update(m.JobError).values(created=m.now() - timedelta(hours=3)))
    assert api.get(f"{RUNS}/{job}").json()["cause"]["sentence"] == "Now."


def test_a_failed_run_says_why(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S", "R/R")
    body = {"job": job, "job_step": "R", "content": "The tool exited with 3. Look at its log.\n\nlast line"}
    api.post("/api/v2/admin/job-errors/", {**body, "category": "user"}, "lando")
    assert api.get(f"{RUNS}/{job}").json()["cause"] is None
    api.write(job, "E/R")
    run = api.get(f"{RUNS}/{job}").json()
    assert run["state"] == "Error"
    assert run["ended"]
    cause = run["cause"]
    assert (cause["step"], cause["category"]) == ("run_workflow", "user")
    assert (cause["sentence"], cause["text"]) == ("The tool exited with 3. Look at its log.", "last line")
    assert run["steps"][1]["state"] == "Failed"


def test_runs_are_listed_by_state_in_words_or_letters(api: Api) -> None:
    first, second = api.new_job(), api.new_job()
    api.write(second, "R/S")
    assert [run["id"] for run in api.get(RUNS).json()] == [first, second]
    assert [run["id"] for run in api.get(f"{RUNS}?state=running").json()] == [second]
    assert [run["id"] for run in api.get(f"{RUNS}?state=A&state=R").json()] == [first, second]
    assert list(api.get(f"{RUNS}?state=Done").json()) == ["state"]
    assert api.get(RUNS, "eve").json() == []


@pytest.mark.parametrize("path", ["", "/activities", "/logs", "/outputs", "/outputs/x"])
def test_other_peoples_runs_do_not_exist(api: Api, path: str) -> None:
    job = api.new_job()
    assert api.get(f"{RUNS}/{job}{path}", "eve").status_code == 404
    assert api.get(f"{RUNS}/{job}{path}", "lando").status_code == 404


def test_a_change_ends_the_wait_for_it(api: Api) -> None:
    job = api.new_job()
    version = api.get(f"{RUNS}/{job}").json()["version"]
    answers: list[str] = []
    waiting = threading.Thread(
        target=lambda: answers.append(api.get(f"{RUNS}/{job}?after={version}&wait_s=30").json()["state"])
    )
    waiting.start()
    api.post(f"/api/v2/jobs/{job}/start/")
    waiting.join(10)
    assert answers == ["Starting"]


def test_a_new_run_ends_the_wait_for_a_change_of_any(api: Api) -> None:
    api.new_job()
    mark = api.get(RUNS).headers["ETag"]
    assert api.get(RUNS).headers["ETag"] == mark
    answers: list[int] = []
    waiting = threading.Thread(
        target=lambda: answers.append(len(api.get(f"{RUNS}?after={quote(mark)}&wait_s=30").json()))
    )
    waiting.start()
    api.new_job()
    waiting.join(10)
    assert answers == [2]
    assert api.get(RUNS).headers["ETag"] != mark


def test_a_wait_that_is_up_answers_what_there_is(api: Api) -> None:
    job = api.new_job()
    run = api.get(f"{RUNS}/{job}").json()
    assert api.get(f"{RUNS}/{job}?after={run['version']}&wait_s=0").json() == run


def logs(api: Api, job: int, query: str = "") -> str:
    answer = api.get(f"{RUNS}/{job}/logs{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.text


def test_archived_logs_are_shown_by_step(api: Api, settings: Settings) -> None:
    job = api.new_job()
    archive = Archive(str(settings.archive_url))
    archive.store(job, "run_workflow", 1, "main", "tool 1 of 2")
    archive.store(job, "stage_data", 1, "main", "ü fetched\n")
    api.write(job, "R/R", "F/")
    assert logs(api, job) == "==> stage_data <==\nü fetched\n==> run_workflow <==\ntool 1 of 2\n"
    assert logs(api, job, "?step=run_workflow") == "tool 1 of 2\n"
    assert logs(api, job, "?step=save_output") == ""
    assert list(api.get(f"{RUNS}/{job}/logs?step=../x").json()) == ["step"]


def test_the_log_of_the_step_at_work_comes_from_its_pod(serve: Serve, settings: Settings) -> None:
    asked: list[tuple[int, str, bool]] = []

    def live(run_id: int, step: str, follow: bool) -> Iterator[str] | None:
        asked.append((run_id, step, follow))
        return iter(["tool 1", " of 2\n"])

    api = serve(live_logs=live)
    job = api.new_job()
    Archive(str(settings.archive_url)).store(job, "stage_data", 1, "main", "fetched\n")
    api.write(job, "R/S", "R/R")
    assert logs(api, job) == "==> stage_data <==\nfetched\n==> run_workflow <==\ntool 1 of 2\n"
    assert logs(api, job, "?step=stage_data") == "fetched\n"
    assert asked == [(job, "run_workflow", False)]


def test_following_goes_on_from_step_to_step_until_the_run_has_ended(serve: Serve) -> None:
    def live(run_id: int, step: str, follow: bool) -> Iterator[str]:
        yield f"{step} at work\n"
        api.write(run_id, {"stage_data": "R/R", "run_workflow": "F/"}[step])

    api = serve(live_logs=live)
    job = api.new_job()
    api.write(job, "R/S")
    assert logs(api, job, "?follow=true") == (
        "==> stage_data <==\nstage_data at work\n==> run_workflow <==\nrun_workflow at work\n"
    )


def test_following_one_step_ends_with_it(serve: Serve) -> None:
    def live(run_id: int, step: str, follow: bool) -> Iterator[str]:
        yield "at work"
        api.write(run_id, "R/R")

    api = serve(live_logs=live)
    job = api.new_job()
    api.write(job, "R/S")
    assert logs(api, job, "?follow=true&step=stage_data") == "at work\n"


def test_a_cluster_that_is_away_breaks_a_log_off_with_a_word(serve: Serve) -> None:
    def live(_run_id: int, _step: str, _follow: bool) -> Iterator[str]:
        yield "tool 1\n"
        raise Unavailable("cluster", "connection refused")

    api = serve(live_logs=live)
    job = api.new_job()
    api.write(job, "R/R")
    assert logs(api, job, "?step=run_workflow") == "tool 1\n[The log broke off; try again.]\n"


def test_following_waits_for_a_pod_that_is_still_being_made(serve: Serve) -> None:
    answers = ["none", "refused", "there"]

    def live(run_id: int, _step: str, _follow: bool) -> Iterator[str] | None:
        answer = answers.pop(0)
        api.site.changes.announce()
        return None if answer == "none" else pieces(run_id, answer)

    def pieces(run_id: int, answer: str) -> Iterator[str]:
        if answer == "refused":
            raise Rejected("cluster", "container is waiting to start", status=400)
        yield "at work\n"
        api.write(run_id, "F/")

    api = serve(live_logs=live)
    job = api.new_job()
    api.write(job, "R/S")
    assert logs(api, job, "?follow=true&step=stage_data") == "at work\n"
    assert answers == []


def test_those_who_follow_never_hold_all_threads(serve: Serve) -> None:
    api = serve()
    job = api.new_job()
    api.write(job, "R/S")
    while api.site.patience.acquire(blocking=False):
        pass
    assert logs(api, job, "?follow=true").startswith("[Too many logs are followed now")
    version = api.get(f"{RUNS}/{job}").json()["version"]
    assert api.get(f"{RUNS}/{job}?after={version}&wait_s=60").json()["state"] == "Running"


def test_a_follower_gives_its_place_back(serve: Serve) -> None:
    api = serve()
    job = api.new_job()
    api.write(job, "F/")
    for _ in range(MAX_PATIENT + 1):
        assert logs(api, job, "?follow=true") == ""


@pytest.fixture
def project(api: Api, tmp_path: Path) -> tuple[Api, int, Path]:
    """A finished job with results, and something beside them."""
    job = api.new_job()
    folder = tmp_path / "results" / f"{job}-batch-17"
    (folder / "results" / "docs").mkdir(parents=True)
    (folder / "results" / "docs" / "README.md").write_text("# ü")
    (folder / "results" / "counts.txt").write_text("0123456789")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    row = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["output_project"]["id"]
    body = {"job": job, "project_id": folder.as_uri(), "readme_file_id": "x"}
    assert api.put(f"/api/v2/admin/job-dds-output-projects/{row}/", body).status_code == 200
    return api, job, folder


def test_results_are_listed_and_streamed(project: tuple[Api, int, Path]) -> None:
    api, job, folder = project
    listed = api.get(f"{RUNS}/{job}/outputs").json()
    assert listed["files"] == [
        {"path": "results/counts.txt", "size": 10},
        {"path": "results/docs/README.md", "size": 4},
    ]
    assert listed["url"] == folder.as_uri()
    assert api.get(f"{RUNS}/{job}").json()["outputs"] == folder.as_uri()
    file = api.get(f"{RUNS}/{job}/outputs/results/counts.txt")
    assert (file.text, file.headers["content-type"]) == ("0123456789", "text/plain; charset=utf-8")
    part = api.get(f"{RUNS}/{job}/outputs/results/counts.txt", headers={"Range": "bytes=8-"})
    assert (part.status_code, part.text) == (206, "89")


@pytest.mark.parametrize(
    "path",
    ["link.txt", "nothing", "results", "..%2F..%2Fsecret.txt", "%2Fetc%2Fpasswd", "results%2F..%2F..%2Fx", "a%00b"],
)
def test_nothing_beside_the_results_is_served(project: tuple[Api, int, Path], path: str) -> None:
    api, job, _ = project
    assert api.get(f"{RUNS}/{job}/outputs/{path}").status_code == 404


def test_odd_files_among_the_results_do_no_harm(project: tuple[Api, int, Path]) -> None:
    api, job, folder = project
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nothing")
    (folder / "up").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff.txt"))).write_text("x")
    names = [file["path"] for file in api.get(f"{RUNS}/{job}/outputs").json()["files"]]
    assert names == ["odd\N{REPLACEMENT CHARACTER}.txt", "results/counts.txt", "results/docs/README.md"]
    for path in ("loop", "dangling", "up/x", "pipe", "x" * 5000, "up", "results/counts.txt/x", "%2e%2e/x"):
        assert api.get(f"{RUNS}/{job}/outputs/{path}").status_code == 404, path


def test_results_elsewhere_are_not_served(api: Api, tmp_path: Path) -> None:
    job = api.new_job()
    assert api.get(f"{RUNS}/{job}/outputs").json() == {"url": None, "files": [], "complete": True}
    row = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["output_project"]["id"]
    body = {"job": job, "project_id": (tmp_path / "elsewhere").as_uri()}
    api.put(f"/api/v2/admin/job-dds-output-projects/{row}/", body)
    assert api.get(f"{RUNS}/{job}/outputs").status_code == 404
    assert api.get(f"{RUNS}/{job}/outputs/x").status_code == 404


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("file:///data/results/1-x", True),
        ("/data/results/1-x", True),
        ("file:///data/results/../secret", False),
        ("file:///data/results/%2e%2e/secret", False),
        ("file:///data/results", False),
        ("/data/results/", False),
        ("file:///data/results-evil/1-x", False),
        ("relative/1-x", False),
        ("file:///data/results2/1-x", False),
        ("file://host/data/results/1-x", False),
        ("s3://bucket/results/1-x", True),
        ("s3://other/results/1-x", False),
        ("s3://bucket/results/1-x?versionId=1", False),
    ],
)
def test_only_what_lies_below_a_root_is_served(url: str, below: bool) -> None:
    assert results.is_below(url, ["/data/results", "s3://bucket/results"]) is below


def test_results_in_another_store_are_read() -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe_file("/api-test/1-x/results/a.txt", b"abc")
    found = results.Results("memory://api-test/1-x")
    assert [(file.path, file.size) for file in found.files()] == [("results/a.txt", 3)]
    assert (found.size("results/a.txt"), b"".join(found.open("results/a.txt"))) == (3, b"abc")
    for path in ("results", "nothing", "../1-x/results/a.txt"):
        with pytest.raises(NotFound):
            found.size(path)


def waited_for(api: Api, job: int, change: Callable[[], Any]) -> dict[str, Any]:
    """What a follower sees who waits while ``change`` is made; fails when the wait runs to its end."""
    version = api.get(f"{RUNS}/{job}").json()["version"]
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(api.get(f"{RUNS}/{job}?after={version}&wait_s=30").json()))
    waiting.start()
    assert change().status_code < 300
    waiting.join(10)
    assert answers, "the follower was not told"
    return answers[0]


def test_followers_see_at_once_what_a_run_waits_for(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    body = {"step": "stage_data", "sentence": "Waits for quota."}
    seen = waited_for(api, job, lambda: api.put(f"{RUNS}/{job}/condition", body))
    assert seen["condition"]["sentence"] == "Waits for quota."
    seen = waited_for(api, job, lambda: api.put(f"{RUNS}/{job}/condition", {"sentence": None}))
    assert seen["condition"] is None


def test_a_condition_that_says_nothing_new_wakes_nobody_and_guards_no_write(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    etag = api.get(f"/api/v2/admin/jobs/{job}/", "lando").headers["etag"]
    body = {"step": "stage_data", "sentence": "Waits for quota."}
    api.put(f"{RUNS}/{job}/condition", body)
    version = api.get(f"{RUNS}/{job}").json()["version"]
    api.put(f"{RUNS}/{job}/condition", body)
    assert api.get(f"{RUNS}/{job}").json()["version"] == version
    assert api.put(f"/api/v2/admin/jobs/{job}/", {"step": "R"}, If_Match=etag).status_code == 200


def test_a_condition_that_comes_after_the_end_is_not_shown(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S", "F/")
    api.put(f"{RUNS}/{job}/condition", {"step": "stage_data", "sentence": "Waits for quota."})
    assert api.get(f"{RUNS}/{job}").json()["condition"] is None


def waits_for(api: Api, job: int, asked_s: float = 0.0) -> str | None:
    """What the run is said to wait for, ``asked_s`` after the last thing that happened to it."""
    with api.site.database.write() as session:
        created = m.now() - timedelta(seconds=asked_s)
        session.execute(update(m.JobActivity).filter_by(job_id=job).values(created=created))
        session.execute(update(m.Job).filter_by(id=job).values(last_updated=created))
    condition = api.get(f"{RUNS}/{job}").json()["condition"]
    return str(condition["sentence"]) if condition else None


def test_a_run_whose_command_nobody_has_taken_up_says_for_whom_it_waits(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    assert waits_for(api, job) is None
    assert waits_for(api, job, 60) == "The broker has not got the command to start yet; it is sent until it is there."
    api.broker.away = True
    api.published()
    assert waits_for(api, job) == (
        "The broker has not got the command to start yet (broker: connection refused); it is sent until it is there."
    )
    api.broker.away = False
    with api.site.database.write() as session:
        session.execute(update(m.PendingCommand).values(due=m.now()))
    assert api.published() == [("start", job)]
    assert waits_for(api, job) is None
    assert waits_for(api, job, 60) == (
        "No lando daemon has taken up the command to start yet: it is down, paused or busy."
    )
    api.write(job, "R/S")
    assert waits_for(api, job, 60) is None
    api.post(f"/api/v2/jobs/{job}/cancel/")
    assert "the command to cancel" in (waits_for(api, job, 60) or "")


def test_a_condition_of_no_step_is_refused(api: Api) -> None:
    job = api.new_job()
    assert api.put(f"{RUNS}/{job}/condition", {"step": "x" * 200}).status_code == 400


def test_the_cause_of_a_former_failure_is_not_shown_for_the_next_one(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/S", "E/S")
    error = {"job": str(job), "job_step": "S", "content": "The first cause.", "category": "resources"}
    api.post("/api/v2/admin/job-errors/", error, "lando")
    first = api.get(f"{RUNS}/{job}").json()["cause"]
    assert (first["sentence"], first["category"]) == ("The first cause.", "resources")
    api.post(f"/api/v2/jobs/{job}/restart/")
    api.write(job, "R/S", "E/S")
    assert api.get(f"{RUNS}/{job}").json()["cause"] is None
    api.post("/api/v2/admin/job-errors/", {**error, "content": "The second cause."}, "lando")
    assert api.get(f"{RUNS}/{job}").json()["cause"]["sentence"] == "The second cause."
