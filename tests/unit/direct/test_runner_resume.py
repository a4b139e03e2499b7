"""A run goes on from what an earlier one left (contract, 8)."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from lando.direct import preflight
from lando.direct.events import (
    Began,
    JobCompleted,
    JobCreated,
    JobFailed,
    JobFound,
    JobRemoved,
    JobWaits,
    Outcome,
    PhaseBegan,
    Problem,
)
from lando.direct.lease import Lease
from lando.errors import Refused
from lando.k8s.cluster import Manifest
from lando.phases.model import Finding, Model
from lando.plans.phases import job_manifest
from tests.unit.direct.running import Told, World, entry, manifest, model, run

TWO = model([entry("a")], [entry("b", phase=1)])


def left(world: World, one: Model, job: str, *, exit_code: int | None = None, original: bool = False) -> Manifest:
    """A Job as an earlier run of ``one``, or of the original, left it."""
    for phase in one.phases:
        for its in phase.entries:
            for file in its.jobs:
                if file.name == job:
                    made = job_manifest(file, its, 1)
                    if original:
                        del made["metadata"]["annotations"]
                    world.create(made)
                    if exit_code is not None:
                        world.end(job, exit_code)
    world.calls.clear()
    world.history.clear()
    return world.job(job)


def uid(job: Manifest) -> str:
    return str(job["metadata"]["uid"])


def test_a_finished_run_started_again_runs_nothing(world: World) -> None:
    first = run(world, TWO)
    world.calls.clear()
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    assert told.ended.jobs == first.ended.jobs
    assert (told.of(Began)[0].jobs, told.of(Began)[0].complete) == (2, 2)
    assert [(one.job, one.complete, one.changed) for one in told.of(JobFound)] == [
        ("a", True, False),
        ("b", True, False),
    ]
    assert told.of(PhaseBegan) == told.of(JobCompleted) == []
    assert world.count("create Job") == world.count("delete") == 0


def test_what_is_complete_counts_and_the_rest_is_made(world: World) -> None:
    left(world, TWO, "a", exit_code=0)
    told = run(world, TWO)
    assert told.jobs(JobCreated) == ["b"]
    assert [one.index for one in told.of(PhaseBegan)] == [1]


def test_what_runs_is_waited_for(world: World) -> None:
    job = left(world, TWO, "a")
    told = run(world, TWO)
    assert world.history == [("ended", "a"), ("made", "b"), ("ended", "b")]
    assert [(one.job, one.complete) for one in told.of(JobFound)] == [("a", False)]
    assert told.jobs(JobCompleted) == ["a", "b"]
    assert uid(world.job("a")) == uid(job)


def test_a_failed_job_is_told_deleted_with_its_pods_and_made_again_when_it_is_due(world: World) -> None:
    old = left(world, TWO, "b", exit_code=7)
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    (failed,) = told.of(JobFailed)
    assert (failed.job, failed.again, failed.cause.exit_code) == ("b", True, 7)
    assert [(one.job, one.why) for one in told.of(JobRemoved)] == [("b", "failed before")]
    assert world.history == [("made", "a"), ("ended", "a"), ("removed", "b"), ("made", "b"), ("ended", "b")]
    assert [one.attempt for one in told.of(JobCreated)] == [1, 2]
    assert all(uid(old) not in str(pod["metadata"]["ownerReferences"]) for pod in world.pods())


@pytest.mark.parametrize("entry_label", [None, "another"])
def test_a_job_of_somebody_else_under_a_name_of_the_model_is_never_touched(
    world: World, entry_label: str | None
) -> None:
    before = theirs(world, entry_label)
    told = run(world, TWO, check=preflight.check)
    assert told.ended.outcome is Outcome.REFUSED
    assert any("Job b is there already" in problem.finding.reason for problem in told.of(Problem))
    assert uid(world.job("b")) == before
    assert world.jobs() == ["b"]


@pytest.mark.parametrize("entry_label", [None, "another"])
def test_one_that_comes_after_the_checks_ends_the_run_and_is_never_touched(
    world: World, entry_label: str | None
) -> None:
    told = Told()
    uids: list[str] = []

    def come(event: object) -> None:
        if isinstance(event, JobCreated):
            uids.append(theirs(world, entry_label))

    told.on = come
    run(world, TWO, told=told)
    assert told.ended.outcome is Outcome.REFUSED
    assert "Job b of entry b" in told.ended.sentence
    assert [uid(world.job("b"))] == uids


def theirs(world: World, entry_label: str | None) -> str:
    """A stranger's Job b; its UID."""
    job = manifest("b")
    if entry_label:
        job["metadata"]["labels"] = {"jobernetes_job_name": entry_label}
    return uid(world.create(job))


def test_jobs_of_the_original_are_known_and_never_count_as_changed(world: World) -> None:
    left(world, TWO, "a", exit_code=0, original=True)
    left(world, TWO, "b", original=True)
    told = run(world, TWO, changed=True)
    assert told.ended.outcome is Outcome.COMPLETE
    assert [one.changed for one in told.of(JobFound)] == [False, False]
    assert world.made() == []


def test_a_phase_that_was_inserted_makes_no_difference_to_what_is_known(world: World) -> None:
    run(world, model([entry("a")], [entry("c", phase=1)]))
    world.history.clear()
    told = run(world, model([entry("a")], [entry("b", phase=1)], [entry("c", phase=2)]))
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.made() == ["b"]


def test_earlier_phases_run_whatever_there_is_of_later_ones(world: World) -> None:
    left(world, TWO, "b", exit_code=0)
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.made() == ["a"]


def other(one: Model) -> Model:
    """The same with another program in its first Job."""
    first = replace(one.phases[0], entries=(entry("a", command="changed"),))
    return replace(one, phases=(first, *one.phases[1:]))


def test_a_job_whose_file_has_changed_counts_and_is_told(world: World) -> None:
    run(world, TWO)
    told = run(world, other(TWO))
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.job, one.changed) for one in told.of(JobFound)] == [("a", True), ("b", False)]
    assert world.made() == ["a", "b"]


@pytest.mark.parametrize("exit_code", [0, None])
def test_with_changed_a_job_is_made_again_from_what_its_file_says_now(world: World, exit_code: int | None) -> None:
    left(world, TWO, "a", exit_code=exit_code)
    told = run(world, other(TWO), changed=True)
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.job, one.why) for one in told.of(JobRemoved)] == [("a", "changed")]
    assert world.made() == ["a", "b"]
    assert world.job("a")["spec"]["template"]["spec"]["containers"][0]["command"] == ["changed"]
    assert run(world, other(TWO), changed=True).jobs(JobRemoved) == []


def test_a_job_that_is_going_when_the_run_begins_is_made_again_once_it_is_gone(world: World) -> None:
    left(world, TWO, "a")
    world.patch("Job", "a", {"metadata": {"finalizers": ["test/hold"]}})
    world.delete("Job", "a")
    free = threading.Timer(0.1, lambda: world.patch("Job", "a", {"metadata": {"finalizers": None}}))
    free.start()
    world.outcomes = lambda job: 0 if "deletionTimestamp" not in world.job(job)["metadata"] else None
    told = run(world, TWO)
    free.join()
    assert told.ended.outcome is Outcome.COMPLETE
    assert [job for what, job in world.history if what == "made"] == ["a", "b"]


def test_what_vanished_by_itself_after_it_was_complete_is_not_run_again(world: World) -> None:
    one = model([entry("a", ttlSecondsAfterFinished=0)], [entry("b", phase=1)])
    told = Told()
    told.on = lambda event: world.vanish("a") if isinstance(event, JobCompleted) and event.job == "a" else None
    run(world, one, told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    again = run(world, one)
    assert again.ended.outcome is Outcome.COMPLETE
    assert [(found.job, found.complete) for found in again.of(JobFound)] == [("a", True), ("b", True)]
    assert again.ended.jobs == told.ended.jobs
    assert world.made() == ["a", "b"]
    assert run(world, replace(one, phases=(other(one).phases[0], one.phases[1])), changed=True).jobs(JobCreated) == [
        "a"
    ]


def test_a_job_that_is_gone_as_soon_as_it_is_complete_was_complete(world: World) -> None:
    """It and its end may be told in one breath."""
    one = model([entry("a", ttlSecondsAfterFinished=0)], [entry("b", phase=1)])
    end = world.end

    def end_and_vanish(job: str, exit_code: int = 0) -> None:
        end(job, exit_code)
        if job == "a":
            world.vanish("a")

    world.end = end_and_vanish  # type: ignore[method-assign]
    told = run(world, one)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.made() == ["a", "b"]


class Taken(Lease):
    def acquire(self, stop: object) -> bool:
        raise Refused("Another run of these Jobs is at work.")


def test_nothing_is_made_while_another_run_is_at_work(world: World) -> None:
    told = run(world, TWO, make_lease=Taken)
    assert told.ended.outcome is Outcome.REFUSED
    assert told.ended.sentence == "Another run of these Jobs is at work."
    assert world.calls == []


def test_nothing_is_made_when_the_checks_find_an_error(world: World) -> None:
    found = [Finding(reason="odd", is_error=False), Finding(reason="wrong")]
    told = run(world, TWO, check=lambda one, cluster: found)
    assert told.ended.outcome is Outcome.REFUSED
    assert [problem.finding for problem in told.of(Problem)] == found
    assert world.calls == []
    assert run(world, TWO, check=lambda one, cluster: found[:1]).ended.outcome is Outcome.COMPLETE


def test_what_a_job_that_was_found_waits_for_is_told_after_the_run_has_begun(world: World) -> None:
    left(world, TWO, "a")
    world.hold("a", "ErrImagePull", 'pull access denied for "missing", repository does not exist')
    told = Told()
    told.on = lambda event: world.go_on("a") if isinstance(event, JobWaits) and event.cause else None
    world.outcomes = lambda job: 0 if told.of(JobWaits) else None
    run(world, TWO, told=told)
    assert told.ended.outcome is Outcome.COMPLETE
    assert [type(event) for event in told.events[:3]] == [Began, JobFound, JobWaits]


def test_with_changed_what_is_at_work_on_something_else_ends_at_once_though_its_turn_comes_later(world: World) -> None:
    left(world, TWO, "b")
    changed = replace(
        TWO, phases=(TWO.phases[0], replace(TWO.phases[1], entries=(entry("b", phase=1, command="new"),)))
    )
    run(world, changed, changed=True)
    assert world.history == [("removed", "b"), ("made", "a"), ("ended", "a"), ("made", "b"), ("ended", "b")]


def test_what_was_noted_as_complete_is_forgotten_when_it_is_made_again(world: World) -> None:
    """Else, once it has failed and vanished, a later run would take it for complete."""
    one = model([entry("a", ttlSecondsAfterFinished=0)])
    run(world, one)
    world.vanish("a")
    world.outcomes = lambda job: 1
    new = other(one)
    assert run(world, new, changed=True).ended.outcome is Outcome.FAILED
    world.vanish("a")
    world.outcomes = lambda job: 0
    assert run(world, new).jobs(JobCreated) == ["a"]
