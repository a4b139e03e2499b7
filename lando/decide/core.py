"""From a run's recorded state and what the cluster holds to the actions of one transition.

The order within a transition makes every crash harmless: write the new state and step, make the next objects, then
remove the old ones. So at any moment either the old evidence or the new object is there, and :func:`decide` finds
the rest of an interrupted transition by itself. A failure keeps its objects for inspection and restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lando.decide.model import (
    Action,
    AwaitGone,
    Create,
    Delete,
    DeleteRecord,
    EndAttempt,
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
    Restore,
    RunRecord,
    SetCondition,
    StepRecord,
    StoreOutput,
    Warn,
    Write,
    fail,
    failed_steps,
)
from lando.messages import Command, Message
from lando.runs import Category, Cause, Intent, Run, RunState, StepState

_ENDED = frozenset({RunState.FINISHED, RunState.CANCELED, RunState.DELETED})

INTERRUPTIONS = 20
"""Orderly stops of nodes that a step may meet before they count as retries: nothing goes round for ever."""

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
        return _Transition(plan, run, observed).actions()
    if run.state in _ENDED:
        if run.state is RunState.FINISHED and plan.keep_finished and not observed.expired:
            return [Nothing(reason="the run is finished and its objects are still kept")]
        return _remove_all(observed) or [Nothing(reason=f"the run has ended ({run.state.value}) and left nothing")]
    if run.state is RunState.ERROR:
        if observed.record and observed.record.failure:
            return _delete(_futile(plan, observed)) + _report_again(observed.record.failure)
        if observed.expired:
            return _remove_all(observed) or [Nothing(reason="the run failed long ago and left nothing")]
        return [Nothing(reason="the run failed; what it left is kept for a restart")]
    return [Nothing(reason=f"the run is {run.state.value} and no command asks for more")]


def _start(plan: Plan, run: Run, observed: Observed) -> list[Action]:
    return _begin(plan, run, observed, dict.fromkeys(run.steps, StepState.PENDING))


def _restart(plan: Plan, run: Run, observed: Observed) -> list[Action]:
    steps = {
        step.name: run.steps[step.name] if run.steps[step.name] is StepState.COMPLETE else StepState.PENDING
        for step in plan.steps
    }
    for step in plan.steps:
        if step.problem and step.spared_by and _is_ready(step, steps) and not _is_spared(step, observed):
            # The step can't be run, but what it is for can be had by running the step before it once more.
            steps[step.spared_by] = StepState.PENDING
    ready = [step for step in plan.steps if _is_ready(step, steps)]
    if any(ref not in observed.objects for step in ready for ref in step.reads):
        steps = dict.fromkeys(steps, StepState.PENDING)
    return _begin(plan, run, observed, steps)


def _begin(plan: Plan, run: Run, observed: Observed, steps: dict[str, StepState]) -> list[Action]:
    """Put the run to work with what ``steps`` says is complete; all that is pending becomes a new attempt."""
    actions: list[Action] = []
    if observed.record and observed.record.failure:
        actions += _report_again(observed.record.failure)
    if plan.problem:
        return actions + fail(Failure(step=None, cause=plan.problem))
    is_whole = all(state is StepState.PENDING for state in steps.values())
    bumped = _next_attempts(plan, steps, observed, is_whole=is_whole)
    if is_whole:
        if leftovers := _refs(observed):
            actions += [*_delete(observed.objects), AwaitGone(refs=leftovers)]
        observed = replace(observed, jobs={}, objects=frozenset(), dying=frozenset())
    else:
        steps |= {step.name: StepState.RUNNING for step in plan.steps if _is_ready(step, steps)}
    actions.append(EnsureRecord())
    if bumped:
        actions.append(RecordAttempts(steps=bumped))
    actions.append(Write(state=RunState.RUNNING, steps=steps if steps != run.steps or not is_whole else None))
    record = observed.record or RunRecord(uid="")
    observed = replace(observed, record=replace(record, steps={**record.steps, **bumped}, failure=None))
    running = replace(run, state=RunState.RUNNING, steps=steps)
    return actions + _Transition(plan, running, observed).actions()


def _cancel(run: Run, observed: Observed) -> list[Action]:
    if run.state in _ENDED:
        return _remove_all(observed) or [Nothing(reason=f"the run has ended ({run.state.value}) and left nothing")]
    canceled = Write(state=RunState.CANCELED, steps=dict.fromkeys(run.steps, StepState.PENDING))
    if run.state is RunState.CANCELING:
        # Nothing new is made in this state, so that "Canceled" can be said when it is true.
        leftovers = _refs(observed)
        gone: list[Action] = [AwaitGone(refs=leftovers, required=False)] if leftovers else []
        return [*_delete(observed.objects), *gone, *_delete_record(observed), canceled]
    return [canceled, *_remove_all(observed)]


def _futile(plan: Plan, observed: Observed) -> frozenset[ObjectRef]:
    """Jobs that failed after patience: what they waited for may come, and their pods begin for nothing."""
    failed = {name for name, job in observed.jobs.items() if job.phase is JobPhase.FAILED and not job.ended}
    return observed.objects & {step.job for step in plan.steps if step.job and step.name in failed}


def _report_again(failure: Failure) -> list[Action]:
    return [ReportError(failure=failure, again=True), NoteFailure(failure=None)]


def _refs(observed: Observed) -> tuple[ObjectRef, ...]:
    return tuple(sorted(observed.objects | observed.dying))


def _delete(refs: frozenset[ObjectRef]) -> list[Action]:
    return [Delete(refs=tuple(sorted(refs, key=_deletion_order)))] if refs else []


def _deletion_order(ref: ObjectRef) -> tuple[bool, bool, str]:
    """Jobs first, so that no pod misses its volume; volumes last."""
    return ref.kind != "Job", ref.kind == "PersistentVolumeClaim", ref.name


def _delete_record(observed: Observed) -> list[Action]:
    return [DeleteRecord()] if observed.record else []


def _remove_all(observed: Observed) -> list[Action]:
    return _delete(observed.objects) + _delete_record(observed)


def _is_ready(step: PlannedStep, steps: Mapping[str, StepState]) -> bool:
    return steps[step.name] is StepState.PENDING and all(steps[need] is StepState.COMPLETE for need in step.needs)


def _is_spared(step: PlannedStep, observed: Observed) -> bool:
    by = observed.jobs.get(step.spared_by) if step.spared_by else None
    return by is not None and by.phase is JobPhase.COMPLETE and bool(by.ids)


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
        if not is_whole and job and record and record.uid == job.uid and _has_not_failed(plan, step, job):
            continue
        made = max(job.attempt if job else 0, observed.archived.get(step.name, 0))
        highest = max(record.attempt if record else 0, made)
        if made == highest > 0 or (record is not None and record.uid is not None):
            attempts[step.name] = StepRecord(attempt=highest + 1)
        elif record is not None and record.retries:
            attempts[step.name] = StepRecord(attempt=record.attempt)
    return attempts


def _has_not_failed(plan: Plan, step: PlannedStep, job: ObservedJob) -> bool:
    """Whether the step's Job may still bring the run on; not one that succeeded without the report it was made for."""
    if job.phase is JobPhase.COMPLETE:
        return step.name not in plan.output_from or bool(job.ids)
    return job.phase is not JobPhase.FAILED and not job.deleting


class _Transition:
    """One pass over a running run: judge what runs, start what is ready, finish or tidy up."""

    def __init__(self, plan: Plan, run: Run, observed: Observed) -> None:
        self.plan = plan
        self.observed = observed
        self.records = observed.record.steps if observed.record else {}
        self.steps = dict(run.steps)
        self.written = dict(run.steps)
        self.live = set(observed.objects)
        self.orphans = frozenset(ref for ref in observed.objects if ref.kind == "Pod")
        """Pods that nobody else will remove."""
        self.first: list[Action] = []
        self.last: list[Action] = []
        """Effects nobody waits for; after the writes and the new objects, before the deletions."""
        self.failures: dict[str, Cause] = {}
        self.notes: list[str] = []

    def actions(self) -> list[Action]:
        todo = [step for step in self.plan.steps if self.steps[step.name] is StepState.RUNNING]
        while True:
            for step in todo:
                self._judge(step)
            if self.failures:
                return self._fail()
            todo = [step for step in self.plan.steps if _is_ready(step, self.steps)]
            if not todo:
                break
            self.steps |= {step.name: StepState.RUNNING for step in todo}
            self._write()
        if all(state is StepState.COMPLETE for state in self.steps.values()):
            return self._finish()
        if self.steps != self.written:
            self._write()
        actions = self.first + self.last + self._tidy()
        return actions or [Nothing(reason="; ".join(self.notes) or "no step is at work or ready")]

    def _write(self) -> None:
        self.first.append(Write(steps=dict(self.steps)))
        self.written = dict(self.steps)

    def _ensure_record(self) -> None:
        if self.observed.record is None and EnsureRecord() not in self.first:
            self.first.append(EnsureRecord())

    def _judge(self, step: PlannedStep) -> None:
        """Find out how a running step stands and do what it needs; a failure goes to ``failures``."""
        job = self.observed.jobs.get(step.name)
        if step.job is None or (job is None and _is_spared(step, self.observed)):
            missing = [ref for ref in step.makes if ref not in self.live]
            if not missing or self._create(step):
                self.steps[step.name] = StepState.COMPLETE
            return
        record = self.records.get(step.name)
        if job is not None and self._is_current(job, record):
            self._judge_job(step, job, record)
            return
        if record is not None and record.uid is not None:
            self._retry_or_fail(
                step,
                Cause(
                    category=Category.INFRASTRUCTURE,
                    sentence=f"The Job {step.job.name} of step {step.name} is gone: somebody else deleted it.",
                    advice="Restart the run to do the step again.",
                ),
                record,
            )
            return
        if job is not None and not job.deleting:
            self.first.append(Delete(refs=(step.job,)))
            self._await_gone(step.job)
        self._create(step, record)

    def _judge_job(self, step: PlannedStep, job: ObservedJob, record: StepRecord | None) -> None:
        if job.phase is JobPhase.COMPLETE and self._is_for_nothing(step, job):
            cause = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"Step {step.name} ended well, but its pod went before Lando could read where the output is.",
                advice="Restart the run to do the step again.",
            )
            self._retry_or_fail(step, cause, record or StepRecord(attempt=job.attempt, uid=job.uid))
            return
        if job.phase is JobPhase.COMPLETE:
            self.steps[step.name] = StepState.COMPLETE
            if job.warnings:
                self.last.append(Warn(step=step.name, warnings=job.warnings))
            if self.observed.condition is not None:
                self.last.append(SetCondition(step=step.name, cause=None))
            return
        if job.deleting:
            cause = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"The Job of step {step.name} was deleted by somebody other than Lando while it was at work.",
                advice="Restart the run to do the step again.",
            )
            self._retry_or_fail(step, cause, record or StepRecord(attempt=job.attempt, uid=job.uid))
            return
        if job.phase is JobPhase.FAILED:
            cause = job.cause or Cause(
                category=Category.USER,
                sentence=f"The Job of step {step.name} failed and left no reason.",
                advice="Look at the log of the step.",
            )
            self._retry_or_fail(step, cause, record or StepRecord(attempt=job.attempt, uid=job.uid))
            return
        if record is None or record.uid is None:
            adopted = replace(record or StepRecord(attempt=1), attempt=job.attempt, uid=job.uid)
            self._ensure_record()
            self.last.append(RecordAttempts(steps={step.name: adopted}))
        if job.phase is JobPhase.WAITING:
            self._restore(step, job)
        if job.phase is JobPhase.WAITING and job.cause and job.cause.sentence != self.observed.condition:
            self.last.append(SetCondition(step=step.name, cause=job.cause))
        elif job.phase is JobPhase.RUNNING and self.observed.condition is not None:
            self.last.append(SetCondition(step=step.name, cause=None))
        self.notes.append(f"step {step.name} is at work")

    def _await_gone(self, *refs: ObjectRef) -> None:
        """Go on when ``refs`` are gone, and with Jobs their pods, of which orphans would stay."""
        self.first += [*_delete(self.orphans), AwaitGone(refs=refs)]
        self.orphans = frozenset()

    def _restore(self, step: PlannedStep, job: ObservedJob) -> None:
        """Make what the pod may be waiting for in vain; volumes that hold what was done before can't be had again."""
        there = self.live | self.observed.dying
        missing = tuple(ref for ref in (*step.own, *step.makes) if ref not in there)
        if missing and not (self.plan.problem or step.problem):
            self._ensure_record()
            self.first.append(Restore(step=step.name, attempt=job.attempt, refs=missing))

    def _is_for_nothing(self, step: PlannedStep, job: ObservedJob) -> bool:
        """Whether the step's report of where the output is went with its pod, and no other step can make one."""
        if step.name not in self.plan.output_from or job.ids or not job.unheard or self.plan.output_known:
            return False
        return all(other.problem is not None for other in self.plan.steps if other.spared_by == step.name)

    def _is_current(self, job: ObservedJob, record: StepRecord | None) -> bool:
        """Whether ``job`` is the attempt that the record means; one nobody recorded yet is adopted by its number.

        What was made under another run record is of a former life of the run, however late it came to be.
        """
        if record is not None and record.uid is not None:
            return job.uid == record.uid
        life = self.observed.record.uid if self.observed.record else ""
        if life and job.record_uid not in (None, life):
            return False
        return record is None or (job.attempt >= record.attempt and not job.deleting)

    def _retry_or_fail(self, step: PlannedStep, cause: Cause, record: StepRecord) -> None:
        following = self._following(cause, record) if step.job is not None else None
        if following is None or step.job is None:
            self.failures[step.name] = self._given_up(cause, record)
            return
        counted = f"retry {following.retries} of {self.plan.infrastructure_retries}"
        kind = counted if following.retries > record.retries else "this is not counted as a retry"
        told = replace(cause, advice=f"Lando does the step again by itself ({kind}).")
        if record.uid is not None:
            self.first.append(EndAttempt(step=step.name, ended=record, cause=cause))
        # The decision first: after a crash the old Job is recognised by its number as one to be removed.
        self._ensure_record()
        self.first.append(RecordAttempts(steps={step.name: following}))
        if step.job in self.live:
            self.first.append(Delete(refs=(step.job,)))
        self._await_gone(step.job)
        if self._create(step, following):
            self.last.append(SetCondition(step=step.name, cause=told))

    def _following(self, cause: Cause, record: StepRecord) -> StepRecord | None:
        """The attempt that Lando makes by itself after one that the cluster lost; None if it makes no more."""
        if cause.category is not Category.INFRASTRUCTURE or cause.lasting:
            return None
        following = replace(record, attempt=record.attempt + 1, uid=None)
        if cause.interrupted and record.interruptions < INTERRUPTIONS:
            return replace(following, interruptions=record.interruptions + 1)
        if record.retries < self.plan.infrastructure_retries:
            return replace(following, retries=record.retries + 1)
        return None

    def _given_up(self, cause: Cause, record: StepRecord) -> Cause:
        """The cause of the last attempt, and how many there were."""
        tries = record.retries + record.interruptions + 1
        if cause.category is not Category.INFRASTRUCTURE or cause.lasting or tries == 1:
            return cause
        advice = f"The cluster has lost the step {tries} times; Lando tries no more by itself. Restart the run once"
        return replace(cause, advice=f"{advice} the cluster is well again.")

    def _create(self, step: PlannedStep, record: StepRecord | None = None) -> bool:
        """Add the creation of the step's objects as ``record`` (None: the first attempt).

        False, and a failure noted, when it can't be started.
        """
        problem = self.plan.problem or self._problem(step)
        missing = [ref.name for ref in step.reads if ref not in self.live]
        if problem is None and missing:
            gone = f"The volume {' and '.join(missing)} that step {step.name} reads is gone"
            if self.observed.record is None:
                record_ref = self.plan.record
                gone += (
                    f", and there is no {record_ref.kind} {record_ref.name}, whose deletion takes all of a run with it"
                )
            problem = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"{gone}.",
                advice="Restart the run: it begins again with its first step.",
            )
        if problem is not None:
            self.failures[step.name] = problem
            return False
        refs = (*((step.job,) if step.job else ()), *step.own, *step.makes)
        dying = tuple(ref for ref in refs if ref in self.observed.dying)
        if dying:
            self._await_gone(*dying)
        self._ensure_record()
        noted = record or StepRecord(attempt=1)
        self.first.append(
            Create(step=step.name, attempt=noted.attempt, retries=noted.retries, interruptions=noted.interruptions)
        )
        self.live |= set(refs)
        self.notes.append(f"step {step.name} starts")
        return True

    def _problem(self, step: PlannedStep) -> Cause | None:
        """Why the step can't be run; if the report that would have spared it went with its Job, then that."""
        by = self.records.get(step.spared_by) if step.spared_by else None
        if step.problem and by and by.uid and step.spared_by not in self.observed.jobs:
            return Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"Step {step.spared_by} ended well, but its Job was deleted before Lando could read where the "
                "output is.",
                advice="Restart the run to do the step again.",
            )
        return step.problem

    def _fail(self) -> list[Action]:
        name, cause = next(iter(self.failures.items()))
        steps = failed_steps(self.steps, tuple(self.failures))
        # A failed run waits for nothing.
        last = [action for action in self.last if not isinstance(action, SetCondition)]
        futile = sorted(_futile(self.plan, self.observed))
        return self.first + fail(Failure(step=name, cause=cause), steps, futile=futile) + last

    def _finish(self) -> list[Action]:
        ids = self._reported_ids()
        if self.plan.output_from and not ids and not self.plan.output_known:
            last = self.plan.steps[-1].name
            cause = Cause(
                category=Category.USER,
                sentence=f"Neither of the steps {' and '.join(self.plan.output_from)} reported where the output is.",
                advice="The step's image has to report project_id and readme_file_id.",
            )
            return self.first + fail(Failure(step=last, cause=cause), failed_steps(self.steps, (last,))) + self.last
        actions = list(self.first)
        if ids:
            actions.append(StoreOutput(ids=ids))
        actions.append(Write(state=RunState.FINISHED, steps=dict(self.steps)))
        actions += self.last
        if not self.plan.keep_finished:
            actions += [*_delete(self.observed.objects | frozenset(self.live)), DeleteRecord()]
        return actions

    def _reported_ids(self) -> Mapping[str, str]:
        for name in self.plan.output_from:
            job = self.observed.jobs.get(name)
            if job is not None and job.phase is JobPhase.COMPLETE and job.ids:
                return job.ids
        return {}

    def _tidy(self) -> list[Action]:
        """Remove what complete steps left, volumes that no step needs any more, and orphaned pods."""
        done = [step for step in self.plan.steps if self.steps[step.name] is StepState.COMPLETE]
        needed = {ref for step in self.plan.steps if step not in done for ref in step.uses}
        refs = {ref for step in done for ref in (*((step.job,) if step.job else ()), *step.own)}
        refs |= {ref for step in done for ref in step.uses if ref not in needed}
        return _delete(self.observed.objects & refs | self.orphans)
