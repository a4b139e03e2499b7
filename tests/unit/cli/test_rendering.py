"""Times and tables as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.cli import rendering
from lando.client.views import RunView, run_view


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_times_are_told_in_words(seconds: float, words: str) -> None:
    assert rendering.duration(timedelta(seconds=seconds)) == words


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(rendering.table(("A", "BB"), [("long", "x"), ("", "yy")])) == ["A     BB", "long  x", "      yy"]


def run_with(*attempts: dict[str, Any]) -> RunView:
    steps = [
        {"name": "stage_data", "state": "Complete", "attempt": 1},
        {"name": "run_workflow", "state": "Running", "started": "2026-03-04T15:06:00Z", "attempt": 2},
    ]
    return run_view({"id": 1, "state": "Running", "name": "batch", "steps": steps, "attempts": attempts})


def test_the_attempts_of_a_step_that_had_several_are_shown_below_it() -> None:
    began = {"step": "run_workflow", "began": "2026-03-04T15:06:00Z"}
    why = {"category": "infrastructure", "sentence": "The pod was evicted."}
    run = run_with(
        {"step": "stage_data", "attempt": 1, "state": "Complete", "began": "2026-03-04T15:05:00Z"},
        {**began, "attempt": 1, "state": "Failed", "ended": "2026-03-04T15:06:12Z", **why},
        {**began, "attempt": 2, "state": "Running"},
    )
    now = datetime(2026, 3, 4, 15, 6, 20, tzinfo=UTC)
    assert [line.text for line in rendering.tree(run, now)][1:] == [
        "├─ ✔ stage data    Complete",
        "└─ ▶ run workflow  Running   20 s, attempt 2",
        "       attempt 1: Failed after 12 s, infrastructure: The pod was evicted.",
        "       attempt 2: Running for 20 s",
    ]


def test_the_history_names_each_attempts_job_and_why_there_was_another() -> None:
    row = {"created": "2026-03-04T15:06:00Z", "state": "Running", "step": "Running Workflow"}
    named = {"attempt": 2, "job": "run-workflow-1-ada", "uid": "u2", "category": "infrastructure", "sentence": "Lost."}
    run = run_view({"id": 1, "state": "Running", "activities": [row, {**row, **named}]})
    assert list(rendering.history_table(run)) == [
        "TIME                  STATE    STEP              ATTEMPT  JOB (UID)                WHY",
        "2026-03-04T15:06:00Z  Running  Running Workflow",
        "2026-03-04T15:06:00Z  Running  Running Workflow  2        run-workflow-1-ada (u2)  infrastructure: Lost.",
    ]


def test_how_full_the_output_volume_is_stands_below_the_steps() -> None:
    document = {"id": 1, "state": "Running", "name": "batch", "volume": {"used": 90 * 2**30, "size": 100 * 2**30}}
    shown = [line.text for line in rendering.tree(run_view(document), rendering.utc_now())]
    assert shown[-1] == "output volume: 90% full, 90Gi of 100Gi"
    assert rendering.volume(run_view({"id": 1, "state": "Running", "name": "batch"})) == ""
