"""What the cluster lost is done again, a limited number of times; what a user or a limit ended is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lando.decide import (
    AwaitGone,
    Create,
    Delete,
    EndAttempt,
    JobPhase,
    NoteFailure,
    ObjectRef,
    RecordAttempts,
    ReportError,
    Restore,
    SetCondition,
    StepRecord,
    Write,
    decide,
)
from lando.decide.retries import INTERRUPTIONS
from lando.runs import Category, Cause, Intent

STEP = "run_workflow"
JOB = ObjectRef("Job", STEP)
EVICTED = Cause(category=Category.INFRASTRUCTURE, sentence="The pod was evicted.", advice="Nothing is wrong with it.")
STOPPED = replace(EVICTED, sentence="The node was stopped.", interrupted=True)


def decided(make: Any, cause: Cause, record: StepRecord, **changes: Any) -> list[Any]:
    job = make.job(STEP, JobPhase.FAILED, cause=cause, attempt=record.attempt, uid=record.uid)
    observed = make.observed({STEP: job}, recorded={STEP: record})
    return decide(make.plan(**changes), make.run("R", "R"), observed, Intent.NONE)


def only(actions: list[Any], kind: type) -> Any:
    (found,) = (action for action in actions if isinstance(action, kind))
    return found


def test_a_lost_attempt_is_ended_in_the_history_then_noted_then_made_again(make: Any) -> None:
    first = StepRecord(attempt=1, uid="uid-1")
    actions = decided(make, EVICTED, first)
    second = StepRecord(attempt=2, retries=1)
    assert actions[:4] == [
        EndAttempt(step=STEP, ended=first, cause=EVICTED),
        RecordAttempts(steps={STEP: second}),
        Delete(refs=(JOB,)),
        AwaitGone(refs=(JOB,)),
    ]
    assert only(actions, Create) == Create(step=STEP, attempt=2, retries=1)
    assert "(retry 1 of 2)" in only(actions, SetCondition).cause.advice


@pytest.mark.parametrize("category", [Category.USER, Category.RESOURCES, Category.IMAGE])
def test_what_the_cluster_did_not_lose_is_never_done_again(make: Any, category: Category) -> None:
    cause = Cause(category=category, sentence="It is so.", advice="Do that.")
    actions = decided(make, cause, StepRecord(attempt=2, uid="uid-2", retries=1))
    assert only(actions, ReportError).failure.cause == cause
    assert not any(isinstance(action, Create) for action in actions)


def test_what_a_new_attempt_would_only_wait_for_again_is_not_done_again(make: Any) -> None:
    cause = Cause(category=Category.INFRASTRUCTURE, sentence="The Secret is missing.", advice="Make it.", lasting=True)
    actions = decided(make, cause, StepRecord(attempt=2, uid="uid-2", retries=1))
    assert only(actions, ReportError).failure.cause == cause
    assert not any(isinstance(action, Create) for action in actions)


def test_the_job_of_a_step_that_failed_after_patience_goes_once_the_run_is_in_error(make: Any) -> None:
    cause = Cause(category=Category.RESOURCES, sentence="No node has room.", advice="Ask for less.")
    job = make.job(STEP, JobPhase.FAILED, cause=cause, attempt=1, uid="uid-1", ended=False)
    observed = make.observed({STEP: job}, recorded={STEP: StepRecord(attempt=1, uid="uid-1")})
    actions = decide(make.plan(), make.run("R", "R"), observed, Intent.NONE)
    assert [type(action) for action in actions] == [NoteFailure, Write, Delete, ReportError, NoteFailure]
    assert only(actions, Delete).refs == (JOB,)

    failed = replace(observed, record=replace(observed.record, failure=only(actions, ReportError).failure))
    after_a_crash = decide(make.plan(), make.run("E", "R"), failed, Intent.NONE)
    assert [type(action) for action in after_a_crash] == [Delete, ReportError, NoteFailure]


def test_a_job_that_has_failed_by_itself_is_kept(make: Any) -> None:
    cause = Cause(category=Category.USER, sentence="It ended with exit code 1.", advice="Look at its log.")
    actions = decided(make, cause, StepRecord(attempt=1, uid="uid-1"))
    assert not any(isinstance(action, Delete) for action in actions)


@pytest.mark.parametrize("allowed", [0, 1, 2, 5])
def test_after_the_limit_the_last_cause_is_told_with_the_number_of_tries(make: Any, allowed: int) -> None:
    record = StepRecord(attempt=1, uid="uid")
    for attempt in range(1, allowed + 1):
        record = replace(only(decided(make, EVICTED, record, retries=allowed), RecordAttempts).steps[STEP], uid="uid")
        assert (record.attempt, record.retries) == (attempt + 1, attempt)
    cause = only(decided(make, EVICTED, record, retries=allowed), ReportError).failure.cause
    assert cause.sentence == EVICTED.sentence
    assert cause.category is Category.INFRASTRUCTURE
    assert (f"lost the step {allowed + 1} times" in cause.advice) == (allowed > 0)


def test_an_orderly_stop_costs_no_retry_but_does_not_go_on_for_ever(make: Any) -> None:
    record = StepRecord(attempt=1, uid="uid", retries=1)
    for stop in range(1, INTERRUPTIONS + 1):
        actions = decided(make, STOPPED, record)
        assert "not counted" in only(actions, SetCondition).cause.advice
        record = replace(only(actions, RecordAttempts).steps[STEP], uid="uid")
        assert (record.attempt, record.retries, record.interruptions) == (stop + 1, 1, stop)
        assert only(actions, Create).interruptions == stop
    following = only(decided(make, STOPPED, record), RecordAttempts).steps[STEP]
    assert (following.retries, following.interruptions) == (2, INTERRUPTIONS)
    actions = decided(make, STOPPED, replace(following, uid="uid"))
    assert f"lost the step {INTERRUPTIONS + 3} times" in only(actions, ReportError).failure.cause.advice


@pytest.mark.parametrize("phase", [JobPhase.RUNNING, JobPhase.WAITING])
def test_an_attempt_made_but_not_noted_keeps_its_counts(make: Any, phase: JobPhase) -> None:
    noted = StepRecord(attempt=3, retries=1, interruptions=1)
    observed = make.observed({STEP: make.job(STEP, phase, attempt=3, uid="uid-3")}, recorded={STEP: noted})
    actions = decide(make.plan(), make.run("R", "R"), observed, Intent.NONE)
    assert only(actions, RecordAttempts).steps == {STEP: replace(noted, uid="uid-3")}


@pytest.mark.parametrize("noted", [{}, {STEP: StepRecord(attempt=1)}], ids=["not noted", "to be made"])
@pytest.mark.parametrize("phase", [JobPhase.RUNNING, JobPhase.COMPLETE])
def test_a_job_of_a_former_life_that_comes_late_is_not_adopted(make: Any, noted: Any, phase: JobPhase) -> None:
    """Made by a lando that was no longer the active one, after the run was canceled and restarted."""
    job = make.job(STEP, phase, record_uid="uid-former-record")
    actions = decide(make.plan(), make.run("R", "R"), make.observed({STEP: job}, recorded=noted), Intent.NONE)
    assert [action for action in actions if isinstance(action, Delete | AwaitGone | Create)] == [
        Delete(refs=(JOB,)),
        AwaitGone(refs=(JOB,)),
        Create(step=STEP),
    ]
    ours = make.job(STEP, phase, record_uid="uid-record")
    actions = decide(make.plan(), make.run("R", "R"), make.observed({STEP: ours}, recorded=noted), Intent.NONE)
    assert not any(isinstance(action, Create) and action.step == STEP for action in actions)


@pytest.mark.parametrize("phase", [JobPhase.RUNNING, JobPhase.COMPLETE])
def test_a_job_in_the_place_of_the_recorded_one_is_not_taken_for_it(make: Any, phase: JobPhase) -> None:
    recorded = StepRecord(attempt=1, uid="uid-recorded")
    observed = make.observed({STEP: make.job(STEP, phase, uid="uid-of-another")}, recorded={STEP: recorded})
    actions = decide(make.plan(), make.run("R", "R"), observed, Intent.NONE)
    assert only(actions, EndAttempt).ended == recorded
    assert [action for action in actions if isinstance(action, Delete | AwaitGone | Create)] == [
        Delete(refs=(JOB,)),
        AwaitGone(refs=(JOB,)),
        Create(step=STEP, attempt=2, retries=1),
    ]


def test_a_vanished_job_is_ended_in_the_history_by_what_the_record_knows(make: Any) -> None:
    record = StepRecord(attempt=2, uid="uid-gone", retries=1)
    actions = decide(make.plan(), make.run("R", "R"), make.observed(recorded={STEP: record}), Intent.NONE)
    ended = only(actions, EndAttempt)
    assert (ended.ended, ended.cause.category) == (record, Category.INFRASTRUCTURE)
    assert "gone" in ended.cause.sentence


def test_what_a_waiting_job_needs_is_made_again(make: Any) -> None:
    job = make.job("stage_data", JobPhase.WAITING, cause=EVICTED, attempt=2)
    observed = make.observed({"stage_data": job})
    lost = replace(observed, objects=frozenset({make.job_ref("stage_data")}))
    actions = decide(make.plan(), make.run("R", "S"), lost, Intent.NONE)
    volume = ObjectRef("PersistentVolumeClaim", "job-data")
    assert only(actions, Restore) == Restore(step="stage_data", attempt=2, refs=(make.map_ref("stage_data"), volume))

    going = replace(lost, dying=frozenset({volume, make.map_ref("stage_data")}))
    for nothing_to_make in (observed, going):
        actions = decide(make.plan(), make.run("R", "S"), nothing_to_make, Intent.NONE)
        assert not any(isinstance(action, Restore) for action in actions)


def test_an_orphaned_pod_is_removed_before_its_step_is_made_again(make: Any) -> None:
    orphan = ObjectRef("Pod", "run-workflow-x7k2p")
    record = StepRecord(attempt=1, uid="uid-gone")
    observed = make.observed(recorded={STEP: record}, dying=frozenset({JOB}))
    observed = replace(observed, objects=observed.objects | {orphan})
    actions = decide(make.plan(), make.run("R", "R"), observed, Intent.NONE)
    assert [action for action in actions if isinstance(action, EndAttempt | Delete | AwaitGone | Create)] == [
        only(actions, EndAttempt),
        Delete(refs=(orphan,)),
        AwaitGone(refs=(JOB,)),
        AwaitGone(refs=(JOB,)),
        Create(step=STEP, attempt=2, retries=1),
    ]


@pytest.mark.parametrize(("state", "letter"), [("R", "R"), ("C", ""), ("c", "")])
def test_an_orphaned_pod_is_swept_while_another_is_at_work_and_when_the_run_has_ended(
    make: Any, state: str, letter: str
) -> None:
    orphan = ObjectRef("Pod", "stage-data-x7k2p")
    observed = make.observed({STEP: make.job(STEP)})
    observed = replace(observed, objects=observed.objects | {orphan})
    run = make.run(state, letter)
    actions = decide(make.plan(), run, observed, run.intent)
    assert any(orphan in action.refs for action in actions if isinstance(action, Delete))


@pytest.mark.parametrize("retries", [0, 2])
def test_a_report_that_went_with_its_pod_is_had_by_doing_the_step_again(make: Any, retries: int) -> None:
    first = StepRecord(attempt=1, uid="uid-1", retries=retries)
    job = make.job("save_output", JobPhase.COMPLETE, uid="uid-1", unheard=True)
    observed = make.observed({"save_output": job}, recorded={"save_output": first})
    actions = decide(make.plan(record_step=False), make.run("R", "O"), observed, Intent.NONE)
    if retries == 0:
        assert only(actions, Create) == Create(step="save_output", attempt=2, retries=1)
    else:
        assert "its pod went before" in only(actions, ReportError).failure.cause.sentence
        assert only(actions, ReportError).failure.cause.category is Category.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("jobs", "category"),
    [((), Category.INFRASTRUCTURE), (("save_output",), Category.USER)],
    ids=["its Job is gone", "it reported nothing"],
)
def test_why_nobody_knows_where_the_output_is(make: Any, jobs: tuple[str, ...], category: Category) -> None:
    there = {step: make.job(step, JobPhase.COMPLETE) for step in jobs}
    observed = make.observed(there, recorded={"save_output": StepRecord(attempt=1, uid="uid-save_output")})
    actions = decide(make.plan(record_step=False), make.run("R", "P"), observed, Intent.NONE)
    assert only(actions, ReportError).failure.cause.category is category


def test_a_step_whose_report_another_one_can_make_is_not_done_again(make: Any) -> None:
    job = make.job("save_output", JobPhase.COMPLETE, unheard=True)
    actions = decide(make.plan(), make.run("R", "O"), make.observed({"save_output": job}), Intent.NONE)
    assert only(actions, Create).step == "record_output_project"
