"""Where a direct run stands, and the telling of it: each change of a step's state becomes an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lando.decide import JobPhase, Plan, RunRecord, StepRecord
from lando.decide.readiness import next_steps
from lando.direct.events import (
    JobCompleted,
    JobFailed,
    JobReport,
    JobWaits,
    LimitReached,
    Listener,
    PhaseBegan,
)
from lando.direct.view import Seen
from lando.phases.model import Entry, JobFile, Model
from lando.runs import Category, Cause, OnFailure, Run, RunState, StepState


class Progress:
    """States and attempts of the steps, by the names of their Jobs; in memory, as the cluster holds the truth."""

    def __init__(self, model: Model, plan: Plan, listener: Listener) -> None:
        self.model = model
        self.plan = plan
        self.files: dict[str, JobFile] = {job.name: job for job in model.jobs()}
        self.entries: dict[str, Entry] = {
            job.name: entry for phase in model.phases for entry in phase.entries for job in entry.jobs
        }
        self.records: dict[str, StepRecord] = {}
        self.causes: dict[str, Cause] = {}
        """Why Jobs failed."""
        self.durations: dict[str, float | None] = {}
        self.run = Run(
            id=0,
            kind="phases",
            owner="",
            name=model.path,
            state=RunState.RUNNING,
            steps={step.name: StepState.PENDING for step in plan.steps},
        )
        self._listener = listener
        self._complete: set[str] = set()
        """Jobs that were seen complete."""
        self._waiting: dict[str, str] = {}
        """The sentence last told of each Job that waits."""
        self._begun: set[int] = set()
        """Phases that were told of, and those that need no telling."""
        self._is_limited = False
        self._unlimited = replace(plan, parallel=0)

    @property
    def record(self) -> RunRecord:
        """As ``decide`` wants it; there is no object of that kind here."""
        return RunRecord(uid="", steps=self.records)

    @property
    def is_over(self) -> bool:
        return self.run.state is not RunState.RUNNING

    def begin(self, steps: Mapping[str, StepState]) -> None:
        """Take up what is there."""
        self.run = replace(self.run, steps=dict(steps))
        self._begun = {phase for phase in self._phases() if not self._unfinished(phase)}

    def tell_phases(self) -> None:
        """The phases that begin, once each; those that were complete at the start are not told of."""
        for phase in self._phases():
            if phase not in self._begun:
                self._begun.add(phase)
                self._listener.tell(PhaseBegan(index=phase, name=self.model.phases[phase].name))
            if self._unfinished(phase):
                return

    def write(self, state: RunState | None, steps: Mapping[str, StepState] | None) -> None:
        """Note what was decided, and tell what is new of it."""
        before = self.run.steps
        self.run = replace(self.run, state=state or self.run.state, steps=dict(steps or before))
        for step, now in self.run.steps.items():
            # One that ends last of all may be reverted at once.
            is_reverted = before[step] is StepState.RUNNING and now is StepState.PENDING and step in self._complete
            if is_reverted or (now is not before[step] and now is StepState.COMPLETE):
                self._listener.tell(JobCompleted(job=step, duration_s=self.durations.get(step) or 0.0))
            elif now is not before[step] and now is StepState.FAILED:
                self._listener.tell(JobFailed(job=step, cause=self.cause(step), again=False))
        self.tell_phases()

    def note(self, job: str, seen: Seen | None) -> None:
        """Keep how long a Job took, and why it failed."""
        if seen is not None and seen.job.ended:
            self.durations[job] = seen.duration_s
        if seen is not None and seen.job.phase is JobPhase.COMPLETE:
            self._complete.add(job)
        if seen is not None and seen.is_failed and seen.job.cause is not None:
            self.causes[job] = seen.job.cause

    def forget(self, job: str) -> None:
        """It is made again."""
        self._complete.discard(job)
        self.causes.pop(job, None)
        self.durations.pop(job, None)

    def tell_wait(self, job: str, seen: Seen | None, cause: Cause | None = None) -> None:
        """What a Job waits for, when that has changed."""
        waits = cause or (seen.waits if seen is not None else None)
        told = self._waiting.get(job, "")
        if (waits.sentence if waits else "") == told:
            return
        if waits is None:
            del self._waiting[job]
            if seen is not None and seen.job.ended:
                return  # its end is told instead
        else:
            self._waiting[job] = waits.sentence
        self._listener.tell(JobWaits(job=job, cause=waits))

    def tell_limit(self) -> None:
        """Whether Jobs that are ready have to wait for others to end, each time it begins."""
        at_work = sum(state is StepState.RUNNING for state in self.run.steps.values())
        is_full = not self._is_stopping() and 0 < self.plan.parallel <= at_work
        limited = is_full and bool(next_steps(self._unlimited, self.run.steps))
        if limited and not self._is_limited:
            self._listener.tell(LimitReached(limit=self.plan.parallel))
        self._is_limited = limited

    def cause(self, job: str) -> Cause:
        """Why it failed, as far as that is known."""
        return self.causes.get(job) or Cause(
            category=Category.USER, sentence=f"The Job {job} failed and left no reason."
        )

    def report(self) -> tuple[JobReport, ...]:
        """The run time of each Job of the model, in its order."""
        return tuple(JobReport(job=job, duration_s=self.durations.get(job)) for job in self.files)

    def of(self, state: StepState) -> list[str]:
        """The Jobs that stand so, in the model's order."""
        return [job for job in self.files if self.run.steps[job] is state]

    def _is_stopping(self) -> bool:
        """Whether nothing more is begun."""
        has_failed = StepState.FAILED in self.run.steps.values()
        return self.is_over or (has_failed and self.plan.on_failure is not OnFailure.CONTINUE)

    def _phases(self) -> range:
        return range(len(self.model.phases))

    def _unfinished(self, phase: int) -> bool:
        jobs = (job for entry in self.model.phases[phase].entries for job in entry.jobs)
        return any(self.run.steps[job.name] is not StepState.COMPLETE for job in jobs)
