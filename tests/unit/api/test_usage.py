"""Hours used and the fate of each step, from activity rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from lando.api import usage

START = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
STEPS = ["stage_data", "run_workflow", "organize_output", "save_output"]


@dataclass
class Row:
    state: str
    step: str
    created: datetime


def rows(*letters: str) -> list[Row]:
    """One row an hour, each given as ``R/S``."""
    pairs = [pair.split("/") for pair in letters]
    return [Row(state, step, START + timedelta(hours=number)) for number, (state, step) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("letters", "hours"),
    [
        ([], 0),
        (["A/", "S/"], 0),
        (["R/S"], 1),
        (["R/", "R/V", "R/S", "R/R", "R/o", "R/O", "R/P", "F/"], 3),
        (["R/R", "E/R", "r/R", "R/R", "F/"], 2),
    ],
)
def test_hours_of_staging_running_and_storing_add_up(letters: list[str], hours: float) -> None:
    activities = rows(*letters)
    assert usage.hours(activities, START + timedelta(hours=len(activities))) == hours


def states(*letters: str) -> list[str]:
    return [step.state for step in usage.step_times(rows(*letters), STEPS)]


def test_before_the_start_every_step_is_pending() -> None:
    assert states("A/", "S/", "R/", "R/V") == ["Pending"] * 4


def test_a_step_that_is_left_is_complete() -> None:
    steps = usage.step_times(rows("R/", "R/S", "R/R"), STEPS)
    assert [step.state for step in steps] == ["Complete", "Running", "Pending", "Pending"]
    assert (steps[0].started, steps[0].ended) == (START + timedelta(hours=1), START + timedelta(hours=2))
    assert (steps[1].started, steps[1].ended) == (START + timedelta(hours=2), None)


def test_a_finished_run_has_only_complete_steps() -> None:
    assert states("R/S", "R/R", "R/o", "R/O", "F/") == ["Complete"] * 4


def test_a_failed_step_has_failed_and_the_later_ones_are_pending() -> None:
    assert states("R/S", "R/R", "E/R") == ["Complete", "Failed", "Pending", "Pending"]


def test_a_canceled_step_is_canceled() -> None:
    assert states("R/S", "c/S", "C/") == ["Canceled", "Pending", "Pending", "Pending"]


def test_a_restart_counts_another_attempt_and_forgets_what_came_after() -> None:
    steps = usage.step_times(rows("R/S", "R/R", "E/R", "r/R", "R/R"), STEPS)
    assert [(step.state, step.attempts) for step in steps] == [
        ("Complete", 1), ("Running", 2), ("Pending", 0), ("Pending", 0),
    ]  # fmt: skip
    assert steps[1].ended is None


def test_a_full_restart_begins_anew() -> None:
    assert states("R/S", "R/R", "C/", "r/", "R/") == ["Pending"] * 4
    again = usage.step_times(rows("R/S", "R/R", "C/", "r/", "R/", "R/V", "R/S"), STEPS)
    assert [(step.state, step.attempts) for step in again][:2] == [("Running", 2), ("Pending", 1)]


def test_a_step_that_the_site_does_not_define_is_passed_over() -> None:
    assert states("R/O", "R/P", "F/")[3] == "Complete"
