"""Events, repeats, losses and crashes in any order: the run ends right, and nothing is done twice or left behind."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lando.bespin import letters
from lando.decide import (
    Action,
    AwaitGone,
    Create,
    Delete,
    DeleteRecord,
    EnsureRecord,
    Failure,
    JobPhase,
    NoteFailure,
    ObjectRef,
    Observed,
    ObservedJob,
    RecordAttempts,
    ReportError,
    RunRecord,
    StepRecord,
    StoreOutput,
    Write,
    decide,
    intent_of,
)
from lando.messages import Command, Message
from lando.runs import Category, Cause, Run, RunState, StepState

CAUSES = {category: Cause(category=category, sentence=f"It failed for {category.value}.") for category in Category}
IDS = {"project_id": "p", "readme_file_id": "r"}
ENDED = (RunState.FINISHED, RunState.CANCELED)
PVC = "PersistentVolumeClaim"


class CrashError(Exception):
    """The daemon died between two actions."""


class StillThereError(Exception):
    """Old pods go on."""


@dataclass
class Job:
    uid: str
    attempt: int
    phase: JobPhase = JobPhase.RUNNING
    cause: Cause | None = None


@dataclass
class World:
    """API and cluster: what survives a crash of the daemon."""

    state: RunState = RunState.AUTHORIZED
    letter: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    others: set[ObjectRef] = field(default_factory=set)
    pods: set[tuple[str, str]] = field(default_factory=set)
    """Pods at work, (step, UID of their Job); they may outlive the Job."""
    record: RunRecord | None = None
    errors: list[Failure] = field(default_factory=list)
    errors_before: int = 0
    """How many errors there were when the run was last put to work."""
    errors_at_end: int = 0
    """How many there were when its state last became Error: those after tell of this end."""
    output: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Steps whose Job completed since the run was last started or restarted."""


class Machine(RuleBasedStateMachine):
    make: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.uids = itertools.count(1)
        self.queue: list[Message] = []
        self.said: list[Message] = []
        self.plan = self.make.plan()

    # -- the daemon -------------------------------------------------------------------------------------------

    def run_(self) -> Run:
        world = self.world
        steps = letters.steps_of(world.state, world.letter)
        return Run(id=42, kind="cwl", owner="ada", name="n", state=world.state, steps=steps)

    def observe(self) -> Observed:
        world = self.world
        jobs = {
            step: ObservedJob(
                uid=job.uid,
                attempt=job.attempt,
                phase=job.phase,
                cause=job.cause,
                ids=IDS if step == "save_output" and job.phase is JobPhase.COMPLETE else {},
            )
            for step, job in world.jobs.items()
        }
        uids = {job.uid for job in world.jobs.values()}
        return Observed(
            record=world.record,
            jobs=jobs,
            objects=frozenset({*world.others, *(ObjectRef("Job", step) for step in world.jobs)}),
            dying=frozenset(ObjectRef("Job", step) for step, uid in world.pods if uid not in uids),
        )

    def handle(self, message: Message | None, crash_after: int | None = None) -> bool:
        """Whether the message was settled."""
        run = self.run_()
        intent = intent_of(message, run) if message else run.intent
        actions = decide(self.plan, run, self.observe(), intent)
        try:
            for number, action in enumerate(actions):
                if number == crash_after:
                    raise CrashError
                self.do(action)
        except (CrashError, StillThereError):
            return False
        self.check_at_rest()
        return True

    def check_at_rest(self) -> None:
        """What holds whenever a message was settled."""
        world = self.world
        if world.state is RunState.ERROR:
            assert len(world.errors) > world.errors_before, "an error without a cause"
        if world.state in ENDED:
            assert not world.jobs, "Jobs are left"
            assert not world.others, "objects are left"
            assert world.record is None, "the record is left"

    def do(self, action: Action) -> None:
        world = self.world
        match action:
            case EnsureRecord():
                world.record = world.record or RunRecord(uid="record")
            case Write(state=state, steps=steps):
                if state is not None:
                    if state is RunState.RUNNING and world.state is not RunState.RUNNING:
                        world.errors_before = len(world.errors)
                    if state is RunState.ERROR and world.state is not RunState.ERROR:
                        world.errors_at_end = len(world.errors)
                    world.state = state
                if steps is not None:
                    world.letter = letters.letter_of(steps)
                if world.letter in ("", "V"):
                    world.done = set()
            case RecordAttempts(steps=steps):
                assert world.record is not None
                world.record = RunRecord(
                    uid="record", steps={**world.record.steps, **steps}, failure=world.record.failure
                )
            case Create(step=step, attempt=attempt, retries=retries):
                self.create(step, attempt, retries)
            case Delete(refs=refs):
                for ref in refs:
                    self.delete(ref)
            case AwaitGone(refs=refs, required=required):
                uids = {job.uid for job in world.jobs.values()}
                names = {ref.name for ref in refs}
                assert not names & set(world.jobs), "waits for what nobody deleted"
                if required and any(step in names and uid not in uids for step, uid in world.pods):
                    raise StillThereError
            case DeleteRecord():
                world.record = None
            case StoreOutput(ids=ids):
                world.output = dict(ids)
            case NoteFailure(failure=failure):
                if failure is not None or world.record is not None:
                    world.record = RunRecord(
                        uid="record", steps=world.record.steps if world.record else {}, failure=failure
                    )
            case ReportError(failure=failure, again=again):
                known = world.errors[world.errors_at_end :] if world.state is RunState.ERROR else world.errors
                if not (again and failure in known):
                    world.errors.append(failure)

    def create(self, name: str, attempt: int, retries: int) -> None:
        world, step = self.world, self.plan.step(name)
        assert world.state is RunState.RUNNING, f"{name} was made in state {world.state}"
        assert all(ref in world.others for ref in step.reads), f"{name} was made without what it reads"
        assert self.run_().steps[name] is not StepState.COMPLETE, f"{name} was made although it is complete"
        world.others |= {*step.makes, *step.own}
        if step.job is None:
            return
        assert name not in world.done, f"{name} runs again although it completed"
        assert not any(other == name for other, _ in world.pods), f"two attempts of {name} are at work"
        assert name not in world.jobs, f"{name} was made while its former Job is there"
        job = Job(uid=f"uid-{next(self.uids)}", attempt=attempt)
        world.jobs[name] = job
        world.pods.add((name, job.uid))
        assert world.record is not None, "the record is made first"
        records = {**world.record.steps, name: StepRecord(attempt=attempt, uid=job.uid, retries=retries)}
        world.record = replace(world.record, steps=records)

    def delete(self, ref: ObjectRef) -> None:
        if ref.kind == "Job":
            self.world.jobs.pop(ref.name, None)
        else:
            self.world.others.discard(ref)

    # -- the users --------------------------------------------------------------------------------------------

    def say(self, command: Command) -> None:
        message = Message(command=command, run_id=42)
        self.queue.append(message)
        self.said.append(message)

    def start(self) -> None:
        self.world.state = RunState.STARTING
        self.say(Command.START)

    @precondition(lambda self: self.world.state in (RunState.STARTING, RunState.RUNNING, RunState.RESTARTING))
    @rule()
    def cancel(self) -> None:
        self.world.state = RunState.CANCELING
        self.say(Command.CANCEL)

    @precondition(lambda self: self.world.state in (RunState.ERROR, RunState.CANCELED))
    @rule()
    def restart(self) -> None:
        self.world.state = RunState.RESTARTING
        self.say(Command.RESTART)

    # -- the cluster ------------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        return sorted(step for step, job in self.world.jobs.items() if job.phase is JobPhase.RUNNING)

    def end(self, step: str, phase: JobPhase, cause: Cause | None = None) -> None:
        job = self.world.jobs[step]
        job.phase, job.cause = phase, cause
        if cause is not CAUSES[Category.INFRASTRUCTURE]:  # on a lost node the pod may well be at work
            self.world.pods.discard((step, job.uid))
        if phase is JobPhase.COMPLETE:
            self.world.done.add(step)
        self.say(Command.STEP_CHANGED)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(self.running())), JobPhase.COMPLETE)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), category=st.sampled_from(Category))
    def fail(self, data: st.DataObject, category: Category) -> None:
        self.end(data.draw(st.sampled_from(self.running())), JobPhase.FAILED, CAUSES[category])

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def somebody_deletes_a_job(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self.running()))
        del self.world.jobs[step]
        self.say(Command.STEP_CHANGED)

    @rule()
    def old_pods_end(self) -> None:
        uids = {job.uid for job in self.world.jobs.values()}
        self.world.pods = {(step, uid) for step, uid in self.world.pods if uid in uids}

    # -- deliveries -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.queue)
    @rule(data=st.data(), crash_after=st.none() | st.integers(0, 12))
    def deliver(self, data: st.DataObject, crash_after: int | None) -> None:
        message = data.draw(st.sampled_from(self.queue))
        if self.handle(message, crash_after):
            self.queue.remove(message)

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def deliver_what_was_said_before(self, data: st.DataObject) -> None:
        """A repeat of a report; repeats of commands are only harmless as far as the state tells them from new ones."""
        message = data.draw(st.sampled_from(self.said))
        state = self.world.state
        if message.command is Command.RESTART and state in (RunState.ERROR, RunState.CANCELED):
            return
        if message.command is Command.CANCEL and state is not RunState.CANCELING:
            return
        self.handle(message)

    @initialize(steps=st.integers(0, 5))
    def begin(self, steps: int) -> None:
        """Any step may be the one at which things begin to go wrong."""
        self.start()
        self.go_on(steps)

    @precondition(lambda self: self.world.state not in ENDED)
    @rule(steps=st.integers(1, 5))
    def go_on(self, steps: int) -> None:
        """Some steps of undisturbed progress, so that late states are met too."""
        for number in range(steps):
            self.old_pods_end()
            while self.queue:
                message = self.queue[0]
                if not self.handle(message):
                    self.old_pods_end()
                    assert self.handle(message), "an undisturbed message was not settled"
                self.queue.remove(message)
            if number < steps - 1:
                for step in self.running():
                    self.end(step, JobPhase.COMPLETE)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), crash_after=st.integers(0, 8), category=st.sampled_from(Category))
    def fail_and_crash(self, data: st.DataObject, crash_after: int, category: Category) -> None:
        """The daemon dies while it deals with a failure; the next one looks at the run when it starts."""
        self.end(data.draw(st.sampled_from(self.running())), JobPhase.FAILED, CAUSES[category])
        self.handle(self.queue[-1], crash_after)
        self.handle(None)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), crash_after=st.integers(0, 8))
    def complete_and_crash(self, data: st.DataObject, crash_after: int) -> None:
        """The daemon dies in the middle of a transition."""
        self.end(data.draw(st.sampled_from(self.running())), JobPhase.COMPLETE)
        self.handle(self.queue[-1], crash_after)

    @precondition(lambda self: self.world.state in (RunState.ERROR, RunState.CANCELED))
    @rule(directly=st.booleans(), crash_after=st.none() | st.integers(0, 12))
    def restart_now(self, directly: bool, crash_after: int | None) -> None:
        """A restart by the API, or a message that somebody published directly."""
        if directly:
            self.say(Command.RESTART)
        else:
            self.restart()
        if self.handle(self.queue[-1], crash_after):
            self.queue.pop()
            assert self.world.state is RunState.RUNNING, "a restart made no new attempt"

    @precondition(lambda self: self.world.state not in ENDED)
    @rule(crash_after=st.none() | st.integers(0, 12))
    def cancel_now(self, crash_after: int | None) -> None:
        """A cancel that somebody published directly."""
        self.say(Command.CANCEL)
        if self.handle(self.queue[-1], crash_after):
            self.queue.pop()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.queue.remove(data.draw(st.sampled_from(self.queue)))

    @rule(crash_after=st.none() | st.integers(0, 12))
    def resync(self, crash_after: int | None) -> None:
        self.handle(None, crash_after)

    # -- what holds -------------------------------------------------------------------------------------------

    @invariant()
    def no_step_is_at_work_twice(self) -> None:
        steps = [step for step, _ in self.world.pods]
        assert len(steps) == len(set(steps))

    def teardown(self) -> None:
        world = self.world
        for _ in range(60):
            self.old_pods_end()
            self.handle(None)
            for step in self.running():
                self.end(step, JobPhase.COMPLETE)
            self.old_pods_end()
            before = repr(world)
            self.handle(None)
            if repr(world) == before and not self.running():
                break
        else:
            pytest.fail(f"the run never comes to rest: {world}")
        assert world.state in (*ENDED, RunState.ERROR, RunState.AUTHORIZED), world
        self.check_at_rest()
        if world.state is RunState.FINISHED:
            assert world.output == IDS


def test_any_interleaving_of_events_repeats_losses_and_crashes_ends_right(make: Any) -> None:
    machine = type("MachineWithPlan", (Machine,), {"make": make})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
