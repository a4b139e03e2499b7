"""A run that begins anew: nothing of its former life is taken for its present one, and nothing of that is lost."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from lando.messages import Command, Condition

RUN_JOB = "run-workflow-42-ada"


def cancel_in_its_second_step(world: Any) -> None:
    world.send(Command.START)
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    world.job["state"] = "c"
    world.send(Command.CANCEL)
    world.reach("C/")
    world.settle()


def test_the_logs_of_a_canceled_life_are_not_overwritten_by_the_next(world: Any) -> None:
    world.start()
    cancel_in_its_second_step(world)
    world.job["state"] = "r"
    world.send(Command.RESTART)
    world.reach("R/S")
    world.settle()
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    kept = [(step, attempt) for _, step, attempt, _, _ in world.archive.stored]
    assert len(set(kept)) == len(kept)
    assert ("stage_data", 1) in kept
    assert ("stage_data", 2) in kept
    assert ("run_workflow", 2) in kept


def test_an_archive_that_is_away_stops_no_restart(world: Any) -> None:
    world.start()
    cancel_in_its_second_step(world)
    world.archive.away = True
    world.job["state"] = "r"
    world.send(Command.RESTART)
    world.reach("R/S")


def test_a_start_over_the_remains_of_an_earlier_life_makes_everything_anew(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    old = copy.deepcopy(world.cluster.objects["Job", RUN_JOB])
    world.job.update(state="S", step="")
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    assert world.cluster.has_job("stage-data-42-ada", attempt=2)
    assert ("Job", RUN_JOB) not in world.cluster.objects
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    assert world.cluster.objects["Job", RUN_JOB]["metadata"]["uid"] != old["metadata"]["uid"]
    assert world.cluster.has_job(RUN_JOB, attempt=2)


def test_a_copy_of_a_job_under_another_name_is_not_the_step(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    labels = world.cluster.objects["Job", RUN_JOB]["metadata"]["labels"]
    spec = {"template": {"spec": {"containers": [{"name": "debug"}]}}}
    world.cluster.create(
        {"kind": "Job", "metadata": {"name": "debug-of-an-operator", "labels": dict(labels)}, "spec": spec}
    )
    world.cluster.finish("debug-of-an-operator", exit_code=1)
    world.step_changed("run_workflow", Condition.FAILED)
    world.settle()
    assert world.at == "R/R"
    assert world.cluster.has_job(RUN_JOB, attempt=1)


def test_canceled_is_said_when_the_pods_are_gone(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.pods_linger = True
    world.job["state"] = "c"
    world.send(Command.CANCEL)
    waiting(lambda: ("watch", "Pod", "") in world.cluster.calls, "the daemon to wait for the pod")
    assert world.at == "c/S"
    world.cluster.end_pods()
    world.reach("C/")
