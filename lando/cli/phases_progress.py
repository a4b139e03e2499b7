"""Where a run of a model stands, as far as its events have told: what the live tree is drawn from. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lando.direct import events
from lando.phases.model import Entry, JobFile, Model
from lando.runs import Cause


class State(Enum):
    """Of a Job."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """Its pods do not start, or it can't be created yet."""
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(kw_only=True)
class JobView:
    """What is known of one Job."""

    file: JobFile
    needs: tuple[str, ...]
    """Entries of its phase."""
    state: State = State.PENDING
    state_before: State = State.PENDING
    """While it waits: how it stood."""
    attempt: int = 1
    began: float | None = None
    """By the clock of whoever told; None where an earlier run had begun it."""
    duration_s: float | None = None
    cause: Cause | None = None
    """Why it waits or failed."""
    is_changed: bool = False
    """Whether an earlier run made it, of a file that says something else now."""
    is_removed: bool = False
    """Whether it is gone, by a cleanup or a revert; ``state`` is how it stood before."""

    @property
    def is_complete(self) -> bool:
        return self.state is State.COMPLETE


class Progress:
    """Takes events in; not safe to use from two threads at once."""

    def __init__(self, model: Model, now: float, *, is_changed_remade: bool = False) -> None:
        self.model = model
        self._is_changed_remade = is_changed_remade
        self.began = now
        self.jobs: dict[str, JobView] = {
            job.name: JobView(file=job, needs=entry.depends_on)
            for phase in model.phases
            for entry in phase.entries
            for job in entry.jobs
        }
        self.is_checked = False
        """Whether the checks against the cluster are over."""
        self.asked = 0
        """About how many Jobs the cluster was asked while they went on."""
        self.entered: set[int] = set()
        """The phases that have begun."""
        self.ended: events.Ended | None = None

    def tell(self, event: events.Event, now: float) -> None:
        """Note what has happened, at ``now`` in seconds of any clock."""
        match event:
            case events.Began():
                self.is_checked = True
            case events.PhaseBegan(index=index):
                self.entered.add(index)
            case events.Ended():
                self.ended = event
                for report in event.jobs:
                    if (job := self.jobs.get(report.job)) is not None and report.duration_s is not None:
                        job.duration_s = report.duration_s
            case (
                events.Problem()
                | events.Trouble()
                | events.ResourceApplied()
                | events.LimitReached()
                | events.JobLog()
                | events.CleanupBegan()
            ):
                pass
            case events.JobFound(changed=True) if self._is_changed_remade:
                pass  # what is made again is still to come
            case _:
                if (job := self.jobs.get(event.job)) is not None:
                    _changed(job, event, now)
                    if job.state is not State.PENDING:
                        self.entered.add(job.file.phase)

    def called(self, verb: str, kind: str) -> None:
        """Note a call to the cluster, of which there is one per Job while it is checked."""
        if not self.is_checked and (verb, kind) == ("create", "Job"):
            self.asked += 1

    def of(self, entries: Iterable[Entry]) -> list[JobView]:
        """The Jobs of these entries, in the order of the files."""
        return [self.jobs[job.name] for entry in entries for job in entry.jobs]

    def missing(self, job: JobView) -> list[str]:
        """The entries that it still waits for."""
        phase = self.model.phases[job.file.phase]
        needed = [entry for entry in phase.entries if entry.name in job.needs]
        return [entry.name for entry in needed if not all(one.is_complete for one in self.of([entry]))]


def _changed(
    job: JobView,
    event: events.JobFound
    | events.JobCreated
    | events.JobWaits
    | events.JobCompleted
    | events.JobFailed
    | events.JobRemoved,
    now: float,
) -> None:
    match event:
        case events.JobFound(complete=complete, changed=changed):
            job.state, job.is_changed = (State.COMPLETE if complete else State.RUNNING), changed
        case events.JobCreated(attempt=attempt):
            job.state, job.attempt, job.began, job.cause, job.duration_s = State.RUNNING, attempt, now, None, None
            job.is_removed = job.is_changed = False
        case events.JobWaits(cause=None):
            job.state, job.cause = (job.state_before if job.state is State.WAITING else job.state), None
        case events.JobWaits(cause=cause):
            job.state_before = job.state_before if job.state is State.WAITING else job.state
            job.state, job.cause = State.WAITING, cause
        case events.JobCompleted(duration_s=duration_s):
            job.state, job.duration_s, job.cause = State.COMPLETE, duration_s, None
        case events.JobFailed(cause=cause, again=again):
            job.state, job.cause = (State.PENDING if again else State.FAILED), cause
            job.duration_s, job.began = (None if job.began is None else now - job.began), None
        case events.JobRemoved(why="cleanup" | "reverted"):
            job.is_removed = True
        case events.JobRemoved():  # it is made again
            job.state, job.cause = State.PENDING, None
