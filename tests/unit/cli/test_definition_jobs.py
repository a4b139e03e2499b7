"""``lando definitions jobs``, ``show``, ``logs``, ``delete``: what is asked, what is shown, how it ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from lando.cli import definition_rendering

JOBS = "GET /k8s-jobs/jobs"
JOB = "GET /k8s-jobs/jobs/greet-1"
NOW = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)


def ago(seconds: float, now: datetime = NOW) -> str:
    return format_datetime(now - timedelta(seconds=seconds), usegmt=True)


def job(name: str = "greet-1", state: str = "Complete", **more: Any) -> dict[str, Any]:
    """A Job as the server tells it, which took 12 s of the minute that it is old."""
    ends = [{"type": state, "status": "True", "last_transition_time": ago(48)}] if state != "Running" else None
    return {
        "job_name": name,
        "job_definition_name": "greet",
        "created": ago(60),
        "state": state,
        "status": {"start_time": ago(60), "completion_time": None, "conditions": ends},
        "cause": None,
        "kept": None,
        **more,
    }


FAILED = {"sentence": "It ended with exit code 3.", "advice": "Look at its log.", "log_tail": "a\n\x1b[2Jb\n"}


def page(*jobs: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"jobs": {one["job_name"]: one for one in jobs}, "continue": following}


def test_jobs_are_listed_with_the_newest_last(api: Any, lando: Any) -> None:
    api.on(JOBS, page(job("greet-2", "Failed", cause=FAILED), job("greet-1")))

    lines = lando("definitions", "jobs", "--definition", "greet").out.splitlines()

    assert [line.split()[:3] for line in lines] == [
        ["JOB", "DEFINITION", "STATE"],
        ["greet-1", "greet", "Complete"],
        ["greet-2", "greet", "Failed"],
    ]
    assert lines[-1].endswith("It ended with exit code 3.")
    assert api.asked[0][1] == "details=true&job_definition_name=greet&limit=100"


def test_no_more_jobs_are_asked_for_than_are_shown(api: Any, lando: Any) -> None:
    api.on(JOBS, page(*(job(f"greet-{n}") for n in range(100)), following="p2"), page(job("z"), following="p3"))

    outcome = lando("definitions", "jobs", "--limit", 101, "--json")

    assert len(json.loads(outcome.out)) == 101
    assert outcome.err == "There are older ones; --limit 1010 shows more.\n"
    assert [query for _, query, _ in api.asked] == ["details=true&limit=100", "details=true&limit=1&continue=p2"]


def test_a_cause_is_cut_where_the_terminal_ends() -> None:
    lines = [*definition_rendering.table([job("greet-2", "Failed", cause=FAILED)], NOW, 70)]

    assert lines[-1] == "greet-2  greet       Failed  1 min 00 s ago  It ended with exit code…"
    assert all(len(line) <= 70 for line in lines)
    assert [*definition_rendering.table([job(cause=FAILED)], NOW, None)][-1].endswith("exit code 3.")


def test_one_job_is_shown_with_all_that_is_known(api: Any, lando: Any) -> None:
    api.on(JOB, job(state="Failed", cause=FAILED, kept="2026-03-04T15:06:07+00:00", lost="Its logs."))
    event = {"time": "t", "object": "Pod x", "reason": "Failed", "message": "no\x1b[2J", "count": 2}
    api.on(f"{JOB}/events", {"events": [event], "terminations": {"greet-1-x": {"main": "out of cheese"}}})

    lines = lando("definitions", "show", "greet-1").out.splitlines()

    assert lines[0].startswith("greet-1 (greet): Failed after 12 s, created ")
    assert lines[1:] == [
        "gone from the cluster; this is what was kept at 2026-03-04T15:06:07+00:00",
        "lost: Its logs.",
        "why: It ended with exit code 3.",
        "what to do: Look at its log.",
        "   | a",
        "   |  [2Jb",
        "greet-1-x/main left the message: out of cheese",
        "events, oldest first:",
        "  t Pod x, Failed (2 times): no [2J",
    ]
    shown = json.loads(lando("definitions", "show", "greet-1", "--json").out)
    assert (shown["state"], shown["events"]) == ("Failed", [event])


def test_a_job_that_waits_says_for_what() -> None:
    found = job(state="Running", cause={"sentence": "There is no room.", "advice": ""})

    lines = [line.text for line in definition_rendering.job(found, {}, NOW)]

    assert lines == ["greet-1 (greet): Running for 1 min 00 s, created 1 min 00 s ago", "waits for: There is no room."]


def test_of_many_events_the_latest_are_shown() -> None:
    events = [{"time": str(number)} for number in range(definition_rendering.EVENTS + 2)]

    lines = [line.text for line in definition_rendering.job(job(), {"events": events}, NOW)]

    assert lines[1] == "events, oldest first; 2 earlier ones by --json:"
    assert (len(lines), lines[2].split()[0]) == (2 + definition_rendering.EVENTS, "2")


def test_a_job_that_is_being_deleted_says_so_unless_it_is_gone() -> None:
    going = job(state="Running")
    going["status"]["deletion_timestamp"] = ago(1)

    assert [*definition_rendering.table([going], NOW, None)][1].split()[2] == "Deleting"
    assert "it is being deleted" in [line.text for line in definition_rendering.job(going, {}, NOW)]
    gone = [line.text for line in definition_rendering.job(going | {"kept": "t"}, {}, NOW)]
    assert gone[1:] == ["gone from the cluster; this is what was kept at t"]


LOGS = {
    "greet-1-x": {"setup": ["ready", ""], "main": ["Hello", "Ada"]},
    "greet-1-y": {"setup": [""], "main": ["Hello", ""]},
}


def test_lines_of_several_containers_begin_with_their_source(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", LOGS)

    outcome = lando("definitions", "logs", "greet-1", "--limit", 5)

    assert outcome.out == "x/setup | ready\nx/main | Hello\nx/main | Ada\ny/main | Hello\n"
    assert api.asked[0][1] == "limit=5"
    assert lando("definitions", "logs", "greet-1", "--pod", "x", "-c", "main").out == "Hello\nAda\n"
    assert json.loads(lando("definitions", "logs", "greet-1", "--pod", "greet-1-y", "--json").out) == {
        "greet-1-y": LOGS["greet-1-y"]
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--pod", "z"), "The Job greet-1 has no pod 'z'; it has greet-1-x, greet-1-y."),
        (("--container", "other"), "The Job greet-1 has no container 'other', but main, setup."),
    ],
)
def test_a_pod_or_container_that_is_not_there_is_told_with_those_that_are(
    api: Any, lando: Any, wrong: tuple[str, str], said: str
) -> None:
    api.on(f"{JOB}/logs", LOGS)

    assert lando("definitions", "logs", "greet-1", *wrong) == type(lando("--version"))(2, "", f"lando: {said}\n")


def test_a_log_that_may_have_been_cut_says_so(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", {"greet-1-x": {"main": ["Hello", "Ada", ""]}})

    assert lando("definitions", "logs", "greet-1", "--limit", 3).err == ""
    assert lando("definitions", "logs", "greet-1", "--limit", 2).err.startswith("There may be earlier lines")


def test_a_job_without_a_log_says_so(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", {"greet-1-x": {"main": [""]}})

    outcome = lando("definitions", "logs", "greet-1")

    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("greet-1 has no log yet")


@pytest.mark.parametrize("command", ["show", "logs", "delete"])
def test_a_name_that_is_not_there_is_told_with_the_one_that_was_meant(api: Any, lando: Any, command: str) -> None:
    for method in ("GET", "DELETE"):
        for rest in ("", "/logs"):
            api.on(f"{method} /k8s-jobs/jobs/gret{rest}", (404, {"error": "NotFound", "message": "no"}))
    api.on(JOBS, {"jobs": {"greet-1": {}}})

    outcome = lando("definitions", command, "gret")

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "lando: There is no Job 'gret'; did you mean 'greet-1'?\n"


def test_what_is_there_is_deleted_whatever_else_is_named(api: Any, lando: Any) -> None:
    api.on("DELETE /k8s-jobs/jobs/greet-1", {"job_name": "greet-1"})
    api.on("DELETE /k8s-jobs/jobs/a", (404, {"error": "NotFound", "message": "no"}))
    api.on(JOBS, {"jobs": {}})

    outcome = lando("definitions", "delete", "a", "greet-1")

    assert (outcome.code, outcome.out) == (2, "greet-1 is being deleted\n")
    assert outcome.err == "lando: There is no Job 'a'; 'lando definitions jobs' lists them.\n"
    assert lando("definitions", "delete", "greet-1").code == 0


def test_options_before_the_command_are_not_lost_without_a_word(lando: Any) -> None:
    outcome = lando("definitions", "--json", "jobs")

    assert outcome.code == 2
    assert "--json has to come after 'jobs'" in outcome.err
