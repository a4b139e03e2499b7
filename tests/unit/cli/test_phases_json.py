"""What a run tells programs: one JSON object per line, with these keys and no others."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from lando.cli.phases_json import JsonLines
from lando.direct import events
from lando.direct.events import Event, Outcome
from lando.phases.model import Finding
from lando.runs import Category, Cause

CAUSE = Cause(category=Category.IMAGE, sentence="No such image.", advice="Look.", exit_code=None, log_tail="ü\n")
CAUSE_DOCUMENT = {
    "category": "image",
    "sentence": "No such image.",
    "advice": "Look.",
    "exit_code": None,
    "log_tail": "ü\n",
}
JOB = {"job": "job-a", "entry": "a", "phase": 0}
CASES: list[tuple[Event, dict[str, Any]]] = [
    (
        events.Problem(finding=Finding(reason="It is taken.", file="m.yaml", line=3, phase="load", entry="a")),
        {
            "event": "problem",
            "finding": {
                "reason": "It is taken.",
                "is_error": True,
                "file": "m.yaml",
                "line": 3,
                "phase": "load",
                "entry": "a",
            },
        },
    ),
    (
        events.Began(namespace="default", jobs=3, complete=1),
        {"event": "began", "namespace": "default", "jobs": 3, "complete": 1},
    ),
    (events.PhaseBegan(index=0, name="load"), {"event": "phase_began", "index": 0, "name": "load"}),
    (
        events.JobFound(job="job-a", entry="a", phase=0, complete=True),
        {"event": "job_found", **JOB, "complete": True, "changed": False},
    ),
    (
        events.JobCreated(job="job-a", entry="a", phase=0, attempt=1, after=("b",)),
        {"event": "job_created", **JOB, "attempt": 1, "after": ["b"]},
    ),
    (events.JobWaits(job="job-a", cause=CAUSE), {"event": "job_waits", "job": "job-a", "cause": CAUSE_DOCUMENT}),
    (events.JobWaits(job="job-a", cause=None), {"event": "job_waits", "job": "job-a", "cause": None}),
    (
        events.JobCompleted(job="job-a", duration_s=1.5),
        {"event": "job_completed", "job": "job-a", "duration_s": 1.5},
    ),
    (
        events.JobFailed(job="job-a", cause=CAUSE, again=False),
        {"event": "job_failed", "job": "job-a", "cause": CAUSE_DOCUMENT, "again": False},
    ),
    (events.JobLog(job="job-a", log_tail="a\n"), {"event": "job_log", "job": "job-a", "log_tail": "a\n"}),
    (events.JobRemoved(job="job-a", why="cleanup"), {"event": "job_removed", "job": "job-a", "why": "cleanup"}),
    (
        events.ResourceApplied(kind="Secret", name="key"),
        {"event": "resource_applied", "kind": "Secret", "name": "key"},
    ),
    (events.LimitReached(limit=2), {"event": "limit_reached", "limit": 2}),
    (events.Trouble(sentence="It is away."), {"event": "trouble", "sentence": "It is away."}),
    (
        events.CleanupBegan(jobs=(events.JobReport(job="job-a", duration_s=2.0),)),
        {"event": "cleanup_began", "jobs": [{"job": "job-a", "duration_s": 2.0}]},
    ),
    (
        events.Ended(
            outcome=Outcome.FAILED, sentence="It failed.", jobs=(events.JobReport(job="job-a", duration_s=None),)
        ),
        {
            "event": "ended",
            "outcome": "failed",
            "sentence": "It failed.",
            "jobs": [{"job": "job-a", "duration_s": None}],
            "exit_code": 2,
        },
    ),
]


@pytest.mark.parametrize(("event", "expected"), CASES, ids=[case[1]["event"] for case in CASES])
def test_each_event_is_one_object_on_one_line(event: Event, expected: dict[str, Any]) -> None:
    out = io.StringIO()
    JsonLines(out, lambda: datetime(2026, 3, 4, 15, 6, 7, 123456, UTC)).tell(event)
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == {"time": "2026-03-04T15:06:07.123Z", **expected}


def test_every_event_is_tried() -> None:
    assert {type(event) for event, _ in CASES} == set(get_args(Event))


def test_a_run_goes_on_when_nobody_reads_any_more() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    lines = JsonLines(Closed())
    lines.tell(events.LimitReached(limit=1))
    assert not lines.is_read
    lines.tell(events.LimitReached(limit=1))
