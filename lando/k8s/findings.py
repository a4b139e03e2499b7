"""What is wrong between the runs of the API and the objects of the cluster, and what will be done about it. Pure.

It goes by what lists tell. Whatever :func:`lando.decide.decide` would have to do about a run at rest is found here, and
nothing else, so that a run that needs nothing costs no request of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from lando.config import RetentionSettings
from lando.k8s.holdings import HeldJob, Holding
from lando.plans import phases
from lando.runs import RunState, RunSummary, StepState


class Trouble(Enum):
    """The kinds of findings; the values are labels of a metric."""

    NOT_BEGUN = "not_begun"
    """A command that nobody has carried out yet."""
    STALLED = "stalled"
    """The run is running, and none of its Jobs is at work for it."""
    UNTOLD = "untold"
    """It failed, and its owner has not been told why."""
    LEFTOVER = "leftover"
    """Objects that nobody needs any more."""
    UNEXPECTED = "unexpected"
    """Objects of a run that was never started."""
    UNKNOWN = "unknown"
    """Objects of a run that the API does not know."""


LEFT_ALONE = frozenset({Trouble.UNEXPECTED, Trouble.UNKNOWN})
"""What is only reported."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with one run."""

    run_id: int
    trouble: Trouble
    wrong: str
    """What is wrong, a sentence."""
    remedy: str
    """What will be done about it, a sentence."""
    kind: str = "cwl"
    state: RunState | None = None
    """As the API has it; None for a run that it does not know."""
    generation: int | None = None

    @property
    def needs_a_look(self) -> bool:
        """Whether a look at the run mends it."""
        return self.trouble not in LEFT_ALONE

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "run": self.run_id,
            "state": self.state.value if self.state else None,
            "trouble": self.trouble.value,
            "wrong": self.wrong,
            "remedy": self.remedy,
            "mended_by_a_look": self.needs_a_look,
        }


_COMMANDS = {
    RunState.STARTING: ("start", "Begin it."),
    RunState.RESTARTING: ("restart", "Begin it again."),
    RunState.CANCELING: ("cancel", "Stop it and remove its objects."),
}
_ENDED = (RunState.FINISHED, RunState.CANCELED, RunState.DELETED)
_REMOVE = "Remove them."


def findings(
    held: Mapping[int, Holding],
    runs: Mapping[int, RunSummary],
    *,
    now: datetime,
    retention: RetentionSettings,
    connection: int | None = None,
) -> list[Finding]:
    """At most one finding for each run, by its id.

    ``connection`` is this lando's number in the API. Where it is not known, runs without objects here are ours if they
    have the number of runs with objects, or if all have the same; others are left to whoever has them.
    """
    ours = {connection} if connection is not None else _connections(held, runs)
    found = []
    for run_id in sorted(held.keys() | runs.keys()):
        run, holding = runs.get(run_id), held.get(run_id)
        if run is None:
            if there := (holding or Holding()).in_words():
                found.append(_unknown(run_id, there))
        elif holding is not None or run.connection is None or run.connection in ours:
            verdict = _judged(run, holding or Holding(), now, retention)
            if verdict is not None:
                trouble, wrong, remedy = verdict
                found.append(
                    Finding(
                        run_id=run_id,
                        trouble=trouble,
                        wrong=wrong,
                        remedy=remedy,
                        kind=run.kind,
                        state=run.state,
                        generation=run.generation,
                    )
                )
    return found


def is_expired(state: RunState, changed: datetime | None, now: datetime, retention: RetentionSettings) -> bool:
    """Whether a run ended longer ago than its objects are kept."""
    kept_s = {RunState.FINISHED: retention.finished_s, RunState.ERROR: retention.failed_s}.get(state)
    return kept_s is not None and changed is not None and now - changed > timedelta(seconds=kept_s)


def _connections(held: Mapping[int, Holding], runs: Mapping[int, RunSummary]) -> set[int | None]:
    here = {run.connection for run_id, run in runs.items() if run_id in held} - {None}
    everywhere = {run.connection for run in runs.values()} - {None}
    return here or (everywhere if len(everywhere) == 1 else set())


_Verdict = tuple[Trouble, str, str]


def _judged(run: RunSummary, holding: Holding, now: datetime, retention: RetentionSettings) -> _Verdict | None:
    state = run.state
    if state in _COMMANDS:
        if run.held and state is not RunState.CANCELING:
            return None  # it waits for its turn
        asked, remedy = _COMMANDS[state]
        return Trouble.NOT_BEGUN, f"The {asked} that was asked for has not been carried out.", remedy
    if state is RunState.RUNNING:
        return next(_stalls(run, holding), None)
    there = holding.in_words()
    if state is RunState.ERROR and holding.record and holding.record.failure:
        return Trouble.UNTOLD, "It failed, and its owner may not have been told why.", "Tell its owner."
    if not there:
        return None
    if state is RunState.ERROR:
        if is_expired(state, run.changed, now, retention):
            return Trouble.LEFTOVER, f"It failed long ago and left {there}.", _REMOVE
        return None
    if state in _ENDED:
        if state is RunState.FINISHED and retention.finished_s and not is_expired(state, run.changed, now, retention):
            return None
        return Trouble.LEFTOVER, f"It is {state.value} and left {there}.", _REMOVE
    return Trouble.UNEXPECTED, f"It is {state.value}, and yet there is {there}.", "Nothing: it may be started yet."


def _stalls(run: RunSummary, holding: Holding) -> Iterator[_Verdict]:
    """Why a running run does not get on, the first reason first; then what nobody needs any more."""
    running = [name for name, state in run.steps.items() if state is StepState.RUNNING]
    if not running:
        yield (
            Trouble.STALLED,
            "It is running, but none of its steps is.",
            "Begin the next step, or end the run.",
        )
    for step in running:
        stall = _stall(step, holding)
        if stall is not None:
            yield Trouble.STALLED, *stall
    # Of phased runs they are kept until the run has ended.
    complete = {name for name, state in run.steps.items() if state is StepState.COMPLETE and run.kind != phases.KIND}
    left = [ref for ref, step in holding.steps.items() if step in complete]
    if left:
        steps = ", ".join(sorted({holding.steps[ref] for ref in left}))
        yield Trouble.LEFTOVER, f"Objects of its complete steps are left: {steps}.", _REMOVE
    if orphans := ", ".join(sorted(ref.name for ref in holding.objects if ref.kind == "Pod")):
        yield Trouble.LEFTOVER, f"Pods are left whose Job somebody deleted without them: {orphans}.", _REMOVE


def _stall(step: str, holding: Holding) -> tuple[str, str] | None:
    noted = holding.record.steps.get(step) if holding.record else None
    if noted is None or noted.uid is None:
        return f"Step {step} has not begun, by its record.", "Take over what is there, and make what is missing."
    job: HeldJob | None = next((job for job in holding.jobs if job.uid == noted.uid), None)
    again = "Do the step again, or end the run with the cause."
    if job is None:
        return f"The Job of step {step} is gone.", again
    if job.has_ended:
        return f"The Job {job.name} has ended, and the run has not gone on.", "Go on, or end the run with the cause."
    if job.is_going:
        return f"The Job {job.name} is being deleted by somebody else.", again
    return None


def _unknown(run_id: int, there: str) -> Finding:
    return Finding(
        run_id=run_id,
        trouble=Trouble.UNKNOWN,
        wrong=f"The API knows no such run, and yet there is {there}.",
        remedy=f"Nothing: it may be another API's. If it is nobody's, `lando prune --unknown {run_id}` removes it.",
    )
