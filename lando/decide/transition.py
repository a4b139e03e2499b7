"""One pass over a running run: judge what is at work, begin what is ready, and find out whether it has ended.

A step that fails is written and told at once, while others go on; the run fails when nothing is at work any more. So
several failures are told one after the other, each as a small transition of its own that a crash may cut anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

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
    SetCondition,
    StepRecord,
    StoreOutput,
    Warn,
    Write,
    fail,
    failed_steps,
)
from lando.runs import Category, Cause, OnFailure, Run, RunState, StepState, cut_middle

INTERRUPTIONS = 20
"""Orderly stops of nodes that a step may meet before they count as retries: nothing goes round for ever."""
BYTES_KEPT = 400  # of a cause's sentence as JSON; a ConfigMap holds 1 MiB, and a run may have 1,000 steps
NAMES_TOLD = 10  # of steps that failed, in the summary of a run


def delete(refs: Iterable[ObjectRef]) -> list[Action]:
    """Jobs first, so that no pod misses its volume; volumes last."""
    ordered = sorted(refs, key=lambda ref: (ref.kind != "Job", ref.kind == "PersistentVolumeClaim", ref.name))
    return [Delete(refs=tuple(ordered))] if ordered else []


def futile(plan: Plan, observed: Observed) -> frozenset[ObjectRef]:
    """Jobs that failed after patience: what they waited for may come, and their pods begin for nothing."""
    failed = {name for name, job in observed.jobs.items() if job.phase is JobPhase.FAILED and not job.ended}
    return observed.objects & {step.job for step in plan.steps if step.job and step.name in failed}


def to_revert(plan: Plan, observed: Observed) -> dict[str, ObjectRef]:
    """By step, the Jobs that go when this run has failed: those it made, the newest first."""
    if plan.on_failure is not OnFailure.REVERT:
        return {}
    gone = futile(plan, observed)
    made = [
        (observed.jobs[step.name].created or datetime.min.replace(tzinfo=UTC), number, step.name, step.job)
        for number, step in enumerate(plan.steps)
        if step.job in observed.objects and step.job not in gone and step.name in observed.jobs
    ]
    return {
        name: ref for _, _, name, ref in sorted(made, reverse=True) if ref is not None and not observed.jobs[name].found
    }


def revert(plan: Plan, observed: Observed) -> list[Action]:
    """One after the other, so that their order holds."""
    return [Delete(refs=(ref,)) for ref in to_revert(plan, observed).values()]


def is_ready(step: PlannedStep, steps: Mapping[str, StepState]) -> bool:
    """Whether the step may begin by what it needs."""
    return steps[step.name] is StepState.PENDING and all(steps[need] is StepState.COMPLETE for need in step.needs)


def next_steps(plan: Plan, steps: Mapping[str, StepState]) -> list[PlannedStep]:
    """Those that may begin now, as many as the plan lets run beside those that do."""
    room = len(plan.steps)
    if plan.parallel:
        room = plan.parallel - sum(1 for step in plan.steps if step.job and steps[step.name] is StepState.RUNNING)
    are_met: dict[int, bool] = {}  # by what is needed, which the steps of a phase share
    found = []
    for step in plan.steps:
        if steps[step.name] is not StepState.PENDING or (step.job is not None and room <= 0):
            continue
        shared = id(step.needs)
        if shared not in are_met:
            are_met[shared] = all(steps[need] is StepState.COMPLETE for need in step.needs)
        if are_met[shared]:
            found.append(step)
            room -= step.job is not None
    return found


def is_spared(step: PlannedStep, observed: Observed) -> bool:
    """Whether another step's report makes this one's Job needless."""
    by = observed.jobs.get(step.spared_by) if step.spared_by else None
    return by is not None and by.phase is JobPhase.COMPLETE and bool(by.ids)


@dataclass(frozen=True, kw_only=True)
class _Making:
    """Objects of a step that are to be made, unless the run is about to stop."""

    step: PlannedStep
    record: StepRecord | None = None
    """Of the attempt that is to be made; None: the first."""
    after: StepRecord | None = None
    """Of the attempt that it follows, where that failed."""
    cause: Cause | None = None
    """Why that failed."""
    stands: bool = False
    """Whether a Job of a former attempt has to go before."""
    is_all: bool = False
    """Whether the step is complete with them: it has no Job, or needs none."""


class Transition:
    """What one look at a running run leads to."""

    def __init__(self, plan: Plan, run: Run, observed: Observed) -> None:
        self.plan = plan
        self.observed = observed
        self.records = dict(observed.record.steps) if observed.record else {}
        self.steps = dict(run.steps)
        self.written = dict(run.steps)
        self.live = set(observed.objects)
        self.orphans = frozenset(ref for ref in observed.objects if ref.kind == "Pod")
        """Pods that nobody else will remove."""
        self.first: list[Action] = []
        self.waiting: list[Action] = []
        """Creations that have to wait until something has gone, after all that need not."""
        self.last: list[Action] = []
        """Effects nobody waits for; after the writes and the new objects, before the deletions."""
        self.unsaid: dict[str, Cause] = {}
        """Failures found in this pass that are not written yet."""
        self.waits: dict[str, Cause] = {}
        """What steps at work wait for."""
        self.again: dict[str, Cause] = {}
        """Why steps are done again."""
        self.unhindered: str | None = None
        """A step that does not wait."""
        self.notes: list[str] = []

    def actions(self) -> list[Action]:
        self._tell_again()
        self._judge([step for step in self.plan.steps if self.steps[step.name] is StepState.RUNNING])
        while not self._is_stopping() and (begun := next_steps(self.plan, self.steps)):
            self._say_failures()  # before: each is written with the others of this pass as still at work
            self.steps |= {step.name: StepState.RUNNING for step in begun}
            self._write()
            self._judge(begun)
        states = set(self.steps.values())
        if StepState.FAILED in states and StepState.RUNNING not in states:
            return self._fail_run()
        if states == {StepState.COMPLETE}:
            return self._finish()
        if self.steps != self.written:
            self._write()
        self._show_wait()
        actions = self.first + self.waiting + self.last + self._tidy()
        return actions or [Nothing(reason="; ".join(self.notes) or "no step is at work or ready")]

    def _is_stopping(self) -> bool:
        """Whether nothing more is begun, not even a further attempt: what is at work only comes to its end."""
        return self.plan.on_failure is not OnFailure.CONTINUE and StepState.FAILED in self.steps.values()

    def _write(self) -> None:
        self._say_failures()
        if self.steps != self.written:
            self.first.append(Write(steps=dict(self.steps)))
            self.written = dict(self.steps)

    def _ensure_record(self) -> list[Action]:
        is_there = self.observed.record is not None or EnsureRecord() in (*self.first, *self.waiting)
        return [] if is_there else [EnsureRecord()]

    # -- how a step stands ------------------------------------------------------------------------------------

    def _judge(self, steps: Sequence[PlannedStep]) -> None:
        """Find out how running steps stand, then do what they need: a failure is known before anything is made."""
        makings = [making for step in steps if (making := self._look_at(step)) is not None]
        if makings:
            self._write()  # what others came to, which a creation that has to wait must not hold up
        for making in makings:
            if not self._is_stopping():
                self._make(making)
            elif making.cause is not None:
                self._fail(making.step, making.cause, making.after)
            else:
                self.steps[making.step.name] = StepState.PENDING

    def _look_at(self, step: PlannedStep) -> _Making | None:
        """How the step stands, and what has to be made for it to go on."""
        job = self.observed.jobs.get(step.name)
        if step.job is None or (job is None and is_spared(step, self.observed)):
            if any(ref not in self.live for ref in step.makes):
                return _Making(step=step, is_all=True)
            self.steps[step.name] = StepState.COMPLETE
            return None
        record = self.records.get(step.name)
        is_current = job is not None and self._is_current(job, record)
        if record is not None and record.failed and record.cause is not None:
            # It was decided, and not written yet.
            self._fail(step, (job.cause if job is not None and is_current else None) or record.cause, record)
            return None
        if job is not None and is_current:
            return self._judge_job(step, job, record)
        if record is not None and record.uid is not None:
            cause = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"The Job {step.job.name} of step {step.name} is gone: somebody else deleted it.",
                advice="Restart the run to do the step again.",
            )
            return self._retry_or_fail(step, cause, record)
        return _Making(step=step, record=record, stands=job is not None and not job.deleting)

    def _judge_job(self, step: PlannedStep, job: ObservedJob, record: StepRecord | None) -> _Making | None:
        known = record or StepRecord(attempt=job.attempt, uid=job.uid)
        if job.phase is JobPhase.COMPLETE and self._is_for_nothing(step, job):
            cause = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"Step {step.name} ended well, but its pod went before Lando could read where the output is.",
                advice="Restart the run to do the step again.",
            )
            return self._retry_or_fail(step, cause, known)
        if job.phase is JobPhase.COMPLETE:
            self.steps[step.name] = StepState.COMPLETE
            if job.warnings:
                self.last.append(Warn(step=step.name, warnings=job.warnings))
            self.unhindered = self.unhindered or step.name
            return None
        if job.deleting:
            cause = Cause(
                category=Category.INFRASTRUCTURE,
                sentence=f"The Job of step {step.name} was deleted by somebody other than Lando while it was at work.",
                advice="Restart the run to do the step again.",
            )
            return self._retry_or_fail(step, cause, known)
        if job.phase is JobPhase.FAILED:
            cause = job.cause or Cause(
                category=Category.USER,
                sentence=f"The Job of step {step.name} failed and left no reason.",
                advice="Look at the log of the step.",
            )
            return self._retry_or_fail(step, cause, known)
        if record is None or record.uid is None:
            adopted = replace(record or StepRecord(attempt=1), attempt=job.attempt, uid=job.uid)
            self.first += self._ensure_record()
            self.last.append(RecordAttempts(steps={step.name: adopted}))
        if job.phase is JobPhase.WAITING:
            self._restore(step, job)
            if job.cause:
                self.waits[step.name] = job.cause
        else:
            self.unhindered = self.unhindered or step.name
        self.notes.append(f"step {step.name} is at work")
        return None

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

    def _retry_or_fail(self, step: PlannedStep, cause: Cause, record: StepRecord) -> _Making | None:
        following = self._following(step, cause, record)
        if following is None:
            self._fail(step, self._given_up(cause, record), record)
            return None
        return _Making(step=step, record=following, after=record, cause=cause)

    def _following(self, step: PlannedStep, cause: Cause, record: StepRecord) -> StepRecord | None:
        """The attempt that is made after one that failed; None if there is none.

        What the cluster lost is made up for by Lando first, and then, as everything else, as often as the plan says.
        """
        if cause.lasting:
            return None
        following = replace(record, attempt=record.attempt + 1, uid=None)
        if cause.category is Category.INFRASTRUCTURE:
            if cause.interrupted and record.interruptions < INTERRUPTIONS:
                return replace(following, interruptions=record.interruptions + 1)
            if record.retries < self.plan.infrastructure_retries:
                return replace(following, retries=record.retries + 1)
        if record.own_retries < step.retries:
            return replace(following, own_retries=record.own_retries + 1)
        return None

    def _given_up(self, cause: Cause, record: StepRecord) -> Cause:
        """The cause of the last attempt, and how many there were."""
        tries = record.retries + record.interruptions + record.own_retries + 1
        is_lost = cause.category is Category.INFRASTRUCTURE
        if cause.lasting or tries == 1 or not (is_lost or record.own_retries):
            return cause
        if is_lost and not record.own_retries:
            advice = f"The cluster has lost the step {tries} times; Lando tries no more by itself. Restart the run once"
            return replace(cause, advice=f"{advice} the cluster is well again.")
        return replace(cause, advice=f"{cause.advice} It was tried {tries} times.".strip())

    def _fail(self, step: PlannedStep, cause: Cause, record: StepRecord | None) -> None:
        self.steps[step.name] = StepState.FAILED
        self.unsaid[step.name] = cause
        if record is not None:
            self.records[step.name] = record

    # -- what is made -----------------------------------------------------------------------------------------

    def _make(self, making: _Making) -> None:
        """Add the creation of the step's objects; a failure is noted when it can't be started."""
        step, record = making.step, making.record
        before: list[Action] = []
        if making.after is not None and making.cause is not None and record is not None:
            if making.after.uid is not None:
                self.first.append(EndAttempt(step=step.name, ended=making.after, cause=making.cause))
            # The decision first: after a crash the old Job is recognised by its number as one to be removed.
            self.first += [*self._ensure_record(), RecordAttempts(steps={step.name: record})]
            self.records[step.name] = record
        if step.job is not None and (making.after is not None or making.stands):
            if step.job in self.live:
                self.first.append(Delete(refs=(step.job,)))
            before += self._await_gone(step.job)
        if (problem := self._problem(step)) is not None:
            self.waiting += before
            self._fail(step, problem, record)
            return
        refs = (*((step.job,) if step.job else ()), *step.own, *step.makes)
        if dying := tuple(ref for ref in refs if ref in self.observed.dying):
            before += self._await_gone(*dying)
        noted = record or StepRecord(attempt=1)
        create = Create(
            step=step.name,
            attempt=noted.attempt,
            retries=noted.retries,
            interruptions=noted.interruptions,
            own_retries=noted.own_retries,
        )
        # Steps that need one without a Job come behind it: that can't be put off.
        actions = self.waiting if before and not making.is_all else self.first
        actions += [*before, *self._ensure_record(), create]
        self.live |= set(refs)
        self.notes.append(f"step {step.name} starts")
        if making.is_all:
            self.steps[step.name] = StepState.COMPLETE
        elif making.cause is not None and making.after is not None:
            self.again[step.name] = replace(
                making.cause,
                advice=f"Lando does the step again by itself ({self._counted(step, making.after, noted)}).",
            )

    def _counted(self, step: PlannedStep, record: StepRecord, following: StepRecord) -> str:
        if following.retries > record.retries:
            return f"retry {following.retries} of {self.plan.infrastructure_retries}"
        if following.own_retries > record.own_retries:
            return f"retry {following.own_retries} of {step.retries}"
        return "this is not counted as a retry"

    def _await_gone(self, *refs: ObjectRef) -> list[Action]:
        """Go on when ``refs`` are gone, and with Jobs their pods, of which orphans would stay."""
        actions = [*delete(self.orphans), AwaitGone(refs=refs)]
        self.orphans = frozenset()
        return actions

    def _restore(self, step: PlannedStep, job: ObservedJob) -> None:
        """Make what the pod may be waiting for in vain; volumes that hold what was done before can't be had again."""
        there = self.live | self.observed.dying
        missing = tuple(ref for ref in (*step.own, *step.makes) if ref not in there)
        if missing and not (self.plan.problem or step.problem):
            self.first += self._ensure_record()
            self.first.append(Restore(step=step.name, attempt=job.attempt, refs=missing))

    def _problem(self, step: PlannedStep) -> Cause | None:
        """Why the step can't be begun."""
        problem = self.plan.problem or self._own_problem(step)
        missing = [ref for ref in step.reads if ref not in self.live]
        if problem is not None or not missing:
            return problem
        named = " and ".join(f"{_KINDS.get(ref.kind, ref.kind)} {ref.name}" for ref in missing)
        gone = f"The {named} that step {step.name} reads {'is' if len(missing) == 1 else 'are'} gone"
        if self.observed.record is None:
            record_ref = self.plan.record
            gone += f", and there is no {record_ref.kind} {record_ref.name}, whose deletion takes all of a run with it"
        return Cause(
            category=Category.INFRASTRUCTURE,
            sentence=f"{gone}.",
            advice="Restart the run: it begins again with its first step."
            if fills_volumes(self.plan)
            else "Restart the run: it makes what is missing.",
        )

    def _own_problem(self, step: PlannedStep) -> Cause | None:
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

    # -- what is said -----------------------------------------------------------------------------------------

    def _tell_again(self) -> None:
        """A failure that was written, and perhaps not told, when a former look was cut short."""
        failure = self.observed.record.failure if self.observed.record else None
        if failure is not None and failure.step is not None and self.steps.get(failure.step) is StepState.FAILED:
            self.first += [ReportError(failure=failure, again=True), NoteFailure(failure=None)]

    def _say_failures(self) -> None:
        """Write and tell the failures of this pass, each for itself; what others came to is written with the first."""
        number = max((record.failed for record in self.records.values()), default=0)
        # One that was decided when a former look was cut short failed before the others.
        order = sorted(self.unsaid, key=lambda name: not (name in self.records and self.records[name].failed))
        for name in order:
            cause = self.unsaid.pop(name)
            record = self.records.get(name) or StepRecord(attempt=1)
            number = number if record.failed else number + 1
            kept = replace(record, failed=record.failed or number, cause=_in_short(cause))
            self.records[name] = kept
            self.written = self.steps | dict.fromkeys(self.unsaid, StepState.RUNNING)
            step = self.plan.step(name)
            gone = futile(replace(self.plan, steps=(step,)), self.observed)
            self.first += fail(
                Failure(step=name, cause=cause),
                dict(self.written),
                state=None,
                kept={name: kept},
                futile=sorted(gone),
            )

    def _show_wait(self) -> None:
        """One sentence for the whole run: what is done again, else the first wait, unless a wait is shown already."""
        shown = self.observed.condition
        if self.again:
            step, cause = next(iter(self.again.items()))
            self.last.append(SetCondition(step=step, cause=cause))
        elif self.waits:
            if all(cause.sentence != shown for cause in self.waits.values()):
                step, cause = next(iter(self.waits.items()))
                self.last.append(SetCondition(step=step, cause=cause))
        elif shown is not None and self.unhindered is not None:
            self.last.append(SetCondition(step=self.unhindered, cause=None))

    # -- the end ----------------------------------------------------------------------------------------------

    def _fail_run(self) -> list[Action]:
        """End the run: with the failure of its only step that failed, unless that was told before, else a summary."""
        is_only = len(self.unsaid) == 1 and list(self.steps.values()).count(StepState.FAILED) == 1
        only = next(iter(self.unsaid)) if is_only else None
        if only is not None:
            failure = Failure(step=only, cause=self.unsaid.pop(only))
        else:
            self._say_failures()
            failure = self._summary()
        undone = [name for name in to_revert(self.plan, self.observed) if self.steps[name] is StepState.COMPLETE]
        reached = self.steps if only is None else self.steps | {only: StepState.RUNNING}
        if undone and reached != self.written:
            self.first.append(Write(steps=dict(reached)))  # that they were complete is known before they are pending
        steps = self.steps | dict.fromkeys(undone, StepState.PENDING)
        gone = sorted(futile(self.plan, self.observed))
        ending = fail(failure, steps, futile=gone, then=revert(self.plan, self.observed))
        return self.first + self.waiting + ending + self.last

    def _summary(self) -> Failure:
        failed = [step.name for step in self.plan.steps if self.steps[step.name] is StepState.FAILED]
        failed.sort(key=lambda name: self.records[name].failed if name in self.records else len(self.plan.steps))
        first, *more = failed
        record, job = self.records.get(first), self.observed.jobs.get(first)
        cause = (record.cause if record else None) or (job.cause if job else None)
        why = f": {cause.sentence}" if cause else "."
        told = more[:NAMES_TOLD]
        others = ", ".join(told) + (f" and {len(more) - len(told)} more" if more[NAMES_TOLD:] else "")
        sentence = f"{len(failed)} steps failed, {first} first{why}" if more else f"Step {first} failed{why}"
        return Failure(
            step=None,
            cause=Cause(
                category=cause.category if cause else Category.USER,
                sentence=sentence,
                advice=(f"After it failed: {others}. " if more else "")
                + "Start the run again to do what failed and what was not begun.",
                exit_code=cause.exit_code if cause else None,
            ),
        )

    def _finish(self) -> list[Action]:
        self._show_wait()
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
            actions += [*delete(self.observed.objects | self.live), DeleteRecord()]
        return actions

    def _reported_ids(self) -> Mapping[str, str]:
        for name in self.plan.output_from:
            job = self.observed.jobs.get(name)
            if job is not None and job.phase is JobPhase.COMPLETE and job.ids:
                return job.ids
        return {}

    def _tidy(self) -> list[Action]:
        """Remove what complete steps left, volumes that no step needs any more, and orphaned pods."""
        if self.plan.keep_complete:
            return delete(self.orphans)
        done = [step for step in self.plan.steps if self.steps[step.name] is StepState.COMPLETE]
        needed = {ref for step in self.plan.steps if step not in done for ref in step.uses}
        refs = {ref for step in done for ref in (*((step.job,) if step.job else ()), *step.own)}
        refs |= {ref for step in done for ref in step.uses if ref not in needed}
        return delete(self.observed.objects & refs | self.orphans)


def _in_short(cause: Cause) -> Cause:
    """What a record of many steps has room for."""
    sentence, limit = cut_middle(cause.sentence, BYTES_KEPT), BYTES_KEPT
    while len(json.dumps(sentence, ensure_ascii=False).encode()) > BYTES_KEPT and limit > 1:
        limit //= 2  # what a program says may be of characters that JSON writes with six
        sentence = cut_middle(cause.sentence, limit)
    return replace(cause, sentence=sentence, advice="", log_tail="")


_KINDS = {"PersistentVolumeClaim": "volume"}
"""What kinds of objects are called towards a run's owner, where their names say too little."""


def fills_volumes(plan: Plan) -> bool:
    """Whether its Jobs leave something to others on volumes of the run, so that without them all begins anew."""
    return any(step.job is not None and step.makes for step in plan.steps)
