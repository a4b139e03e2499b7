"""The words of the decision: what a run should become, what is there, and what can be done about it.

All of it is plain data. A :class:`Plan` says which steps a kind of run consists of, :class:`Observed` what the
cluster holds of one run at one moment, an :data:`Action` one effect that an executor carries out. Every action can
be repeated: what it would do may have been done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from lando.runs import Cause, OnFailure, RunState, StepState, VolumeUse


@dataclass(frozen=True, order=True)
class ObjectRef:
    """One object of the run's namespace, by kind and name."""

    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a plan. Its objects are named here and made by the plan's builder."""

    name: str
    needs: tuple[str, ...] = ()
    """Steps that must be complete before this one starts."""
    job: ObjectRef | None = None
    """Its Job; a step without one is complete as soon as its objects are there."""
    own: tuple[ObjectRef, ...] = ()
    """What goes with the Job: its ConfigMap."""
    makes: tuple[ObjectRef, ...] = ()
    """Volumes that it fills from nothing, made when they are missing."""
    reads: tuple[ObjectRef, ...] = ()
    """Volumes that hold what earlier steps left: without them the step can't start."""
    spared_by: str | None = None
    """Needs no Job when the Job of that step reported the ids of the output."""
    retries: int = 0
    """How often it is done again after a failure of its own, or after more losses than the cluster is forgiven."""
    problem: Cause | None = None
    """Why the step can't be run as it is described; met only when it is its turn."""

    @property
    def uses(self) -> tuple[ObjectRef, ...]:
        """The volumes that have to stay until this step is complete."""
        return self.makes + self.reads


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The directed acyclic graph of steps that a run consists of; of those that are ready the first go first."""

    steps: tuple[PlannedStep, ...]
    record: ObjectRef
    """The run record: made first, removed last."""
    problem: Cause | None = None
    """Why the run can't be run at all, e.g. a missing part of its description."""
    output_from: tuple[str, ...] = ()
    """Steps whose reported ids describe the run's output, the best first; empty for runs without such ids."""
    output_known: bool = False
    """The ids of the output are on record already."""
    parallel: int = 0
    """The most steps with a Job that run at once, at every moment, also while one is done again; 0: no limit."""
    on_failure: OnFailure = OnFailure.STOP
    infrastructure_retries: int = 2
    """New attempts per step after failures that are the cluster's."""
    keep_complete: bool = False
    """Leave the Jobs of complete steps, and what they used, until the run has ended."""
    keep_finished: bool = False
    """Leave the objects of a finished run to the sweeper instead of removing them at once."""

    def step(self, name: str) -> PlannedStep:
        """The step called ``name``; KeyError if the plan has none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    @property
    def fills_volumes(self) -> bool:
        """Whether its Jobs leave something to others on volumes of the run, so that without them all begins anew."""
        return any(step.job is not None and step.makes for step in self.steps)

    def with_problem(self, name: str, cause: Cause) -> Plan:
        """The plan after the cluster or the source has refused what the step called ``name`` is made of."""
        return replace(
            self, steps=tuple(replace(step, problem=cause) if step.name == name else step for step in self.steps)
        )


class JobPhase(Enum):
    """How a step's Job stands, once patience is taken into account."""

    RUNNING = "Running"
    WAITING = "Waiting"
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class ObservedJob:
    """The Job that stands in the cluster under the name of a step."""

    uid: str
    attempt: int = 1
    """By its annotation; 1 for Jobs of the original, which have none."""
    record_uid: str | None = None
    """UID of the run record that it was made under; None for Jobs of the original, which has none."""
    deleting: bool = False
    ended: bool = True
    """Whether the cluster is through with it; one that failed after patience may still begin its work."""
    phase: JobPhase = JobPhase.RUNNING
    cause: Cause | None = None
    """Why it waits or failed."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """What its program reported of the output (``project_id``, ``readme_file_id``); empty when it reported none."""
    unheard: bool = False
    """Whether no pod of it is left that has ended, so that what its program reported can't be read."""
    warnings: tuple[str, ...] = ()
    """What its program wants the owner to know of a success."""
    volume: VolumeUse | None = None
    """How full its program found the output volume."""
    created: datetime | None = None
    """By the cluster's clock."""
    found: bool = False
    """Whether it stood there before this run, which only goes on from it: a revert leaves it."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What the run record says of one step."""

    attempt: int
    uid: str | None = None
    """UID of the Job made for this attempt; None until it is known to have been made."""
    retries: int = 0
    """How many attempts since the last start or restart were Lando's own idea."""
    interruptions: int = 0
    """How many more followed a node's orderly stop, which is not held against the step."""
    own_retries: int = 0
    """How many more were made because :attr:`PlannedStep.retries` allows them."""
    failed: int = 0
    """As the how manieth of its run the step failed for good, from 1; 0: it did not."""
    cause: Cause | None = None
    """Why it failed for good while others went on, without its log: that was told then, and the Job may go."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure that was decided; kept in the run record until its owner has been told."""

    step: str | None
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The run record: tells "never made" from "vanished", and counts the attempts."""

    uid: str
    version: str = ""
    """As which it was read: whoever changes it changes that very version."""
    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    failure: Failure | None = None
    quota_since: datetime | None = None
    """Since when a quota has kept the next objects from being made."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the cluster holds of one run at one moment."""

    record: RunRecord | None = None
    jobs: Mapping[str, ObservedJob] = field(default_factory=dict)
    """By step."""
    objects: frozenset[ObjectRef] = frozenset()
    """Everything with the run's labels that is not being deleted: Jobs, ConfigMaps, volumes, and those pods whose Job
    was deleted without them; not the record."""
    dying: frozenset[ObjectRef] = frozenset()
    """The same for what is being deleted, and live pods of Jobs that are no more."""
    condition: str | None = None
    """The sentence that was last shown to the owner as what the run waits for."""
    expired: bool = False
    """The run ended longer ago than its objects are kept."""
    archived: Mapping[str, int] = field(default_factory=dict)
    """The highest attempt of each step that left logs, where a record that went with a former life can't tell."""


@dataclass(frozen=True, kw_only=True)
class EnsureRecord:
    """Make the run record unless it is there."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """Write state, steps or both, in one update and only what differs; then send a progress notice."""

    state: RunState | None = None
    steps: Mapping[str, StepState] | None = None


@dataclass(frozen=True, kw_only=True)
class RecordAttempts:
    """Note the attempts that come next (UID unknown), or adopt those that are there, in one update of the record."""

    steps: Mapping[str, StepRecord]


@dataclass(frozen=True, kw_only=True)
class Create:
    """Make what is missing of a step's objects, the Job last as this attempt, and record the Job's UID."""

    step: str
    attempt: int = 1
    retries: int = 0
    interruptions: int = 0
    own_retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Make again what somebody deleted of what a Job needs that waits; never the Job itself."""

    step: str
    attempt: int
    refs: tuple[ObjectRef, ...]


@dataclass(frozen=True, kw_only=True)
class EndAttempt:
    """Keep in the run's history why an attempt ended that is about to be made again."""

    step: str
    ended: StepRecord
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Archive the logs of the Jobs among ``refs``, then delete all of them, Jobs first."""

    refs: tuple[ObjectRef, ...]


@dataclass(frozen=True, kw_only=True)
class AwaitGone:
    """Go on only when these objects, and the pods of the Jobs among them, are gone; else look again later."""

    refs: tuple[ObjectRef, ...]
    required: bool = True
    """If not, go on all the same when they take long."""


@dataclass(frozen=True, kw_only=True)
class DeleteRecord:
    """Remove the run record."""


@dataclass(frozen=True, kw_only=True)
class StoreOutput:
    """Write the ids of the output where the owner finds them."""

    ids: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class NoteFailure:
    """Keep a failure in the run record (None: forget it), so that its cause outlives a crash."""

    failure: Failure | None


@dataclass(frozen=True, kw_only=True)
class ReportError:
    """Tell the owner the cause; ``again`` when that may have been done, so that it is not said twice."""

    failure: Failure
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class SetCondition:
    """Show the owner what the run waits for; ``cause`` None takes the sentence back."""

    step: str
    cause: Cause | None


@dataclass(frozen=True, kw_only=True)
class Warn:
    """Tell the owner what a step that succeeded had to say."""

    step: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Nothing is to be done, and why."""

    reason: str


Action = (
    EnsureRecord
    | Write
    | RecordAttempts
    | Create
    | Restore
    | EndAttempt
    | Delete
    | AwaitGone
    | DeleteRecord
    | StoreOutput
    | NoteFailure
    | ReportError
    | SetCondition
    | Warn
    | Nothing
)


def fail(
    failure: Failure,
    steps: Mapping[str, StepState] | None = None,
    *,
    state: RunState | None = RunState.ERROR,
    kept: Mapping[str, StepRecord] | None = None,
    futile: Sequence[ObjectRef] = (),
    then: Sequence[Action] = (),
) -> list[Action]:
    """A failure: keep the cause, write the state (None: only the steps), tell the owner, forget the cause.

    ``kept`` is what the record has to know of it for longer, ``futile`` are the Jobs that could still begin work which
    nobody waits for any more, ``then`` follows when the owner was told, and again if a crash comes between.
    """
    return [
        NoteFailure(failure=failure),
        *([RecordAttempts(steps=kept)] if kept else []),
        Write(state=state, steps=steps),
        *([Delete(refs=tuple(futile))] if futile else []),
        ReportError(failure=failure),
        *then,
        NoteFailure(failure=None),
    ]


def failed_steps(steps: Mapping[str, StepState], names: Sequence[str]) -> dict[str, StepState]:
    """``steps`` with those of ``names`` marked as failed."""
    return {name: StepState.FAILED if name in names else state for name, state in steps.items()}
