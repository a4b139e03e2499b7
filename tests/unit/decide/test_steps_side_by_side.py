"""Runs whose steps form a graph: what a failure does to the others, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from lando.decide import (
    Action,
    AwaitGone,
    Create,
    Delete,
    EndAttempt,
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
    RunRecord,
    SetCondition,
    StepRecord,
    Write,
    decide,
)
from lando.runs import Category, Cause, Intent, OnFailure, Run, RunState, StepState

PENDING, RUNNING, COMPLETE, FAILED = StepState.PENDING, StepState.RUNNING, StepState.COMPLETE, StepState.FAILED
EXITED = Cause(category=Category.USER, sentence="It exited with 3.", log_tail="no such file")
LOST = Cause(category=Category.INFRASTRUCTURE, sentence="Its node was lost.")
MAP = ObjectRef("ConfigMap", "letters")


def plan_of(*names: str, **changes: Any) -> Plan:
    """Steps side by side; ``b>a`` needs a."""
    steps = []
    for name in names:
        step, _, need = name.partition(">")
        steps.append(PlannedStep(name=step, needs=(need,) if need else (), job=ObjectRef("Job", step)))
    plan = Plan(steps=tuple(steps), record=ObjectRef("ConfigMap", "record"), infrastructure_retries=0)
    return replace(plan, keep_complete=True, keep_finished=True, **changes)


def job(phase: JobPhase = JobPhase.RUNNING, **fields: Any) -> ObservedJob:
    if phase is JobPhase.FAILED:
        fields.setdefault("cause", EXITED)
    return ObservedJob(uid=fields.pop("uid", "uid"), phase=phase, **fields)


def observed_of(
    jobs: Mapping[str, ObservedJob], *, noted: Mapping[str, StepRecord] | None = None, **fields: Any
) -> Observed:
    steps = {name: StepRecord(attempt=one.attempt, uid=one.uid) for name, one in jobs.items()} | dict(noted or {})
    return Observed(
        record=RunRecord(uid="", steps=steps, failure=fields.pop("failure", None)),
        jobs=jobs,
        objects=frozenset({*(ObjectRef("Job", name) for name in jobs), *fields.pop("objects", ())}),
        **fields,
    )


def look(plan: Plan, steps: list[StepState], observed: Observed, **run: Any) -> list[Action]:
    states = dict(zip((step.name for step in plan.steps), steps, strict=True))
    intent = run.pop("intent", Intent.NONE)
    state = run.pop("state", RunState.RUNNING)
    return decide(plan, Run(id=1, kind="phases", owner="ada", name="n", state=state, steps=states), observed, intent)


def created(actions: list[Action]) -> list[str]:
    return [action.step for action in actions if isinstance(action, Create)]


def written(actions: list[Action]) -> list[tuple[RunState | None, list[StepState]]]:
    return [(one.state, list((one.steps or {}).values())) for one in actions if isinstance(one, Write)]


def told(actions: list[Action]) -> list[Failure]:
    return [action.failure for action in actions if isinstance(action, ReportError)]


@pytest.mark.parametrize("policy", OnFailure)
def test_a_failed_step_is_written_and_told_at_once_while_another_is_at_work(policy: OnFailure) -> None:
    plan = plan_of("a", "b", on_failure=policy)
    failure = Failure(step="a", cause=EXITED)
    kept = StepRecord(attempt=1, uid="uid", failed=1, cause=replace(EXITED, log_tail=""))
    assert look(plan, [RUNNING, RUNNING], observed_of({"a": job(JobPhase.FAILED), "b": job()})) == [
        NoteFailure(failure=failure),
        RecordAttempts(steps={"a": kept}),
        Write(steps={"a": FAILED, "b": RUNNING}),
        ReportError(failure=failure),
        NoteFailure(failure=None),
    ]


def test_what_a_crash_left_untold_is_told_once_more() -> None:
    failure = Failure(step="a", cause=EXITED)
    actions = look(plan_of("a", "b"), [FAILED, RUNNING], observed_of({"b": job()}, failure=failure))
    assert actions == [ReportError(failure=failure, again=True), NoteFailure(failure=None)]


def test_a_failure_that_was_decided_stays_though_its_job_has_gone() -> None:
    noted = StepRecord(attempt=1, uid="uid-a", failed=1, cause=EXITED)
    plan = replace(plan_of("a", "b"), infrastructure_retries=2)
    actions = look(plan, [RUNNING, RUNNING], observed_of({"b": job()}, noted={"a": noted}))
    assert written(actions) == [(None, [FAILED, RUNNING])]
    assert [failure.cause.sentence for failure in told(actions)] == [EXITED.sentence]


@pytest.mark.parametrize("policy", [OnFailure.STOP, OnFailure.REVERT])
def test_nothing_is_begun_after_a_failure(policy: OnFailure) -> None:
    plan = plan_of("a", "b", "c", "d>b", parallel=2, on_failure=policy)
    jobs = {"a": job(JobPhase.FAILED), "b": job(JobPhase.COMPLETE), "c": job()}
    actions = look(plan, [RUNNING, RUNNING, RUNNING, PENDING], observed_of(jobs))
    assert created(actions) == []
    assert written(actions) == [(None, [FAILED, COMPLETE, RUNNING, PENDING])]


def test_with_continue_what_does_not_depend_on_it_goes_on() -> None:
    plan = plan_of("a", "b>a", "c", "d>c", on_failure=OnFailure.CONTINUE)
    actions = look(
        plan,
        [RUNNING, PENDING, RUNNING, PENDING],
        observed_of({"a": job(JobPhase.FAILED), "c": job(JobPhase.COMPLETE)}),
    )
    assert created(actions) == ["d"]
    assert written(actions)[-1] == (None, [FAILED, PENDING, COMPLETE, RUNNING])


def test_an_attempt_that_was_noted_and_not_made_is_left_when_the_run_stops() -> None:
    noted = {"b": StepRecord(attempt=2, own_retries=1)}
    actions = look(plan_of("a", "b", "c"), [FAILED, RUNNING, RUNNING], observed_of({"c": job()}, noted=noted))
    assert actions == [Write(steps={"a": FAILED, "b": PENDING, "c": RUNNING})]


def test_a_step_that_may_be_tried_again_fails_when_the_run_stops() -> None:
    plan = plan_of("a", "b")
    plan = replace(plan, steps=tuple(replace(step, retries=1) for step in plan.steps))
    actions = look(plan, [FAILED, RUNNING], observed_of({"b": job(JobPhase.FAILED)}))
    assert created(actions) == []
    assert written(actions)[-1][0] is RunState.ERROR


def test_the_run_fails_when_nothing_is_at_work_any_more_and_names_the_first_and_the_others() -> None:
    plan = plan_of("a", "b", "c")
    noted = {"c": StepRecord(attempt=1, uid="uid", failed=1, cause=replace(EXITED, log_tail=""))}
    actions = look(plan, [COMPLETE, RUNNING, FAILED], observed_of({"b": job(JobPhase.FAILED, cause=LOST)}, noted=noted))
    assert written(actions) == [
        (None, [COMPLETE, FAILED, FAILED]),
        (RunState.ERROR, [COMPLETE, FAILED, FAILED]),
    ]
    own, summary = told(actions)
    assert own == Failure(step="b", cause=LOST)
    assert summary.step is None
    assert summary.cause.category is Category.USER
    assert summary.cause.text().startswith("2 steps failed, c first: It exited with 3. After it failed: b. ")


def test_the_only_failure_ends_the_run_without_a_summary() -> None:
    actions = look(plan_of("a", "b>a"), [RUNNING, PENDING], observed_of({"a": job(JobPhase.FAILED)}))
    assert actions == [
        NoteFailure(failure=Failure(step="a", cause=EXITED)),
        Write(state=RunState.ERROR, steps={"a": FAILED, "b": PENDING}),
        ReportError(failure=Failure(step="a", cause=EXITED)),
        NoteFailure(failure=None),
    ]


def test_the_cap_counts_a_step_that_is_done_again() -> None:
    plan = plan_of("a", "b", parallel=1)
    plan = replace(plan, steps=tuple(replace(step, retries=1) for step in plan.steps))
    assert created(look(plan, [RUNNING, PENDING], observed_of({"a": job(JobPhase.FAILED)}))) == ["a"]


def test_a_lower_cap_lets_what_runs_run_and_begins_nothing() -> None:
    actions = look(
        plan_of("a", "b", "c", parallel=1), [RUNNING, RUNNING, PENDING], observed_of({"a": job(), "b": job()})
    )
    assert [type(action) for action in actions] == [Nothing]


@pytest.mark.parametrize("category", Category)
def test_a_failure_is_tried_again_as_often_as_the_step_allows_and_counted_apart(category: Category) -> None:
    plan = plan_of("a")
    plan = replace(plan, steps=(replace(plan.steps[0], retries=2),))
    cause = Cause(category=category, sentence="It failed.")
    failed = job(JobPhase.FAILED, cause=cause, attempt=2)
    before = StepRecord(attempt=2, uid="uid", own_retries=1)
    actions = look(plan, [RUNNING], observed_of({"a": failed}, noted={"a": before}))
    assert EndAttempt(step="a", ended=before, cause=cause) in actions
    assert RecordAttempts(steps={"a": StepRecord(attempt=3, own_retries=2)}) in actions
    assert Create(step="a", attempt=3, own_retries=2) in actions
    waits = [action.cause for action in actions if isinstance(action, SetCondition)]
    assert [cause and cause.advice for cause in waits] == ["Lando does the step again by itself (retry 2 of 2)."]
    last = replace(before, own_retries=2)
    (failure,) = told(look(plan, [RUNNING], observed_of({"a": failed}, noted={"a": last})))
    assert failure.cause.advice == "It was tried 3 times."


def test_what_was_waited_for_in_vain_is_not_tried_again() -> None:
    plan = plan_of("a")
    plan = replace(plan, steps=(replace(plan.steps[0], retries=2),))
    cause = Cause(category=Category.RESOURCES, sentence="No node fits.", lasting=True)
    actions = look(plan, [RUNNING], observed_of({"a": job(JobPhase.FAILED, cause=cause)}))
    assert told(actions) == [Failure(step="a", cause=cause)]


def test_a_job_that_failed_after_patience_is_removed_while_others_go_on() -> None:
    jobs = {"a": job(JobPhase.FAILED, ended=False), "b": job()}
    actions = look(plan_of("a", "b"), [RUNNING, RUNNING], observed_of(jobs))
    assert [action for action in actions if isinstance(action, Delete)] == [Delete(refs=(ObjectRef("Job", "a"),))]


def test_what_has_to_wait_for_old_objects_holds_up_nothing_else() -> None:
    jobs = {"a": job(), "b": job()}  # of the attempts before
    noted = {name: StepRecord(attempt=2) for name in jobs}
    actions = look(plan_of("a", "b", "c"), [RUNNING, RUNNING, PENDING], observed_of(jobs, noted=noted))
    assert created(actions) == ["c", "a", "b"]
    kinds = [type(action) for action in actions]
    assert kinds.index(Create) < kinds.index(AwaitGone)
    assert kinds.count(Delete) == 2
    assert max(number for number, kind in enumerate(kinds) if kind is Delete) < kinds.index(AwaitGone)


def test_one_sentence_tells_what_the_run_waits_for_and_does_not_change_with_every_look() -> None:
    full = Cause(category=Category.RESOURCES, sentence="No node fits.")
    slow = Cause(category=Category.IMAGE, sentence="The image is being pulled.")
    plan, steps = plan_of("a", "b", "c"), [RUNNING, RUNNING, RUNNING]
    jobs = {"a": job(JobPhase.WAITING, cause=slow), "b": job(JobPhase.WAITING, cause=full), "c": job()}
    assert look(plan, steps, observed_of(jobs)) == [SetCondition(step="a", cause=slow)]
    for shown in (full, slow):
        actions = look(plan, steps, observed_of(jobs, condition=shown.sentence))
        assert [type(action) for action in actions] == [Nothing]
    jobs |= {"a": job(), "b": job()}
    assert look(plan, steps, observed_of(jobs, condition="No node fits.")) == [SetCondition(step="a", cause=None)]


# -- revert ---------------------------------------------------------------------------------------------------


def reverting() -> tuple[Plan, dict[str, ObservedJob]]:
    when = [datetime(2026, 1, 1, minute, tzinfo=UTC) for minute in range(4)]
    jobs = {
        "a": job(JobPhase.COMPLETE, created=when[0], found=True),
        "b": job(JobPhase.COMPLETE, created=when[2]),
        "c": job(JobPhase.COMPLETE, created=when[1]),
        "d": job(JobPhase.FAILED, created=when[3]),
    }
    return plan_of("a", "b", "c", "d", "e>d", on_failure=OnFailure.REVERT), jobs


def test_a_revert_deletes_what_the_run_made_newest_first_after_its_cause_was_told() -> None:
    plan, jobs = reverting()
    actions = look(plan, [COMPLETE, COMPLETE, COMPLETE, RUNNING, PENDING], observed_of(jobs))
    assert written(actions) == [(RunState.ERROR, [COMPLETE, PENDING, PENDING, FAILED, PENDING])]
    assert actions[-5:] == [
        ReportError(failure=Failure(step="d", cause=EXITED)),
        *(Delete(refs=(ObjectRef("Job", name),)) for name in "dbc"),
        NoteFailure(failure=None),
    ]


def test_a_step_that_is_complete_when_the_run_fails_was_complete_before_it_is_reverted() -> None:
    plan, jobs = reverting()
    actions = look(plan, [COMPLETE, COMPLETE, RUNNING, RUNNING, PENDING], observed_of(jobs))
    assert written(actions) == [
        (None, [COMPLETE, COMPLETE, COMPLETE, RUNNING, PENDING]),
        (RunState.ERROR, [COMPLETE, PENDING, PENDING, FAILED, PENDING]),
    ]


def test_a_revert_that_was_cut_short_is_finished() -> None:
    plan, jobs = reverting()
    del jobs["d"]
    failure = Failure(step="d", cause=EXITED)
    steps = [COMPLETE, PENDING, PENDING, FAILED, PENDING]
    assert look(plan, steps, observed_of(jobs, failure=failure), state=RunState.ERROR) == [
        ReportError(failure=failure, again=True),
        *(Delete(refs=(ObjectRef("Job", name),)) for name in "bc"),
        NoteFailure(failure=None),
    ]


# -- a restart ------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_jobs_at_work_though_nothing_is_complete() -> None:
    plan = plan_of("a", "b", "c", parallel=2)
    failed = StepRecord(attempt=1, uid="uid", failed=1, cause=EXITED)
    jobs = {"a": job(JobPhase.FAILED), "b": job()}
    observed = observed_of(jobs, noted={"a": failed})
    actions = look(plan, [FAILED, FAILED, PENDING], observed, state=RunState.RESTARTING, intent=Intent.RESTART)
    assert RecordAttempts(steps={"a": StepRecord(attempt=2)}) in actions
    assert written(actions)[0] == (RunState.RUNNING, [RUNNING, RUNNING, PENDING])
    assert created(actions) == ["a"]
    assert [action for action in actions if isinstance(action, Delete)] == [Delete(refs=(ObjectRef("Job", "a"),))]


def test_a_restart_after_a_cancel_begins_with_nothing_of_before() -> None:
    plan = plan_of("a", "b")
    actions = look(
        plan,
        [PENDING, PENDING],
        observed_of({"a": job(JobPhase.COMPLETE)}),
        state=RunState.RESTARTING,
        intent=Intent.RESTART,
    )
    assert created(actions) == ["a", "b"]
    assert Delete(refs=(ObjectRef("Job", "a"),)) in actions


def with_resources() -> Plan:
    plan = plan_of("a", "b>a")
    steps = tuple(replace(step, needs=("objects", *step.needs), reads=(MAP,)) for step in plan.steps)
    return replace(plan, steps=(PlannedStep(name="objects", makes=(MAP,)), *steps))


def test_a_restart_makes_resources_that_are_missing_and_nothing_complete_again() -> None:
    observed = observed_of({"a": job(JobPhase.COMPLETE), "b": job(JobPhase.FAILED)})
    actions = look(
        with_resources(), [COMPLETE, COMPLETE, FAILED], observed, state=RunState.RESTARTING, intent=Intent.RESTART
    )
    assert created(actions) == ["objects", "b"]


def test_a_resource_that_is_gone_is_named_with_its_kind() -> None:
    actions = look(with_resources(), [COMPLETE, RUNNING, PENDING], observed_of({"a": job(JobPhase.COMPLETE)}))
    (failure,) = told(actions)
    assert failure.cause.sentence == "The ConfigMap letters that step b reads is gone."
    assert failure.cause.advice == "Restart the run: it makes what is missing."


def test_resources_stay_while_the_run_goes_on() -> None:
    observed = observed_of({"a": job(JobPhase.COMPLETE), "b": job()}, objects=[MAP])
    actions = look(with_resources(), [COMPLETE, COMPLETE, RUNNING], observed)
    assert [type(action) for action in actions] == [Nothing]


def test_a_step_that_is_refused_is_the_only_one_that_fails() -> None:
    refused = Cause(category=Category.USER, sentence="The cluster refused it.")
    plan = plan_of("a", "b").with_problem("b", refused)
    actions = look(plan, [RUNNING, RUNNING], observed_of({"a": job()}))
    assert written(actions) == [(None, [RUNNING, FAILED])]
    assert told(actions) == [Failure(step="b", cause=refused)]
