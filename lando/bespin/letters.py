"""Bespin's state and step letters as a projection of a cwl run, in both directions (lando-jobs contract, 3)."""

from __future__ import annotations

from collections.abc import Mapping

from lando.runs import RunState, StepState

CREATE_VOLUME = "create_volume"
"""Our name for what the letter ``V`` stands for: the input volume is being made."""
STAGE_DATA = "stage_data"
RUN_WORKFLOW = "run_workflow"
ORGANIZE_OUTPUT = "organize_output"
SAVE_OUTPUT = "save_output"
RECORD_OUTPUT_PROJECT = "record_output_project"

STEPS = {
    CREATE_VOLUME: "V",
    STAGE_DATA: "S",
    RUN_WORKFLOW: "R",
    ORGANIZE_OUTPUT: "o",
    SAVE_OUTPUT: "O",
    RECORD_OUTPUT_PROJECT: "P",
}
"""The steps of a cwl run, in order, with their letters."""

STATES = {
    RunState.NEW: "N",
    RunState.AUTHORIZED: "A",
    RunState.STARTING: "S",
    RunState.RUNNING: "R",
    RunState.FINISHED: "F",
    RunState.ERROR: "E",
    RunState.CANCELING: "c",
    RunState.CANCELED: "C",
    RunState.RESTARTING: "r",
    RunState.DELETED: "D",
}
_STATES_BY_LETTER = {letter: state for state, letter in STATES.items()}
_AT_THE_STEP = {RunState.RUNNING: StepState.RUNNING, RunState.ERROR: StepState.FAILED}
_FALLBACK_STEP = "V"


def state_of(letter: str) -> RunState:
    """The state that ``letter`` stands for; KeyError for any other letter."""
    return _STATES_BY_LETTER[letter]


def steps_of(state: RunState, letter: str) -> dict[str, StepState]:
    """How each step stands when a job shows ``letter`` in ``state``.

    Steps before the letter's are complete, later ones pending. A finished job has an empty step; ``T`` is a step of
    the original's other variant and means, as an empty step does, that nothing was begun.
    """
    if state is RunState.FINISHED:
        return dict.fromkeys(STEPS, StepState.COMPLETE)
    letters = list(STEPS.values())
    reached = letters.index(letter) if letter in letters else -1
    steps = {}
    for number, name in enumerate(STEPS):
        if number < reached:
            steps[name] = StepState.COMPLETE
        elif number == reached:
            steps[name] = _AT_THE_STEP.get(state, StepState.PENDING)
        else:
            steps[name] = StepState.PENDING
    return steps


def letter_of(steps: Mapping[str, StepState]) -> str:
    """The letter for ``steps``: that of the first step that is not complete, once something has begun."""
    for name, letter in STEPS.items():
        if steps[name] in (StepState.RUNNING, StepState.FAILED):
            return letter
    complete = [name for name in STEPS if steps[name] is StepState.COMPLETE]
    if not complete or len(complete) == len(STEPS):
        return ""
    return next(letter for name, letter in STEPS.items() if steps[name] is StepState.PENDING)


def error_letter(step: str | None) -> str:
    """The letter under which an error is recorded: never empty, which the original's API refuses."""
    return STEPS.get(step or "", _FALLBACK_STEP)
