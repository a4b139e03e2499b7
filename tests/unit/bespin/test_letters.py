from __future__ import annotations

import pytest
from lando.bespin import letters
from lando.runs import RunState, StepState


@pytest.mark.parametrize("letter", letters.STEPS.values())
@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.ERROR, RunState.RESTARTING])
def test_a_step_letter_survives_the_way_there_and_back(state: RunState, letter: str) -> None:
    steps = letters.steps_of(state, letter)
    # A pending first step is how a run stands before anything has begun: a restart there is a whole one.
    expected = "" if (state, letter) == (RunState.RESTARTING, "V") else letter
    assert letters.letter_of(steps) == expected


def test_the_step_of_a_failed_run_is_failed_and_of_a_restarting_one_pending() -> None:
    assert letters.steps_of(RunState.ERROR, "R")["run_workflow"] is StepState.FAILED
    assert letters.steps_of(RunState.RESTARTING, "R")["run_workflow"] is StepState.PENDING


@pytest.mark.parametrize("letter", ["", "T"])
def test_nothing_was_begun_under_an_empty_step_or_that_of_the_other_variant(letter: str) -> None:
    assert set(letters.steps_of(RunState.RUNNING, letter).values()) == {StepState.PENDING}


def test_a_finished_run_has_every_step_complete_and_an_empty_letter() -> None:
    steps = letters.steps_of(RunState.FINISHED, "")
    assert set(steps.values()) == {StepState.COMPLETE}
    assert letters.letter_of(steps) == ""


def test_an_error_without_a_step_is_recorded_under_v() -> None:
    assert letters.error_letter(None) == "V"
    assert letters.error_letter("organize_output") == "o"


def test_every_state_has_its_letter() -> None:
    assert {letters.state_of(letter): letter for letter in letters.STATES.values()} == letters.STATES
