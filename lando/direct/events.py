"""What a direct run tells while it goes on: to a terminal, a log or a program. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lando.phases.model import Finding
from lando.runs import Cause


class Outcome(Enum):
    """How a direct run ended; the value is the exit code (phases contract, 1)."""

    COMPLETE = 0
    REFUSED = 1
    """Nothing was created: the model, a manifest, a permission or another run is in the way."""
    FAILED = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    """Ctrl-C; Jobs are left as they are."""
    TERMINATED = 143


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that the checks against the cluster found; with an error among them the run does not begin."""

    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Began:
    """Everything was checked; the run goes on from what is there."""

    namespace: str
    jobs: int
    complete: int
    """Of them, those that need not be run again."""


@dataclass(frozen=True, kw_only=True)
class PhaseBegan:
    """Every Job of the phases before is complete."""

    index: int
    name: str


@dataclass(frozen=True, kw_only=True)
class JobFound:
    """A Job of an earlier run, which counts as this one's."""

    job: str
    entry: str
    phase: int
    complete: bool
    changed: bool = False
    """Whether its file says something else now; ``--changed`` makes it again."""


@dataclass(frozen=True, kw_only=True)
class JobCreated:
    job: str
    entry: str
    phase: int
    attempt: int
    after: tuple[str, ...] = ()
    """The entries of its phase that it has waited for; all are complete."""


@dataclass(frozen=True, kw_only=True)
class JobWaits:
    """Why a Job's pods do not start, or stand still; told when it changes. ``cause`` None: it waits no longer."""

    job: str
    cause: Cause | None


@dataclass(frozen=True, kw_only=True)
class JobCompleted:
    job: str
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class JobFailed:
    job: str
    cause: Cause
    """With the end of its log."""
    again: bool
    """Whether it is made once more."""


@dataclass(frozen=True, kw_only=True)
class JobLog:
    """The end of the log of a Job that a revert is about to delete, unless it was told with why the Job failed."""

    job: str
    log_tail: str


@dataclass(frozen=True, kw_only=True)
class JobRemoved:
    job: str
    why: str
    """``failed before``, ``changed``, ``cleanup`` or ``reverted``."""


@dataclass(frozen=True, kw_only=True)
class ResourceApplied:
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class LimitReached:
    """Jobs are ready that have to wait for others to end; told once for each time."""

    limit: int


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What does not stop the run but ought to be known: the cluster does not answer, a right is missing; or is over."""

    sentence: str


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """The run time of one Job of the model; None where it did not run to its end."""

    job: str
    duration_s: float | None


@dataclass(frozen=True, kw_only=True)
class CleanupBegan:
    """All Jobs are complete and are going to be removed; with their run times, as of :class:`Ended`."""

    jobs: tuple[JobReport, ...]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The last event: how the run ended, and the run times."""

    outcome: Outcome
    sentence: str
    jobs: tuple[JobReport, ...] = ()


Event = (
    Problem
    | Began
    | PhaseBegan
    | JobFound
    | JobCreated
    | JobWaits
    | JobCompleted
    | JobFailed
    | JobLog
    | JobRemoved
    | ResourceApplied
    | LimitReached
    | Trouble
    | CleanupBegan
    | Ended
)


class Listener(Protocol):
    """Whoever wants to know; called from one thread, must neither raise nor block for long."""

    def tell(self, event: Event) -> None: ...
