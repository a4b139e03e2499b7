"""What the daemon tells of each attempt: once begun, once ended, with the cause, whatever comes in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lando.errors import Unavailable
from lando.k8s import engine
from lando.messages import Command, Condition
from lando.runs import Attempt, Run, VolumeUse

STAGE_JOB = "stage-data-42-ada"


class Told:
    """In the place of the source's own method: keeps what is told, and refuses while ``away``."""

    def __init__(self, world: Any) -> None:
        self.attempts: list[Attempt] = []
        self.away = False
        world.source.tell_attempts = self

    def __call__(self, run: Run, attempts: Sequence[Attempt]) -> None:
        if self.away:
            raise Unavailable("Lando API", "away")
        self.attempts += attempts

    def of(self, step: str) -> list[tuple[int, str, str]]:
        return [
            (one.number, one.state.value, one.cause.sentence if one.cause else "")
            for one in self.attempts
            if one.step == step
        ]


@pytest.fixture
def told(world: Any) -> Told:
    world.job["state"] = "A"  # so that the daemon's own look at its start does not begin the run before we listen
    world.start()
    listening = Told(world)
    world.job["state"] = "S"
    return listening


def test_each_step_of_a_run_is_told_with_its_job_from_beginning_to_end(world: Any, told: Told) -> None:
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    for step in ("stage_data", "run_workflow", "organize_output", "save_output"):
        assert told.of(step) == [(1, "Running", ""), (1, "Complete", "")]
    begun, ended = (one for one in told.attempts if one.step == "stage_data")
    assert (begun.job, begun.uid) == (ended.job, ended.uid) == (STAGE_JOB, begun.uid)
    assert begun.began
    assert ended.began
    assert ended.ended


@pytest.mark.parametrize("exit_code", [0, 3])
def test_how_full_the_output_volume_was_is_told_with_the_end_of_an_attempt(
    world: Any, told: Told, waiting: Callable[..., Any], exit_code: int
) -> None:
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code, {"volume": {"used": 9, "size": 10}})
    world.step_changed("stage_data", Condition.FAILED if exit_code else Condition.COMPLETE)
    waiting(lambda: len(told.of("stage_data")) == 2, "the end of the attempt")
    assert [one.volume for one in told.attempts if one.step == "stage_data"] == [None, VolumeUse(used=9, size=10)]


def test_the_end_of_a_step_and_the_beginning_of_the_next_are_told_at_once(world: Any, told: Told) -> None:
    calls: list[list[str]] = []
    world.source.tell_attempts = lambda run, attempts: calls.append([one.step for one in attempts])
    world.send(Command.START)
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    assert [steps for steps in calls if steps] == [["stage_data"], ["run_workflow", "stage_data"]]


def test_what_the_source_could_not_tell_is_told_by_a_later_look_that_nobody_asks_for(
    world: Any, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CONDITION_RECHECK_S", 0.01)
    owed: list[str] = []
    told: list[str] = []

    def tell(run: Run, attempts: Sequence[Attempt]) -> None:
        owed.extend(one.step for one in attempts)
        if attempts:
            raise Unavailable("Lando API", "away")
        told.extend(owed)
        owed.clear()

    world.start()
    world.source.tell_attempts = tell
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: told == ["stage_data"], "the telling")


def test_a_lost_attempt_is_told_with_its_cause_before_the_next_one_begins(
    world: Any, told: Told, waiting: Callable[..., Any]
) -> None:
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=137, reason="Evicted")
    world.step_changed("stage_data", Condition.FAILED)
    waiting(lambda: world.cluster.has_job(STAGE_JOB, attempt=2), "the retry")
    world.settle()
    first, lost, second = told.of("stage_data")
    assert first == (1, "Running", "")
    assert lost[:2] == (1, "Failed")
    assert "was evicted from its node" in lost[2]
    assert second == (2, "Running", "")


def test_a_job_that_vanished_is_told_by_what_the_record_knows_of_it(
    world: Any, told: Told, waiting: Callable[..., Any]
) -> None:
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    uid = world.cluster.objects["Job", STAGE_JOB]["metadata"]["uid"]
    world.cluster.delete("Job", STAGE_JOB)
    world.step_changed("stage_data", Condition.FAILED)
    waiting(lambda: world.cluster.has_job(STAGE_JOB, attempt=2), "the retry")
    world.settle()
    lost = told.attempts[1]
    assert (lost.number, lost.uid, lost.job, lost.state.value) == (1, uid, STAGE_JOB, "Failed")
    assert lost.cause
    assert "is gone" in lost.cause.sentence


def test_a_failure_for_good_is_told_though_its_job_is_kept(world: Any, told: Told) -> None:
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()
    assert world.cluster.has_job(STAGE_JOB)
    assert [state for _, state, _ in told.of("stage_data")] == ["Running", "Failed"]
    assert told.attempts[-1].cause
    assert told.attempts[-1].cause.exit_code == 3


def test_a_canceled_run_tells_what_was_at_work(world: Any, told: Told) -> None:
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.job["state"] = "c"
    world.send(Command.CANCEL)
    world.reach("C/")
    world.settle()
    assert told.of("stage_data") == [(1, "Running", ""), (1, "Canceled", "")]


def test_a_history_that_cannot_be_told_stops_no_run(world: Any, told: Told) -> None:
    told.away = True
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert world.cluster.names("Job", "ConfigMap") == []


def test_an_attempt_whose_job_outlived_a_crash_before_it_was_noted_is_told_when_it_is_adopted(
    world: Any, told: Told
) -> None:
    def before(verb: str, kind: str, name: str) -> None:
        if verb == "patch":
            world.cluster.before = lambda *call: None
            raise Unavailable("cluster", "the connection was reset")

    world.cluster.before = before
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    assert told.of("stage_data") == [(1, "Running", "")]
