"""Phases one after the other, entries by what they depend on, never more at once than allowed (contract, 7)."""

from __future__ import annotations

from dataclasses import replace

from lando.direct.events import Began, JobCompleted, JobCreated, LimitReached, Outcome, PhaseBegan, ResourceApplied
from lando.phases.model import Resource
from tests.unit.direct.running import World, entry, manifest, model, run


def test_a_phase_begins_when_the_one_before_is_complete(world: World) -> None:
    told = run(world, model([entry("a"), entry("b")], [entry("c", phase=1)]))
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.index, one.name) for one in told.of(PhaseBegan)] == [(0, "phase-0"), (1, "phase-1")]
    assert sorted(world.made()[:2]) == ["a", "b"]
    assert world.history[-2:] == [("made", "c"), ("ended", "c")]


def test_an_entry_waits_for_every_job_of_what_it_depends_on(world: World) -> None:
    one = model([entry("merge", needs=["fetch"]), entry("fetch", "x", "y", "z")], parallelization=1)
    told = run(world, one)
    assert [job for _, job in world.history] == ["x", "x", "y", "y", "z", "z", "merge", "merge"]
    merge = told.of(JobCreated)[-1]
    assert (merge.entry, merge.phase, merge.attempt, merge.after) == ("merge", 0, 1, ("fetch",))


def test_entries_are_taken_in_the_order_of_the_file_as_far_as_the_limit_allows(world: World) -> None:
    told = run(world, model([entry(name) for name in "dbca"], parallelization=1))
    assert told.jobs(JobCreated) == ["d", "b", "c", "a"]


def test_the_limit_holds_right_after_a_creation_and_is_told_once(world: World) -> None:
    told = run(world, model([entry(f"j{number}") for number in range(7)], parallelization=2))
    assert most_at_once(world) == 2
    assert [one.limit for one in told.of(LimitReached)] == [2]


def test_a_chain_gets_through_a_limit_of_one(world: World) -> None:
    one = model([entry("c", needs=["b"]), entry("b", needs=["a"]), entry("a")], parallelization=1)
    told = run(world, one)
    assert told.jobs(JobCompleted) == ["a", "b", "c"]
    assert told.of(LimitReached) == []


def test_jobs_of_others_count_for_nothing(world: World) -> None:
    """Neither for the limit, nor as what is depended on, nor in the report; and nobody touches them."""
    world.create(manifest("alien"))
    labelled = manifest("their-fetch")
    labelled["metadata"]["labels"] = {"jobernetes_job_name": "fetch", "jobernetes_phase": "0"}
    world.create(labelled)
    world.end("their-fetch")
    world.outcomes = lambda job: None if job == "alien" else 0
    told = run(world, model([entry("fetch"), entry("merge", needs=["fetch"])], parallelization=1, cleanup=True))
    assert told.ended.outcome is Outcome.COMPLETE
    assert told.jobs(JobCreated) == ["fetch", "merge"]
    assert [report.job for report in told.ended.jobs] == ["fetch", "merge"]
    assert world.jobs() == ["alien", "their-fetch"]


def test_a_job_with_several_completions_is_complete_only_by_its_condition(world: World) -> None:
    told = run(world, model([entry("many", completions=3, parallelism=1)], [entry("after", phase=1)]))
    assert [job for what, job in world.history if what == "ended"] == ["many", "many", "many", "after"]
    assert told.jobs(JobCompleted) == ["many", "after"]


def test_a_job_is_its_file_and_three_labels(world: World) -> None:
    files = entry("fetch", "x", phase=1)
    files.jobs[0].manifest["metadata"]["labels"] = {"own": "stays"}
    run(world, model([entry("first")], [files]))
    metadata = world.job("x")["metadata"]
    assert metadata["labels"] == {
        "own": "stays",
        "jobernetes_job_name": "fetch",
        "jobernetes_phase": "1",
        "jobernetes_exploded": "True",
    }
    assert metadata["annotations"].pop("lando.run")
    assert metadata["annotations"] == {"lando.manifest": files.jobs[0].digest, "lando.attempt": "1"}
    (pod,) = world.pods("x")
    assert not [label for label in pod["metadata"]["labels"] if label.startswith("jobernetes")]


def test_a_run_costs_one_create_for_each_job_and_a_few_calls_for_all(world: World) -> None:
    jobs = [entry(f"j{number}") for number in range(40)]
    told = run(world, model(jobs[:20], [entry(f"k{number}", phase=1) for number in range(20)], parallelization=5))
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.count("create Job") == 40
    others = [call for call in world.calls if not call.startswith("create Job")]
    assert len(others) < 15, others


def test_resources_are_applied_before_the_first_job_and_belong_to_the_lease(world: World) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    told = run(world, replace(model([entry("a")]), resources=(Resource(path="settings.yaml", manifest=settings),)))
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.kind, one.name) for one in told.of(ResourceApplied)] == [("ConfigMap", "settings")]
    assert [type(event) for event in told.events][:3] == [Began, ResourceApplied, PhaseBegan]
    creates = [call for call in world.calls if call.startswith("create")]
    assert creates[-2:] == ["create ConfigMap settings", "create Job a"]
    (owner,) = world.get("ConfigMap", "settings")["metadata"]["ownerReferences"]
    assert owner["uid"] == world.list("Lease")[0]["metadata"]["uid"]


def most_at_once(world: World) -> int:
    """Over the history, the most Jobs that were made and had not ended."""
    at_work: set[str] = set()
    most = 0
    for what, job in world.history:
        (at_work.add if what == "made" else at_work.discard)(job)
        most = max(most, len(at_work))
    return most
