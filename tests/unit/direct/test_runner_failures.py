"""What becomes of a run when Jobs fail (contract, 7): told with their cause, and what the model says of the rest."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from lando.direct.events import JobCompleted, JobCreated, JobFailed, JobLog, JobRemoved, JobWaits, Outcome, Trouble
from lando.errors import QuotaExceeded, Rejected
from lando.runs import Category, OnFailure
from tests.unit.direct.running import Told, World, entry, model, run

CONTINUE, REVERT = OnFailure.CONTINUE, OnFailure.REVERT


def failing(*jobs: str, code: int = 3) -> Any:
    return lambda job: code if job in jobs else 0


def test_a_failed_job_is_told_with_its_exit_code_and_log_and_nothing_more_is_begun(world: World) -> None:
    world.outcomes = failing("bad")
    told = run(world, model([entry("bad"), entry("good")], [entry("never", phase=1)], cleanup=True))
    assert told.ended.outcome is Outcome.FAILED
    assert "bad" in told.ended.sentence
    (failed,) = told.of(JobFailed)
    assert (failed.job, failed.again, failed.cause.exit_code) == ("bad", False, 3)
    assert "log of bad" in failed.cause.log_tail
    assert told.jobs(JobCompleted) == ["good"]  # what ran came to its end
    assert world.jobs() == ["bad", "good"]  # and is kept in spite of cleanup
    assert {one.job: one.duration_s is not None for one in told.ended.jobs} == {
        "bad": True,
        "good": True,
        "never": False,
    }


def test_every_failed_job_is_told(world: World) -> None:
    world.outcomes = failing("a", "c")
    told = run(world, model([entry("a"), entry("b"), entry("c")]))
    assert sorted(told.jobs(JobFailed)) == ["a", "c"]
    assert "2 Jobs (a, c) failed" in told.ended.sentence


def test_with_continue_only_what_depends_on_a_failure_is_left_out(world: World) -> None:
    world.outcomes = failing("bad")
    first = [entry("bad"), entry("child", needs=["bad"]), entry("other"), entry("grandchild", needs=["other"])]
    told = run(world, model(first, [entry("never", phase=1)], on_failure=CONTINUE))
    assert told.ended.outcome is Outcome.FAILED
    assert sorted(told.jobs(JobCompleted)) == ["grandchild", "other"]
    assert sorted(world.made()) == ["bad", "grandchild", "other"]


def test_with_revert_what_the_run_made_is_deleted_newest_first_after_its_logs_were_shown(world: World) -> None:
    world.outcomes = failing("c")
    chain = [entry("a"), entry("b", needs=["a"]), entry("c", needs=["b"])]
    told = run(world, model(chain, on_failure=REVERT))
    assert told.ended.outcome is Outcome.FAILED
    assert [(one.job, one.why) for one in told.of(JobRemoved)] == [(job, "reverted") for job in "cba"]
    assert world.jobs() == []
    assert "log of c" in told.of(JobFailed)[0].cause.log_tail
    shown = [(type(one), one.job) for one in told.events if isinstance(one, JobLog | JobRemoved)]
    assert shown == [(JobRemoved, "c"), (JobLog, "b"), (JobRemoved, "b"), (JobLog, "a"), (JobRemoved, "a")]
    assert told.of(JobLog)[0].log_tail == "log of b\n"


def test_a_revert_leaves_what_was_there_before_the_run(world: World) -> None:
    run(world, model([entry("a")]))
    world.outcomes = failing("b")
    told = run(world, model([entry("a"), entry("b")], on_failure=REVERT))
    assert told.jobs(JobRemoved) == ["b"]
    assert world.jobs() == ["a"]


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_revert_takes_what_the_run_made_before_it_was_stopped(world: World, has_ended: bool) -> None:
    one = model([entry("a"), entry("b", needs=["a"])], on_failure=REVERT)
    stop = threading.Event()

    def stopped(call: str) -> None:
        if call == "create Job b":
            stop.set()

    world.before = stopped
    if has_ended:
        world.outcomes = failing("b")
        assert run(world, replace(one, settings=replace(one.settings, on_failure=OnFailure.STOP))).ended
    else:
        assert run(world, one, stop=stop).ended.outcome is Outcome.INTERRUPTED
    world.outcomes = failing("b")
    told = run(world, one)
    assert told.ended.outcome is Outcome.FAILED
    assert world.jobs() == (["a"] if has_ended else [])


def test_a_revert_goes_on_after_an_outage(world: World) -> None:
    world.outcomes = failing("b")
    broken = iter([world.unavailable(), world.unavailable()])

    def fail(call: str) -> None:
        if call.startswith("delete Job") and (error := next(broken, None)):
            raise error

    world.before = fail
    told = run(world, model([entry("a"), entry("b", needs=["a"])], on_failure=REVERT))
    assert told.ended.outcome is Outcome.FAILED
    assert world.jobs() == []


def test_an_entry_with_retries_is_made_again_and_may_yet_succeed(world: World) -> None:
    world.outcomes = lambda job: 1 if job == "flaky" and len(world.made()) < 3 else 0
    told = run(world, model([entry("flaky", retries=2)], [entry("after", phase=1)]))
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.job, one.again) for one in told.of(JobFailed)] == [("flaky", True), ("flaky", True)]
    assert [one.attempt for one in told.of(JobCreated) if one.job == "flaky"] == [1, 2, 3]
    assert world.job("flaky")["metadata"]["annotations"]["lando.attempt"] == "3"


def test_when_its_retries_are_used_up_a_job_has_failed(world: World) -> None:
    world.outcomes = failing("flaky")
    told = run(world, model([entry("flaky", retries=1)]))
    assert told.ended.outcome is Outcome.FAILED
    assert [one.again for one in told.of(JobFailed)] == [True, False]
    assert world.made() == ["flaky", "flaky"]


def test_a_job_that_somebody_deletes_while_it_runs_has_failed(world: World) -> None:
    told = Told()
    told.on = lambda event: world.vanish("a") if isinstance(event, JobCreated) else None
    world.outcomes = lambda job: None
    run(world, model([entry("a")]), told=told)
    assert told.ended.outcome is Outcome.FAILED
    (failed,) = told.of(JobFailed)
    assert "deleted" in failed.cause.sentence


def test_a_job_that_somebody_deletes_is_made_again_where_retries_allow_it(world: World) -> None:
    told = Told()
    told.on = lambda event: world.vanish("a") if isinstance(event, JobCreated) and event.attempt == 1 else None
    world.outcomes = lambda job: 0 if len(world.made()) > 1 else None
    run(world, model([entry("a", retries=1)]), told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.made() == ["a", "a"]


def test_a_job_that_can_not_start_keeps_the_run_waiting_and_its_cause_is_told_when_it_changes(world: World) -> None:
    told = Told()
    waits = iter(["first/missing", "second/missing"])

    def hold(event: object) -> None:
        if isinstance(event, JobCreated | JobWaits) and (not isinstance(event, JobWaits) or event.cause):
            image = next(waits, None)
            if image:
                world.hold("a", "ErrImagePull", f'pull access denied for "{image}", repository does not exist')
            else:
                world.go_on("a")

    told.on = hold
    world.outcomes = lambda job: 0 if len(told.of(JobWaits)) == 3 else None
    run(world, model([entry("a")]), told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    first, second, none = told.of(JobWaits)
    assert "first/missing" in first.cause.sentence
    assert "second/missing" in second.cause.sentence
    assert none.cause is None


def test_what_the_api_refuses_in_spite_of_the_checks_has_failed_with_its_words(world: World) -> None:
    def refuse(call: str) -> None:
        if call == "create Job b":
            raise Rejected("cluster", "create Job b: admission webhook denied it", status=403)

    world.before = refuse
    told = run(world, model([entry("a"), entry("b", retries=3)], [entry("c", phase=1)]))
    assert told.ended.outcome is Outcome.FAILED
    (failed,) = told.of(JobFailed)
    assert (failed.job, failed.cause.category) == ("b", Category.USER)
    assert "admission webhook denied it" in failed.cause.sentence
    assert world.count("create Job b") == 1


def test_a_quota_is_waited_for_and_named(world: World) -> None:
    told = Told()
    room = False

    def forbid(call: str) -> None:
        if call == "create Job b" and not room:
            raise QuotaExceeded("cluster", "create Job b: exceeded quota: jobs=1", status=403)

    def grant(event: object) -> None:
        nonlocal room
        room = room or isinstance(event, JobWaits)

    world.before, told.on = forbid, grant
    run(world, model([entry("a"), entry("b")]), told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    waits, over = told.of(JobWaits)
    assert (waits.job, waits.cause.category, over.cause) == ("b", Category.RESOURCES, None)
    assert world.count("create Job b") == 2


def test_a_job_is_not_made_again_while_pods_of_the_former_one_are_at_work_and_that_is_told(world: World) -> None:
    """Somebody deletes the Job, but not its pod, which works on."""
    told = Told()

    def orphan(event: object) -> None:
        if isinstance(event, JobCreated) and event.attempt == 1:
            world.hold("a", "ErrImagePull", "pull access denied")
        if not isinstance(event, JobWaits) or event.cause is None:
            return
        (pod,) = world.store.list("pods", world.namespace).items
        if "pull access denied" in event.cause.sentence:  # so the pod was seen
            world.let_loose("a")
        else:
            assert pod["metadata"]["name"] in event.cause.sentence
            pod["status"]["phase"] = "Succeeded"
            world.store.update_status("pods", world.namespace, pod)

    told.on = orphan
    world.outcomes = lambda job: 0 if len(world.made()) > 1 else None
    run(world, model([entry("a", retries=1)]), told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    assert [one.cause is None for one in told.of(JobWaits)] == [False, False, True]
    assert world.made() == ["a", "a"]


def test_what_a_revert_can_not_delete_is_told_and_the_rest_goes(world: World) -> None:
    world.outcomes = failing("b")

    def refuse(call: str) -> None:
        if call == "delete Job b":
            raise Rejected("cluster", "delete Job b: forbidden by a webhook", status=403)

    world.before = refuse
    told = run(world, model([entry("a"), entry("b", needs=["a"])], on_failure=REVERT))
    assert told.ended.outcome is Outcome.FAILED
    assert world.jobs() == ["b"]
    assert ["forbidden by a webhook" in one.sentence for one in told.of(Trouble)] == [True]


def test_a_quota_is_no_more_asked_once_the_run_is_stopping(world: World) -> None:
    def forbid(call: str) -> None:
        if call == "create Job b":
            raise QuotaExceeded("cluster", "create Job b: exceeded quota: jobs=1", status=403)

    world.before = forbid
    world.outcomes = lambda job: 1 if job == "a" else 0 if len(told.of(JobFailed)) else None
    told = Told()
    run(world, model([entry("a"), entry("b"), entry("c")]), told=told)
    assert told.ended.outcome is Outcome.FAILED
    assert told.jobs(JobCompleted) == ["c"]
    assert world.made() == ["a", "c"]
