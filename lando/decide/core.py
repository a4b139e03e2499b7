"""From a run's recorded state and what the cluster holds to the actions of one transition.

The order within a transition makes every crash harmless: write the new state and step, make the next objects, then
remove the old ones. So at any moment either the old evidence or the new object is there, and :func:`decide` finds
the rest of an interrupted transition by itself. A failure keeps its objects for inspection and restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lando.decide.deletion import delete, futile, revert
from lando.decide.model import (
    Action,
    AwaitGone,
    DeleteRecord,
    EnsureRecord,
    Failure,
    JobPhase,
    NoteFailure,
    Nothing,
    ObjectRef,
    Observed,
    ObservedJob,
    Plan,
    PlannedStep,
    RecordAttempts,
    ReportError,
    RunRecord,
    StepRecord,
    Write,
    fail,
)
from lando.decide.readiness import is_ready, is_spared, next_steps
from lando.decide.transition import Transition
from lando.messages import Command, Message
from lando.runs import Intent, Run, RunState, StepState

_ENDED = frozenset({RunState.FINISHED, RunState.CANCELED, RunState.DELETED})

_ACTS_IN: Mapping[Command, tuple[Intent, frozenset[RunState]]] = {
    Command.START: (Intent.START, frozenset({RunState.STARTING, RunState.AUTHORIZED})),
    Command.RESTART: (Intent.RESTART, frozenset({RunState.RESTARTING, RunState.ERROR, RunState.CANCELED})),
    Command.CANCEL: (
        Intent.CANCEL,
        frozenset(
            {
                RunState.CANCELING,
                RunState.STARTING,
                RunState.RUNNING,
                RunState.RESTARTING,
                RunState.ERROR,
                RunState.AUTHORIZED,
                RunState.NEW,
                RunState.CANCELED,
            }
        ),
    ),
}
_WAITED_FOR_IN: Mapping[Command, frozenset[RunState]] = {
    Command.RESTART: frozenset({RunState.RESTARTING}),
    Command.CANCEL: frozenset({RunState.CANCELING, RunState.CANCELED}),
}
"""Narrower, for a command of the run's present generation, which an API of ours gave together with the state, and for
one that was tried before: meanwhile it may have been carried out, by a repetition or by the resync, and the run or its
owner gone on from there. The API's own state says whether it is still wanted."""


def intent_of(message: Message, run: Run) -> Intent:
    """What ``message`` makes of the run: its command where the run's state allows it, else just a look.

    A command without a generation may outrank the recorded state, because the original's peers also publish directly
    (a restart of a canceled run, a start of an authorized one). One that was given before the run's present generation
    is history, and so is any other that the run no longer waits for. One that is held is begun by no message.
    """
    if message.command not in _ACTS_IN:
        return Intent.NONE
    intent, states = _ACTS_IN[message.command]
    if run.held and intent is not Intent.CANCEL:
        return Intent.NONE
    if message.generation is not None and run.generation is not None:
        if message.generation < run.generation:
            return Intent.NONE
        states = _WAITED_FOR_IN.get(message.command, states)
    elif message.was_tried:
        states = _WAITED_FOR_IN.get(message.command, states)
    return intent if run.state in states else Intent.NONE


def decide(plan: Plan, run: Run, observed: Observed, intent: Intent) -> list[Action]:
    """What to do about ``run``, in order; never empty."""
    match intent:
        case Intent.START:
            return _start(plan, run, observed)
        case Intent.RESTART:
            return _restart(plan, run, observed)
        case Intent.CANCEL:
            return _cancel(run, observed)
        case Intent.NONE:
            return _look(plan, run, observed)


def _look(plan: Plan, run: Run, observed: Observed) -> list[Action]:
    if run.state is RunState.RUNNING:
        return Transition(plan, run, observed).actions()
    if run.state in _ENDED:
        if run.state is RunState.FINISHED and plan.keep_finished and not observed.expired:
            return [Nothing(reason="the run is finished and its objects are still kept")]
        return _remove_all(observed) or [Nothing(reason=f"the run has ended ({run.state.value}) and left nothing")]
    if run.state is RunState.ERROR:
        if observed.record and observed.record.failure:
            failure = observed.record.failure
            return delete(futile(plan, observed)) + _report_again(failure, revert(plan, observed))
        if observed.expired:
            return _remove_all(observed) or [Nothing(reason="the run failed long ago and left nothing")]
        return [Nothing(reason="the run failed; what it left is kept for a restart")]
    return [Nothing(reason=f"the run is {run.state.value} and no command asks for more")]


def _start(plan: Plan, run: Run, observed: Observed) -> list[Action]:
    return _begin(plan, run, observed, dict.fromkeys(run.steps, StepState.PENDING), is_whole=True)


def _restart(plan: Plan, run: Run, observed: Observed) -> list[Action]:
    steps = {
        step.name: run.steps[step.name] if run.steps[step.name] is StepState.COMPLETE else StepState.PENDING
        for step in plan.steps
    }
    for step in plan.steps:
        if step.problem and step.spared_by and is_ready(step, steps) and not is_spared(step, observed):
            # The step can't be run, but what it is for can be had by running the step before it once more.
            steps[step.spared_by] = StepState.PENDING
    gone = {ref for step in plan.steps if is_ready(step, steps) for ref in step.reads} - observed.objects
    makers = [step for step in plan.steps if gone.intersection(step.makes)]
    if gone and (not makers or any(step.job for step in makers)):
        steps = dict.fromkeys(steps, StepState.PENDING)
    else:
        steps |= {step.name: StepState.PENDING for step in makers}
    # A run that was canceled has nothing complete, and nothing of its former life counts any more.
    was_begun = any(state is not StepState.PENDING for state in run.steps.values())
    is_whole = all(state is StepState.PENDING for state in steps.values()) and (plan.fills_volumes or not was_begun)
    return _begin(plan, run, observed, steps, is_whole=is_whole)


def _begin(plan: Plan, run: Run, observed: Observed, steps: dict[str, StepState], *, is_whole: bool) -> list[Action]:
    """Put the run to work with what ``steps`` says is complete; all that is pending becomes a new attempt.

    With ``is_whole`` it begins from nothing; else Jobs that are still at work, or have succeeded, go on.
    """
    actions: list[Action] = []
    if observed.record and observed.record.failure:
        actions += _report_again(observed.record.failure)
    if plan.problem:
        return actions + fail(Failure(step=None, cause=plan.problem))
    bumped = _next_attempts(plan, steps, observed, is_whole=is_whole)
    if is_whole:
        if leftovers := _refs(observed):
            actions += [*delete(observed.objects), AwaitGone(refs=leftovers)]
        observed = replace(observed, jobs={}, objects=frozenset(), dying=frozenset())
    else:
        if not plan.fills_volumes:
            pending = [step for step in plan.steps if steps[step.name] is StepState.PENDING]
            steps |= {step.name: StepState.RUNNING for step in pending if _goes_on(plan, step, observed)}
        steps |= {step.name: StepState.RUNNING for step in next_steps(plan, steps)}
    actions.append(EnsureRecord())
    if bumped:
        actions.append(RecordAttempts(steps=bumped))
    actions.append(Write(state=RunState.RUNNING, steps=steps if steps != run.steps or not is_whole else None))
    record = observed.record or RunRecord(uid="")
    observed = replace(observed, record=replace(record, steps={**record.steps, **bumped}, failure=None))
    running = replace(run, state=RunState.RUNNING, steps=steps)
    return actions + Transition(plan, running, observed).actions()


def _cancel(run: Run, observed: Observed) -> list[Action]:
    if run.state in _ENDED:
        return _remove_all(observed) or [Nothing(reason=f"the run has ended ({run.state.value}) and left nothing")]
    canceled = Write(state=RunState.CANCELED, steps=dict.fromkeys(run.steps, StepState.PENDING))
    if run.state is RunState.CANCELING:
        # Nothing new is made in this state, so that "Canceled" can be said when it is true.
        leftovers = _refs(observed)
        gone: list[Action] = [AwaitGone(refs=leftovers, required=False)] if leftovers else []
        return [*delete(observed.objects), *gone, *_delete_record(observed), canceled]
    return [canceled, *_remove_all(observed)]


def _report_again(failure: Failure, then: Sequence[Action] = ()) -> list[Action]:
    return [ReportError(failure=failure, again=True), *then, NoteFailure(failure=None)]


def _refs(observed: Observed) -> tuple[ObjectRef, ...]:
    return tuple(sorted(observed.objects | observed.dying))


def _delete_record(observed: Observed) -> list[Action]:
    return [DeleteRecord()] if observed.record else []


def _remove_all(observed: Observed) -> list[Action]:
    return delete(observed.objects) + _delete_record(observed)


def _next_attempts(
    plan: Plan, steps: Mapping[str, StepState], observed: Observed, *, is_whole: bool
) -> dict[str, StepRecord]:
    """The attempts that a restart makes; one that was noted but not made yet keeps its number.

    An attempt that is still at work, or has succeeded, goes on: it was not the step that failed.
    """
    attempts = {}
    for step in plan.steps:
        if steps[step.name] is StepState.COMPLETE:
            continue
        record = observed.record.steps.get(step.name) if observed.record else None
        job = observed.jobs.get(step.name)
        if not is_whole and record is not None and _goes_on(plan, step, observed):
            if record.failed:
                attempts[step.name] = replace(record, failed=0, cause=None)
            continue
        made = max(job.attempt if job else 0, observed.archived.get(step.name, 0))
        highest = max(record.attempt if record else 0, made)
        if made == highest > 0 or (record is not None and record.uid is not None):
            attempts[step.name] = StepRecord(attempt=highest + 1)
        elif record is not None and (record.retries or record.own_retries or record.failed):
            attempts[step.name] = StepRecord(attempt=record.attempt)
    return attempts


def _goes_on(plan: Plan, step: PlannedStep, observed: Observed) -> bool:
    """Whether the step has a Job that is on record and may still bring the run on."""
    record = observed.record.steps.get(step.name) if observed.record else None
    job = observed.jobs.get(step.name)
    return job is not None and record is not None and record.uid == job.uid and _has_not_failed(plan, step, job)


def _has_not_failed(plan: Plan, step: PlannedStep, job: ObservedJob) -> bool:
    """Whether the step's Job may still bring the run on; not one that succeeded without the report it was made for."""
    if job.phase is JobPhase.COMPLETE:
        return step.name not in plan.output_from or bool(job.ids)
    return job.phase is not JobPhase.FAILED and not job.deleting
