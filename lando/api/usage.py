"""What a job has used, and how far each of its steps has got, both from its activity rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lando.bespin import letters
from lando.config import STEP_TYPES

STEP_LETTERS = {name: letters.STEPS[name] for name in STEP_TYPES}
"""Step types in the order in which they run, and their letters."""
STATE_WORDS = {letter: state.value for state, letter in letters.STATES.items()}
STEP_WORDS = {
    "": "",
    "V": "Create VM",
    "S": "Staging In",
    "R": "Running Workflow",
    "o": "Organize Output Project",
    "O": "Store Job Output",
    "P": "Record Output Project",
    "T": "Terminate VM",
}

_COUNTED_STEPS = ("S", "R", "O")


class Activity(Protocol):
    """One change of a job's state or step."""

    @property
    def state(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def created(self) -> datetime: ...


@dataclass(kw_only=True)
class StepTimes:
    """How one step of a run went; times are those of the last attempt."""

    name: str
    state: str = "Pending"
    """``Pending``, ``Running``, ``Complete``, ``Failed`` or ``Canceled``."""
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0


def hours(activities: Sequence[Activity], now: datetime) -> float:
    """Hours spent staging, running and storing; the last row lasts until ``now``."""
    ends = [*(activity.created for activity in activities), now][1:]
    return sum(
        (end - activity.created).total_seconds() / 3600
        for activity, end in zip(activities, ends, strict=True)
        if activity.state == "R" and activity.step in _COUNTED_STEPS
    )


def step_times(activities: Iterable[Activity], names: Iterable[str]) -> list[StepTimes]:
    """How each of the steps ``names`` went: a step starts when the job enters it in state ``R``.

    A step that is left for a later one is complete, one that the job fails in has failed. Steps after the one that
    is entered are pending again, so that a restart shows what is still to come.
    """
    steps = [StepTimes(name=name) for name in names]
    by_letter = {STEP_LETTERS[step.name]: index for index, step in enumerate(steps)}
    current: StepTimes | None = None
    last = ("", "")
    for activity in activities:
        state, letter, moment = activity.state, activity.step, activity.created
        if state == "R":
            index = by_letter.get(letter)
            if index is not None and last != ("R", letter):
                _end(current if current is not steps[index] else None, "Complete", moment)
                current = _enter(steps, index, moment)
            elif letter in ("", "V") and last[0] != "R":
                _reset(steps, 0)
                current = None
        elif state == "F":
            _end(current, "Complete", moment)
            current = None
        elif state in ("E", "C"):
            _end(current, "Failed" if state == "E" else "Canceled", moment)
            current = None
        last = (state, letter)
    return steps


def _enter(steps: list[StepTimes], index: int, moment: datetime) -> StepTimes:
    _reset(steps, index + 1)
    step = steps[index]
    step.state, step.started, step.ended = "Running", moment, None
    step.attempts += 1
    return step


def _reset(steps: list[StepTimes], first: int) -> None:
    for step in steps[first:]:
        step.state, step.started, step.ended = "Pending", None, None


def _end(step: StepTimes | None, state: str, moment: datetime) -> None:
    if step is not None and step.state == "Running":
        step.state, step.ended = state, moment
