"""What is found wrong between the API's runs and the cluster's objects, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from lando.bespin import letters
from lando.config import RetentionSettings
from lando.decide import (
    Failure,
    JobPhase,
    Nothing,
    ObjectRef,
    Observed,
    ObservedJob,
    Plan,
    PlannedStep,
    RunRecord,
    StepRecord,
    decide,
)
from lando.k8s.findings import Finding, Trouble, findings, is_expired
from lando.k8s.holdings import HeldJob, Holding
from lando.runs import Category, Cause, Run, RunState, RunSummary

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
RETENTION = RetentionSettings()
LONG_AGO = NOW - timedelta(days=8)
JOB = ObjectRef("Job", "run-workflow-1-ada")
ORPHAN = ObjectRef("Pod", "run-workflow-1-ada-x7k2p")
VOLUME = ObjectRef("PersistentVolumeClaim", "job-data-1-ada")
FAILURE = Failure(step="run_workflow", cause=Cause(category=Category.USER, sentence="It exited with 3."))


def summary(letters_: str, **changes: Any) -> RunSummary:
    state = letters.state_of(letters_[0])
    return RunSummary(id=1, state=state, steps=letters.steps_of(state, letters_[1:]), changed=NOW, **changes)


def holding(
    *,
    job: HeldJob | None = None,
    noted: str | None = None,
    failure: Failure | None = None,
    is_recorded: bool = True,
    volume: bool = True,
) -> Holding:
    steps = {} if noted is None else {"run_workflow": StepRecord(attempt=1, uid=noted or None)}
    objects = {VOLUME: "v"} if volume else {}
    if job is not None and not job.is_going:
        objects[JOB] = job.uid
    return Holding(
        jobs=[job] if job else [],
        objects=objects,
        steps={JOB: "run_workflow"} if JOB in objects else {},
        record=RunRecord(uid="r", steps=steps, failure=failure) if is_recorded else None,
    )


def found(held: Holding | None, run: RunSummary | None, **changes: Any) -> Finding | None:
    among = findings(
        {1: held} if held else {}, {1: run} if run else {}, **{"now": NOW, "retention": RETENTION, **changes}
    )
    assert len(among) <= 1
    return among[0] if among else None


AT_WORK = HeldJob(name=JOB.name, uid="u")


@pytest.mark.parametrize(
    ("held", "run", "trouble", "words"),
    [
        (None, summary("S"), Trouble.NOT_BEGUN, "The start that was asked for"),
        (holding(), summary("rR"), Trouble.NOT_BEGUN, "The restart that was asked for"),
        (holding(job=AT_WORK), summary("c"), Trouble.NOT_BEGUN, "The cancel that was asked for"),
        (holding(), summary("R"), Trouble.STALLED, "none of its steps is"),
        (None, summary("RR"), Trouble.STALLED, "Step run_workflow has not begun"),
        (holding(job=AT_WORK, is_recorded=False), summary("RR"), Trouble.STALLED, "has not begun, by its record"),
        (holding(job=AT_WORK, noted=""), summary("RR"), Trouble.STALLED, "has not begun, by its record"),
        (holding(noted="u"), summary("RR"), Trouble.STALLED, "The Job of step run_workflow is gone"),
        (
            holding(job=HeldJob(name=JOB.name, uid="another"), noted="u"),
            summary("RR"),
            Trouble.STALLED,
            "The Job of step run_workflow is gone",
        ),
        (
            holding(job=HeldJob(name=JOB.name, uid="u", has_ended=True), noted="u"),
            summary("RR"),
            Trouble.STALLED,
            "has ended, and the run has not gone on",
        ),
        (
            holding(job=HeldJob(name=JOB.name, uid="u", is_going=True), noted="u"),
            summary("RR"),
            Trouble.STALLED,
            "is being deleted by somebody else",
        ),
        (holding(job=AT_WORK, noted="u"), summary("Ro"), Trouble.STALLED, "Step organize_output has not begun"),
        (holding(failure=FAILURE), summary("ER"), Trouble.UNTOLD, "may not have been told why"),
        (holding(volume=False), summary("C"), Trouble.LEFTOVER, "It is Canceled and left the run record."),
        (holding(job=AT_WORK), summary("F"), Trouble.LEFTOVER, "left 1 Job, 1 volume, the run record."),
        (holding(), summary("D"), Trouble.LEFTOVER, "It is Deleted"),
        (holding(), summary("A"), Trouble.UNEXPECTED, "It is Authorized, and yet"),
        (holding(), None, Trouble.UNKNOWN, "The API knows no such run, and yet there is 1 volume, the run record."),
    ],
)
def test_what_does_not_fit_is_found(held: Holding | None, run: RunSummary | None, trouble: Trouble, words: str) -> None:
    finding = found(held, run)
    assert finding is not None
    assert finding.trouble is trouble
    assert words in finding.wrong
    assert finding.needs_a_look is (trouble not in (Trouble.UNKNOWN, Trouble.UNEXPECTED))


@pytest.mark.parametrize(
    ("held", "run"),
    [
        (holding(job=AT_WORK, noted="u"), summary("RR")),  # at work: the watcher tells of its end
        (holding(), summary("ER")),  # failed, told, and kept for a restart
        (None, summary("S", held=True)),  # waits for its turn
        (holding(), summary("rR", held=True)),
        (holding(job=AT_WORK, noted="u"), summary("ER")),
        (None, summary("F")),
        (None, summary("N")),
        (Holding(), None),  # all of it is going already
        (Holding(jobs=[HeldJob(name="x", uid="u", is_going=True)]), summary("C")),
    ],
)
def test_what_fits_is_left_in_peace(held: Holding | None, run: RunSummary) -> None:
    assert found(held, run) is None


def test_a_failed_run_is_swept_once_it_was_kept_long_enough() -> None:
    run = summary("ER")
    assert found(holding(), run, now=NOW + timedelta(seconds=RETENTION.failed_s)) is None
    finding = found(holding(), run, now=NOW + timedelta(seconds=RETENTION.failed_s + 1))
    assert finding is not None
    assert finding.trouble is Trouble.LEFTOVER


def test_a_finished_run_is_kept_where_the_site_says_so() -> None:
    keep = RetentionSettings(finished_s=60)
    assert found(holding(), summary("F"), retention=keep) is None
    assert found(holding(), summary("F"), retention=keep, now=NOW + timedelta(seconds=61)) is not None


def test_the_rest_of_a_complete_step_is_found_while_the_next_is_at_work() -> None:
    held = holding(job=AT_WORK, noted="u")
    held.steps[ObjectRef("ConfigMap", "stage-data-1-ada")] = "stage_data"
    finding = found(held, summary("RR"))
    assert finding is not None
    assert (finding.trouble, finding.wrong) == (
        Trouble.LEFTOVER,
        "Objects of its complete steps are left: stage_data.",
    )


def test_a_pod_without_its_job_is_found_while_another_is_at_work() -> None:
    held = holding(job=AT_WORK, noted="u")
    held.objects[ORPHAN] = "p"
    held.steps[ORPHAN] = "run_workflow"
    finding = found(held, summary("RR"))
    assert finding is not None
    assert (finding.trouble, finding.wrong) == (
        Trouble.LEFTOVER,
        "Pods are left whose Job somebody deleted without them: run-workflow-1-ada-x7k2p.",
    )


@pytest.mark.parametrize(
    ("connection", "held", "others", "found"),
    [
        (2, {}, {1: 1, 2: 2}, [2]),
        (None, {}, {1: 1, 2: 2}, []),  # whose they are can't be known
        (None, {}, {2: 2, 3: 2}, [2, 3]),
        (None, {}, {1: None, 2: None}, [1, 2]),  # an API that does not say
        (None, {1: holding()}, {1: 1, 2: 2, 3: 1}, [1, 3]),  # those of the one that has objects here
        (2, {1: holding()}, {1: 1, 2: 2}, [1, 2]),
    ],
)
def test_of_several_landos_each_takes_only_its_own_runs(
    connection: int | None, held: dict[int, Holding], others: dict[int, int | None], found: list[int]
) -> None:
    runs = {n: RunSummary(id=n, state=RunState.STARTING, steps={}, connection=c) for n, c in others.items()}
    among = findings(held, runs, now=NOW, retention=RETENTION, connection=connection)
    assert [finding.run_id for finding in among] == found


# --- the same runs, as decide sees them ---------------------------------------------------------------------------

PLAN = Plan(
    steps=(
        PlannedStep(name="create_volume", makes=(VOLUME,)),
        *(
            PlannedStep(
                name=step,
                needs=(before,),
                job=ObjectRef("Job", f"{step}-job"),
                own=(ObjectRef("ConfigMap", f"{step}-map"),),
                makes=(VOLUME,) if step == "stage_data" else (),
            )
            for before, step in (
                ("create_volume", "stage_data"),
                ("stage_data", "run_workflow"),
                ("run_workflow", "organize_output"),
                ("organize_output", "save_output"),
                ("save_output", "record_output_project"),
            )
        ),
    ),
    record=ObjectRef("ConfigMap", "lando-run-1"),
)
WITH_JOBS = [step for step in PLAN.steps if step.job]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[RunSummary, Holding, Observed]:
    """A run and its objects, as a list tells of them and as a look at the run does."""
    state = draw(st.sampled_from(RunState))
    changed = draw(st.sampled_from((NOW, LONG_AGO, None)))
    letter = draw(st.sampled_from(("", *letters.STEPS.values())))
    is_held = draw(st.sampled_from((False, False, True)))
    run = RunSummary(id=1, state=state, steps=letters.steps_of(state, letter), changed=changed, held=is_held)
    held, jobs, live, dying = Holding(), {}, set(), set()
    records = {}
    for step in WITH_JOBS:
        assert step.job is not None
        uid = f"uid-{step.name}"
        if draw(st.booleans()):
            noted = draw(st.sampled_from((uid, "another", None)))
            records[step.name] = StepRecord(attempt=1, uid=noted)
        if draw(st.sampled_from((False, False, True))):
            phase = draw(st.sampled_from((JobPhase.RUNNING, JobPhase.COMPLETE, JobPhase.FAILED)))
            is_going = draw(st.booleans())
            jobs[step.name] = ObservedJob(uid=uid, phase=phase, deleting=is_going)
            held.jobs.append(
                HeldJob(name=step.job.name, uid=uid, has_ended=phase is not JobPhase.RUNNING, is_going=is_going)
            )
            (dying if is_going else live).add(step.job)
        if draw(st.sampled_from((False, False, True))):
            live.add(step.own[0])
    if draw(st.booleans()):
        live.add(VOLUME)
    if draw(st.sampled_from((False, False, True))):
        live.add(ORPHAN)
    owners = {ref: step.name for step in WITH_JOBS for ref in (step.job, *step.own) if ref is not None}
    held.objects = dict.fromkeys(live, "u")
    held.steps = {ref: owners[ref] for ref in live if ref in owners}
    if draw(st.booleans()):
        held.record = RunRecord(uid="r", steps=records, failure=draw(st.sampled_from((None, None, FAILURE))))
    observed = Observed(
        record=held.record,
        jobs=jobs,
        objects=frozenset(live),
        dying=frozenset(dying),
        expired=is_expired(state, changed, NOW, RETENTION),
    )
    return run, held, observed


@given(worlds())
def test_found_is_exactly_what_a_look_would_do_something_about(world: tuple[RunSummary, Holding, Observed]) -> None:
    listed, held, observed = world
    run = Run(id=1, kind="cwl", owner="ada", name="x", state=listed.state, steps=listed.steps, held=listed.held)
    actions = decide(PLAN, run, observed, run.intent)
    has_work = not all(isinstance(action, Nothing) for action in actions)
    finding = found(held, listed)
    event(f"{listed.state.value}: {finding.trouble.value if finding else 'fits'}")
    # A volume that no step needs any more bears no step's name; it goes with the next transition.
    only_volumes = listed.state is RunState.RUNNING and not has_work_beside_volumes(run, observed)
    assert (finding is not None and finding.needs_a_look) == (has_work and not only_volumes), actions


def has_work_beside_volumes(run: Run, observed: Observed) -> bool:
    without = observed.objects - {VOLUME}
    trimmed = Observed(
        record=observed.record, jobs=observed.jobs, objects=without, dying=observed.dying, expired=observed.expired
    )
    return not all(isinstance(action, Nothing) for action in decide(PLAN, run, trimmed, run.intent))
