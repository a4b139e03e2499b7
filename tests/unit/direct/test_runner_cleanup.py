"""What is removed after the last phase, or on demand (contract, 9)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from lando.direct import runner
from lando.direct.events import JobRemoved, JobReport, Outcome, Trouble
from lando.direct.lease import Lease
from lando.errors import Refused, Rejected
from lando.phases.model import Model
from tests.unit.direct.running import Told, World, entry, manifest, model, run

ONE = model([entry("a"), entry("b", needs=["a"])], [entry("c", phase=1)])
CLEAN = model([entry("a"), entry("b", needs=["a"])], [entry("c", phase=1)], cleanup=True)


def cleaned(world: World, one: Model = ONE, make_lease: type[Lease] = Lease) -> Told:
    told = Told()
    outcome = runner.cleanup(one, world, listener=told, stop=threading.Event(), make_lease=make_lease)
    assert outcome is told.ended.outcome
    return told


def test_after_the_last_phase_jobs_and_pods_are_deleted_and_what_they_took_is_reported(world: World) -> None:
    told = run(world, CLEAN)
    assert told.ended.outcome is Outcome.COMPLETE
    assert [(one.job, one.why) for one in told.of(JobRemoved)] == [(job, "cleanup") for job in "cba"]
    world.let_go()
    assert world.jobs() == []
    assert world.pods() == []
    assert world.list("Lease") == []
    assert [report.job for report in told.ended.jobs] == ["a", "b", "c"]
    assert all(isinstance(report, JobReport) and report.duration_s is not None for report in told.ended.jobs)
    world.history.clear()
    run(world, CLEAN)
    assert world.made() == ["a", "b", "c"]  # everything again


def test_without_cleanup_everything_stays(world: World) -> None:
    run(world, ONE)
    assert world.jobs() == ["a", "b", "c"]
    assert len(world.pods()) == 3


def test_one_that_is_gone_already_is_fine_and_one_that_can_not_be_deleted_is_told(world: World) -> None:
    def disturb(call: str) -> None:
        if call == "delete Job c":
            world.vanish("c")
        if call == "delete Job b":
            raise Rejected("cluster", "delete Job b: forbidden by a webhook", status=403)

    world.before = disturb
    told = run(world, CLEAN)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.jobs() == ["b"]
    (trouble,) = told.of(Trouble)
    assert "delete Job b: forbidden by a webhook" in trouble.sentence


def test_cleanup_removes_the_jobs_of_the_model_newest_first_and_no_others(world: World) -> None:
    run(world, ONE)
    alien = manifest("alien")
    alien["metadata"]["labels"] = {"jobernetes_job_name": "alien"}
    world.create(alien)
    told = cleaned(world)
    assert told.ended.outcome is Outcome.COMPLETE
    assert told.jobs(JobRemoved) == ["c", "b", "a"]
    assert world.jobs() == ["alien"]
    assert world.list("Lease") == []
    assert cleaned(world).jobs(JobRemoved) == []


def test_cleanup_leaves_a_job_of_another_entry_under_the_same_name(world: World) -> None:
    theirs = manifest("a")
    theirs["metadata"]["labels"] = {"jobernetes_job_name": "another"}
    world.create(theirs)
    assert cleaned(world).jobs(JobRemoved) == []
    assert world.jobs() == ["a"]


def test_cleanup_tells_what_it_can_not_delete_and_goes_on(world: World) -> None:
    run(world, ONE)

    def refuse(call: str) -> None:
        if call == "delete Job b":
            raise Rejected("cluster", "delete Job b: forbidden by a webhook", status=403)

    world.before = refuse
    told = cleaned(world)
    assert told.ended.outcome is Outcome.FAILED
    assert "1 of 3" in told.ended.sentence
    assert world.jobs() == ["b"]


def test_a_cleanup_that_is_stopped_says_so(world: World) -> None:
    run(world, ONE)
    told, stop = Told(), threading.Event()
    told.on = lambda event: stop.set() if isinstance(event, JobRemoved) else None
    assert runner.cleanup(ONE, world, listener=told, stop=stop) is Outcome.INTERRUPTED
    assert told.ended.sentence.startswith("The cleanup was stopped; what it had not removed yet is left")
    assert world.jobs() == ["a", "b"]
    assert cleaned(world).ended.sentence == "2 Jobs were removed."
    run(world, model([entry("a")]))
    assert cleaned(world).ended.sentence == "1 Job was removed."


class Taken(Lease):
    def acquire(self, stop: object) -> bool:
        raise Refused("A run of these Jobs is at work.")


def test_cleanup_is_refused_while_a_run_is_at_work(world: World) -> None:
    run(world, ONE)
    assert cleaned(world, make_lease=Taken).ended.outcome is Outcome.REFUSED
    assert world.jobs() == ["a", "b", "c"]


class Lost(Lease):
    """Taken over by another as soon as one Job was removed."""

    is_over = False

    @property
    def lost(self) -> str | None:
        return "Another run has taken over." if self.is_over else None

    @property
    def held(self) -> bool:
        return not self.is_over


@pytest.mark.parametrize("is_of_a_run", [False, True])
def test_a_cleanup_that_lost_its_lease_removes_nothing_more(world: World, is_of_a_run: bool) -> None:
    leases: list[Lost] = []

    def make(*args: Any, **options: Any) -> Lost:
        leases.append(Lost(*args, **options))
        return leases[0]

    def lose(event: object) -> None:
        leases[0].is_over |= isinstance(event, JobRemoved)

    told = Told()
    told.on = lose
    if is_of_a_run:
        run(world, CLEAN, told=told, make_lease=make)
    else:
        run(world, ONE)
        runner.cleanup(ONE, world, listener=told, stop=threading.Event(), make_lease=make)

    assert told.ended.outcome is Outcome.REFUSED
    assert "taken over" in told.ended.sentence
    assert world.jobs() == ["a", "b"]


def test_a_cleanup_after_the_last_phase_goes_on_after_an_outage(world: World) -> None:
    left = {"delete Job b": 2, "delete Lease": 1}

    def fail(call: str) -> None:
        for begin in left:
            if call.startswith(begin) and left[begin] > 0:
                left[begin] -= 1
                raise world.unavailable()

    world.before = fail
    told = run(world, CLEAN)
    assert told.ended.outcome is Outcome.COMPLETE
    assert sorted(told.jobs(JobRemoved)) == ["a", "b", "c"]
    assert world.jobs() == []
    assert world.list("Lease") == []


def test_jobs_that_may_not_be_deleted_are_told_at_once(world: World) -> None:
    def forbid(call: str) -> None:
        if call.startswith("delete Job"):
            raise world.unavailable(403)

    world.before = forbid
    told = run(world, CLEAN)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.count("delete Job") == len(told.of(Trouble)) == 3
