"""What a Job said is kept before it goes: every container's log, or why there is none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from lando.errors import NotFound
from lando.messages import Command, Condition

STAGE_JOB = "stage-data-42-ada"


@pytest.fixture
def staging(world: Any) -> Any:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    return world


def add_init_container(world: Any, state: dict[str, Any]) -> None:
    pod = world.cluster.pod(STAGE_JOB)
    pod["spec"]["initContainers"] = [{"name": "prepare", "image": "x"}]
    pod["status"]["initContainerStatuses"] = [{"name": "prepare", "state": state}]


def test_init_containers_are_kept_too(staging: Any) -> None:
    add_init_container(staging, {"terminated": {"exitCode": 0, "message": "prepared"}})
    staging.complete("S", "stage_data")
    staging.reach("R/R")
    staging.settle()
    assert [(step, said) for _, step, _, _, said in staging.archive.stored] == [
        ("stage_data", "prepared"),
        ("stage_data", None),
    ]


def test_a_log_that_cannot_be_read_leaves_a_word_and_stops_nothing(staging: Any) -> None:
    def lost(verb: str, kind: str, name: str) -> None:
        if verb == "log":
            raise NotFound("cluster", "no route to host", status=404)

    staging.cluster.before = lost
    staging.complete("S", "stage_data")
    staging.reach("R/R")
    staging.settle()
    ((run, step, attempt, container, why),) = staging.archive.missing
    assert (run, step, attempt, bool(container)) == (42, "stage_data", 1, True)
    assert "could not be read from the cluster (cluster: no route to host)" in why
    assert not staging.cluster.has_job(STAGE_JOB)


def test_a_job_that_vanished_leaves_a_word(staging: Any, waiting: Callable[..., Any]) -> None:
    staging.cluster.delete("Job", STAGE_JOB)
    staging.step_changed("stage_data", Condition.FAILED)
    waiting(lambda: staging.cluster.has_job(STAGE_JOB, attempt=2), "the retry")
    staging.settle()
    assert staging.archive.missing == [
        (42, "stage_data", 1, "", f"the Job {STAGE_JOB} was gone before its log could be kept.")
    ]


def test_the_log_of_a_pod_that_outlived_its_job_is_kept(staging: Any, waiting: Callable[..., Any]) -> None:
    staging.cluster.pods_linger = True
    staging.cluster.delete("Job", STAGE_JOB)
    staging.step_changed("stage_data", Condition.FAILED)
    waiting(lambda: staging.archive.stored, "the log")
    staging.cluster.end_pods()
    waiting(lambda: staging.cluster.has_job(STAGE_JOB, attempt=2), "the retry")
    staging.settle()
    assert {(step, attempt) for _, step, attempt, _, _ in staging.archive.stored} == {("stage_data", 1)}
    assert staging.archive.missing == []


def test_a_job_whose_containers_never_started_leaves_a_word(staging: Any) -> None:
    staging.cluster.pod(STAGE_JOB)["status"] = {"phase": "Pending", "containerStatuses": []}
    staging.job["state"] = "c"
    staging.send(Command.CANCEL)
    staging.reach("C/")
    staging.settle()
    assert [why for *_, why in staging.archive.missing] == ["none of its containers was started."]


def test_several_pods_of_a_job_are_kept_side_by_side(staging: Any) -> None:
    pod = staging.cluster.pod(STAGE_JOB)
    older = copy.deepcopy(pod)
    older["metadata"] |= {"name": "older", "uid": "uid-older", "creationTimestamp": "2026-03-04T15:06:00Z"}
    staging.cluster.objects["Pod", "older"] = older
    staging.cluster.logs["older"] = "of the first\n"
    staging.job["state"] = "c"
    staging.send(Command.CANCEL)
    staging.reach("C/")
    staging.settle()
    assert [log for _, _, _, log, _ in staging.archive.stored] == [
        f"log of {pod['metadata']['name']}\n",
        "of the first\n",
    ]
