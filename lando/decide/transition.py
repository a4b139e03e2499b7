"""One pass over a running run: judge what is at work, begin what is ready, and find out whether it has ended.

A step that fails is written and told at once, while others go on; the run fails when nothing is at work any more. So
several failures are told one after the other, each as a small transition of its own that a crash may cut anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lando.decide import causes, retries
from lando.decide.deletion import delete, futile, revert, to_revert
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
from lando.decide.readiness import is_spared, next_steps
from lando.runs import Cause, OnFailure, Run, RunState, StepState


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
            return self._retry_or_fail(step, causes.gone(step.name, step.job), record)
        return _Making(step=step, record=record, stands=job is not None and not job.deleting)

    def _judge_job(self, step: PlannedStep, job: ObservedJob, record: StepRecord | None) -> _Making | None:
        known = record or StepRecord(attempt=job.attempt, uid=job.uid)
        if job.phase is JobPhase.COMPLETE and self._is_for_nothing(step, job):
            return self._retry_or_fail(step, causes.report_lost(step.name, "its pod went"), known)
        if job.phase is JobPhase.COMPLETE:
            self.steps[step.name] = StepState.COMPLETE
            if job.warnings:
                self.last.append(Warn(step=step.name, warnings=job.warnings))
            self.unhindered = self.unhindered or step.name
            return None
        if job.deleting:
            return self._retry_or_fail(step, causes.being_deleted(step.name), known)
        if job.phase is JobPhase.FAILED:
            return self._retry_or_fail(step, job.cause or causes.unexplained(step.name), known)
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
        following = retries.following(self.plan, step, cause, record)
        if following is None:
            self._fail(step, retries.given_up(cause, record), record)
            return None
        return _Making(step=step, record=following, after=record, cause=cause)

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
            counted = retries.counted(self.plan, step, making.after, noted)
            self.again[step.name] = replace(making.cause, advice=f"Lando does the step again by itself ({counted}).")

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
        return causes.missing(self.plan, step.name, missing, has_record=self.observed.record is not None)

    def _own_problem(self, step: PlannedStep) -> Cause | None:
        """Why the step can't be run; if the report that would have spared it went with its Job, then that."""
        by_name = step.spared_by
        by = self.records.get(by_name) if by_name else None
        if step.problem and by_name and by and by.uid and by_name not in self.observed.jobs:
            return causes.report_lost(by_name, "its Job was deleted")
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
            kept = replace(record, failed=record.failed or number, cause=causes.in_short(cause))
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
        first = failed[0]
        record, job = self.records.get(first), self.observed.jobs.get(first)
        cause = (record.cause if record else None) or (job.cause if job else None)
        return Failure(step=None, cause=causes.summary(failed, cause))

    def _finish(self) -> list[Action]:
        self._show_wait()
        ids = self._reported_ids()
        if self.plan.output_from and not ids and not self.plan.output_known:
            last = self.plan.steps[-1].name
            failure = Failure(step=last, cause=causes.unreported(self.plan.output_from))
            return self.first + fail(failure, failed_steps(self.steps, (last,))) + self.last
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
