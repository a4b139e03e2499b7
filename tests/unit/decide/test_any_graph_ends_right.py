"""Random graphs of Jobs, random ends, random crashes: what is begun, when, how often, and how the run ends.

The oracle knows nothing of plans: it reads off the model which Jobs must be complete before another may begin.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lando.decide import (
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
    ObjectRef,
    Observed,
    ObservedJob,
    Plan,
    RecordAttempts,
    ReportError,
    RunRecord,
    StepRecord,
    Write,
    decide,
)
from lando.phases.model import Entry, JobFile, Model, Phase, Resource, Settings
from lando.plans.phases import RESOURCES, plan_of
from lando.runs import Category, Cause, OnFailure, Run, RunState, StepState

MAP = ObjectRef("ConfigMap", "letters")


class CrashError(Exception):
    """The daemon died between two actions."""


class StillThereError(Exception):
    """An old Job is still going."""


@dataclass
class Job:
    uid: str
    attempt: int
    phase: JobPhase = JobPhase.RUNNING
    cause: Cause | None = None
    dying: bool = False
    created: int = 0


@dataclass
class World:
    """Cluster and owner: all that outlives a crash."""

    model: Model
    random: Random
    ends: dict[str, list[Cause]]
    """By Job: why its first attempts fail, one after the other; the next one succeeds."""
    infrastructure_retries: int = 0
    state: RunState = RunState.STARTING
    steps: dict[str, StepState] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    objects: set[ObjectRef] = field(default_factory=set)
    record: RunRecord | None = None
    told: list[Failure] = field(default_factory=list)
    complete: set[str] = field(default_factory=set)
    """Jobs that have succeeded and were not taken back."""
    begun: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    crashes_left: int = 10
    count: itertools.count[int] = field(default_factory=itertools.count)

    # -- the oracle -------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        self.before: dict[str, set[str]] = {}
        earlier: set[str] = set()
        for phase in self.model.phases:
            jobs = {entry.name: {job.name for job in entry.jobs} for entry in phase.entries}
            for entry in phase.entries:
                for job in entry.jobs:
                    self.before[job.name] = earlier.union(*(jobs[name] for name in entry.depends_on))
            earlier = earlier.union(*jobs.values())
        self.retries = {
            job.name: entry.retries for phase in self.model.phases for entry in phase.entries for job in entry.jobs
        }
        self.plan: Plan = replace(plan_of(self.model), infrastructure_retries=self.infrastructure_retries)
        self.steps = {step.name: StepState.PENDING for step in self.plan.steps}
        self.cap = self.model.settings.parallelization or 10**6

    def fails(self, name: str) -> bool:
        """Whether the Job fails for good when all that it may have is tried."""
        own, lost = self.retries[name], self.infrastructure_retries
        for cause in self.ends[name]:
            if cause.category is Category.INFRASTRUCTURE and not cause.lasting and lost:
                lost -= 1
            elif own and not cause.lasting:
                own -= 1
            else:
                return True
        return False

    def expected(self) -> dict[str, StepState]:
        """How the Jobs end when all that may go on does."""
        states: dict[str, StepState] = {}
        while len(states) < len(self.before):
            for name, before in self.before.items():
                if name not in states and all(one in states for one in before):
                    can = all(states[one] is StepState.COMPLETE for one in before)
                    states[name] = StepState.PENDING if not can else self.end_of(name)
        return states

    def end_of(self, name: str) -> StepState:
        return StepState.FAILED if self.fails(name) else StepState.COMPLETE

    # -- the daemon -------------------------------------------------------------------------------------------

    def observed(self) -> Observed:
        jobs = {
            name: ObservedJob(
                uid=job.uid,
                attempt=job.attempt,
                phase=job.phase,
                cause=job.cause,
                deleting=job.dying,
                created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=job.created),
            )
            for name, job in self.jobs.items()
        }
        refs = {ObjectRef("Job", name): job.dying for name, job in self.jobs.items()}
        return Observed(
            record=self.record,
            jobs=jobs,
            objects=frozenset({*self.objects, *(ref for ref, dying in refs.items() if not dying)}),
            dying=frozenset(ref for ref, dying in refs.items() if dying),
        )

    def look(self, *, may_crash: bool = True) -> None:
        run = Run(id=1, kind="phases", owner="ada", name="n", state=self.state, steps=self.steps)
        actions = decide(self.plan, run, self.observed(), run.intent)
        crash_at = self.random.randrange(len(actions)) if may_crash and self.crashes() else None
        try:
            for number, action in enumerate(actions):
                if number == crash_at:
                    raise CrashError
                self.do(action)
        except (CrashError, StillThereError):
            pass

    def crashes(self) -> bool:
        is_now = self.crashes_left > 0 and self.random.random() < 0.2
        self.crashes_left -= is_now
        return is_now

    def do(self, action: Action) -> None:
        match action:
            case EnsureRecord():
                self.record = self.record or RunRecord(uid="")
            case Write(state=state, steps=steps):
                self.write(state or self.state, dict(steps or self.steps))
            case RecordAttempts(steps=noted):
                assert self.record is not None
                self.record = replace(self.record, steps={**self.record.steps, **noted})
            case NoteFailure(failure=failure):
                self.record = replace(self.record or RunRecord(uid=""), failure=failure)
            case ReportError(failure=failure, again=again):
                if not (again and failure in self.told):
                    self.told.append(failure)
            case Create():
                self.create(action)
            case Delete(refs=refs):
                for ref in refs:
                    self.delete(ref)
            case AwaitGone(refs=refs):
                if any(ref.name in self.jobs for ref in refs if ref.kind == "Job"):
                    raise StillThereError
            case DeleteRecord():
                self.record = None
            case EndAttempt(step=step):
                assert self.jobs[step].phase is JobPhase.FAILED or self.jobs[step].dying

    def write(self, state: RunState, steps: dict[str, StepState]) -> None:
        at_work = [name for name, one in steps.items() if one is StepState.RUNNING and name != RESOURCES]
        assert len(at_work) <= self.cap, f"{at_work} are at work at once"
        if state is RunState.ERROR:
            assert not at_work, "the run ended while a step was at work"
        self.state, self.steps = state, steps

    def create(self, action: Create) -> None:
        name = action.step
        assert self.state is RunState.RUNNING
        if name == RESOURCES:
            self.objects.add(MAP)
            return
        assert self.steps[name] is StepState.RUNNING, f"{name} is begun though it is {self.steps[name].value}"
        assert not self.plan.step(name).reads or MAP in self.objects, f"{name} lacks its resources"
        assert self.before[name] <= self.complete, f"{name} begins before {self.before[name] - self.complete}"
        assert name not in self.complete, f"{name} runs again"
        assert name not in self.jobs, f"{name} has a Job already"
        if self.model.settings.on_failure is not OnFailure.CONTINUE:
            failed = [one for one, state in self.steps.items() if state is StepState.FAILED]
            assert not failed, f"{name} is begun after {failed} failed"
        unfinished = [one for one, job in self.jobs.items() if job.phase is JobPhase.RUNNING and not job.dying]
        assert len(unfinished) < self.cap, f"{name} is begun beside {unfinished}"
        self.begun.append(name)
        made = Job(uid=f"uid-{next(self.count)}", attempt=action.attempt, created=next(self.count))
        self.jobs[name] = made
        if self.crashes():
            raise CrashError  # before anybody knows its UID
        assert self.record is not None
        noted = StepRecord(attempt=action.attempt, uid=made.uid, retries=action.retries, own_retries=action.own_retries)
        self.record = replace(self.record, steps={**self.record.steps, name: noted})

    def delete(self, ref: ObjectRef) -> None:
        if ref.kind != "Job":
            self.objects.discard(ref)
        elif (job := self.jobs.get(ref.name)) is not None and not job.dying:
            assert job.phase is not JobPhase.RUNNING, f"{ref.name} is deleted while it is at work"
            self.deleted.append(ref.name)
            if self.model.settings.on_failure is OnFailure.REVERT and job.phase is JobPhase.COMPLETE:
                self.complete.discard(ref.name)
            job.dying = self.random.random() < 0.5
            if not job.dying:
                del self.jobs[ref.name]

    # -- the cluster ------------------------------------------------------------------------------------------

    def happen(self) -> bool:
        """One thing that happens in the cluster; False if nothing can."""
        running = [name for name, job in self.jobs.items() if job.phase is JobPhase.RUNNING and not job.dying]
        dying = [name for name, job in self.jobs.items() if job.dying]
        expiring = [name for name in self.jobs if self.steps[name] is StepState.FAILED and name not in dying]
        happenings = [partial(self.end, name) for name in running] + [partial(self.vanish, name) for name in dying]
        if self.state is RunState.RUNNING and self.random.random() < 0.3:
            happenings += [partial(self.vanish, name) for name in expiring]  # its ttlSecondsAfterFinished
        if happenings:
            self.random.choice(happenings)()
        return bool(happenings)

    def end(self, name: str) -> None:
        job, causes = self.jobs[name], self.ends[name]
        tried = self.begun.count(name)
        if tried <= len(causes):
            job.phase, job.cause = JobPhase.FAILED, causes[tried - 1]
        else:
            job.phase = JobPhase.COMPLETE
            self.complete.add(name)

    def vanish(self, name: str) -> None:
        del self.jobs[name]

    def go_on(self, looks: int = 400) -> None:
        """Until the run has ended, with looks that may be cut short after whatever happens."""
        for _ in range(looks):
            self.look()
            if self.state in (RunState.FINISHED, RunState.ERROR):
                break
            if not self.happen() or self.random.random() < 0.2:
                self.look()
        else:
            pytest.fail(f"the run never ends: {self.steps}")
        for _ in range(3):  # what the last look left undone is found again
            self.look(may_crash=False)
        self.jobs = {name: job for name, job in self.jobs.items() if not job.dying}


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Up to three phases of up to four entries, some of them directories; dependencies in any order of the file."""
    phases = []
    for index in range(draw(st.integers(1, 3))):
        entries = []
        many = draw(st.integers(1, 4))
        order = draw(st.permutations(range(many)))
        for number in range(many):
            name = f"e{index}{number}"
            count = draw(st.sampled_from([1, 1, 1, 2, 3]))
            jobs = tuple(
                JobFile(
                    path="f",
                    manifest={"metadata": {"name": f"{name}-{one}"}},
                    entry=name,
                    phase=index,
                    exploded=count > 1,
                )
                for one in range(count)
            )
            possible = [f"e{index}{other}" for other in range(many) if order[other] < order[number]]
            wanted = draw(st.sets(st.sampled_from(possible))) if possible else set()
            entries.append(
                Entry(
                    name=name,
                    job_path="f",
                    depends_on=tuple(sorted(wanted)),
                    retries=draw(st.sampled_from([0, 0, 1, 2])),
                    jobs=jobs,
                )
            )
        phases.append(Phase(index=index, name=f"p{index}", entries=tuple(entries)))
    resource = Resource(path="r", manifest={"kind": MAP.kind, "metadata": {"name": MAP.name}})
    return Model(
        path="m",
        settings=Settings(
            parallelization=draw(st.sampled_from([0, 1, 2, 3])), on_failure=draw(st.sampled_from(OnFailure))
        ),
        phases=tuple(phases),
        resources=(resource,) if draw(st.booleans()) else (),
    )


causes = st.builds(
    Cause,
    category=st.sampled_from(Category),
    sentence=st.sampled_from(["It exited with 1.", "The node was lost."]),
    log_tail=st.just("the end of its log"),
    lasting=st.sampled_from([False, False, False, True]),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    model = draw(models())
    often = draw(st.sampled_from([0, 1, 4]))  # so that many runs have no failure, or few
    ends = {
        job.name: draw(st.lists(causes, min_size=1, max_size=3)) if draw(st.integers(0, 9)) < often else []
        for job in model.jobs()
    }
    return World(
        model=model,
        random=Random(draw(st.integers(0, 2**32))),
        ends=ends,
        infrastructure_retries=draw(st.sampled_from([0, 2])),
    )


def check_the_end(world: World) -> None:
    expected = world.expected()
    failing = {name for name, state in expected.items() if state is StepState.FAILED}
    steps = {name: state for name, state in world.steps.items() if name != RESOURCES}
    policy = world.model.settings.on_failure
    assert world.state is (RunState.ERROR if failing else RunState.FINISHED)
    assert StepState.RUNNING not in steps.values()
    failed = [name for name, state in steps.items() if state is StepState.FAILED]
    if policy is OnFailure.CONTINUE or not failing:
        assert steps == expected
    elif policy is OnFailure.REVERT:
        assert world.jobs == {}, "a revert left Jobs"
        assert StepState.COMPLETE not in steps.values()
    else:
        assert failed
    for name in expected:
        assert world.begun.count(name) <= len(world.ends[name]) + 1
        if steps[name] is StepState.COMPLETE:
            assert world.begun.count(name) == len(world.ends[name]) + 1
    by_step = [failure.step for failure in world.told if failure.step is not None]
    assert sorted(by_step) == sorted(failed), "each failed step's cause is told once"
    assert sum(1 for failure in world.told if failure.step is None) <= 1
    if len(failed) > 1:
        summary = world.told[-1]
        assert summary.step is None
        assert summary.cause.sentence.startswith(f"{len(failed)} steps failed, {by_step[0]} first: ")
    if failing:
        assert world.record is not None
        assert world.record.failure is None


LIMITS = settings(max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@LIMITS
@given(worlds())
def test_any_graph_is_carried_out_in_order_within_its_cap_and_ends_as_its_jobs_do(world: World) -> None:
    world.go_on()
    check_the_end(world)


@LIMITS
@given(worlds())
def test_a_restart_does_what_failed_and_what_was_not_begun_and_nothing_twice(world: World) -> None:
    world.go_on()
    if world.state is RunState.FINISHED:
        return
    done, begun = set(world.complete), list(world.begun)
    for name, ends in world.ends.items():
        world.ends[name] = ends[: begun.count(name)]  # whatever was wrong has been mended
    world.state = RunState.RESTARTING
    world.told.clear()
    world.go_on()
    assert world.state is RunState.FINISHED
    assert set(world.steps.values()) == {StepState.COMPLETE}
    again = world.begun[len(begun) :]
    assert sorted(again) == sorted(set(world.before) - done)


def test_a_graph_of_500_jobs_is_carried_out_to_its_end() -> None:
    random = Random(500)
    phases = []
    for index in range(4):
        entries = []
        for number in range(125):
            name = f"e{index}-{number}"
            before = {random.randrange(number) for _ in range(random.choice([0, 0, 1, 3]))} if number else set()
            job = JobFile(path="f", manifest={"metadata": {"name": name}}, entry=name, phase=index)
            depends_on = tuple(f"e{index}-{one}" for one in sorted(before))
            entries.append(Entry(name=name, job_path="f", depends_on=depends_on, jobs=(job,)))
        phases.append(Phase(index=index, name=f"p{index}", entries=tuple(entries)))
    model = Model(path="m", settings=Settings(parallelization=8), phases=tuple(phases))
    world = World(model=model, random=random, ends={job.name: [] for job in model.jobs()})
    world.go_on(looks=2000)
    check_the_end(world)
    assert len(world.begun) == 500
