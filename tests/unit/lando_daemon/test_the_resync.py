"""The resync of the daemon: what it mends by itself, what it leaves alone, and what it costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lando.errors import Unavailable
from lando.k8s import resync
from lando.messages import Command, Condition

STAGE_JOB = "stage-data-42-ada"
RUNS = 200


def claim(run_id: int) -> dict[str, Any]:
    labels = {"bespin-job": "true", "bespin-job-id": str(run_id)}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": f"job-data-{run_id}-ada", "labels": labels}}


def record(run_id: int, data: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": f"lando-run-{run_id}", "labels": {"lando-run-record": str(run_id)}}
    return {"kind": "ConfigMap", "metadata": metadata, "data": data or {}}


def look_for_it(world: Any) -> list[resync.Finding]:
    return resync.compare(world.cluster, world.source, world.config, world.daemon._clock())


def start_and_resync(world: Any, waiting: Callable[..., Any], **changes: Any) -> None:
    """Start the daemon over a run that was never started, and let its first resync pass."""
    resynced: list[str] = []
    world.admin.before = lambda method, path: resynced.append(path) if path == "jobs/" else None
    world.job["state"] = "N"
    world.start(**changes)
    waiting(lambda: resynced, "the resync")


def test_a_message_that_was_lost_while_the_daemon_was_at_work_is_made_good(
    world: Any, waiting: Callable[..., Any]
) -> None:
    start_and_resync(world, waiting, resync_s=1)
    world.job["state"] = "S"  # and its message never came
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the first Job")
    world.settle()
    world.cluster.finish(STAGE_JOB)  # and nobody told
    world.reach("R/R")


def test_neither_the_resync_nor_a_stray_message_begins_a_job_that_waits_for_its_turn(
    world: Any, waiting: Callable[..., Any]
) -> None:
    start_and_resync(world, waiting)
    world.job.update(state="S", held=True)
    assert look_for_it(world) == []
    world.send(Command.START)
    world.settle()
    assert world.job["state"] == "S"
    assert not world.cluster.has_job(STAGE_JOB)
    del world.job["held"]
    world.send(Command.START)
    world.reach("R/S")


def test_what_passed_unheard_during_an_outage_is_made_good_right_after_it(
    world: Any, waiting: Callable[..., Any]
) -> None:
    start_and_resync(world, waiting)  # the next one is due in minutes
    world.admin.before = lambda method, path: None
    world.job["state"] = "S"
    world.send(Command.START)
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the first Job")
    world.settle()
    away = [True]

    def refuse(verb: str, kind: str, name: str) -> None:
        if away:
            raise Unavailable("cluster", "away", status=503)

    world.cluster.before = refuse
    world.step_changed("stage_data", Condition.WAITING)
    waiting(lambda: world.daemon.waits_for() is not None, "the pause")
    with world.cluster.changed:
        world.cluster.finish(STAGE_JOB)  # and nobody told
        away.clear()
    world.reach("R/R")


def test_a_lando_that_becomes_the_active_one_looks_at_once(world: Any, waiting: Callable[..., Any]) -> None:
    former = world.broker.consumer("lando", prefetch=1)
    assert former._take_lease()
    world.start()
    waiting(lambda: world.daemon.note() is not None, "standing by")
    assert not world.cluster.has_job(STAGE_JOB)  # whose message never came
    former._leave()
    world.reach("R/S")


def test_a_config_map_that_somebody_deleted_before_its_pod_had_it_is_made_again(
    world: Any, waiting: Callable[..., Any]
) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the Job")
    world.settle()
    with world.cluster.changed:
        made = world.cluster.objects.pop(("ConfigMap", STAGE_JOB))
        pod = world.cluster.pod(STAGE_JOB)
        pod["status"] = {"phase": "Pending", "startTime": "2026-03-04T15:06:00Z"}
        said = f'MountVolume.SetUp failed for volume "c": configmap "{STAGE_JOB}" not found'
        world.cluster.objects["Event", "e"] = {
            "kind": "Event",
            "metadata": {"name": "e", "creationTimestamp": "2026-03-04T15:06:01Z"},
            "involvedObject": {"kind": "Pod", "uid": pod["metadata"]["uid"]},
            "reason": "FailedMount",
            "message": said,
        }
    world.config = replace(world.config, patience_s=10**9)
    world.stop()
    world.start()
    world.step_changed("stage_data", Condition.WAITING)
    waiting(lambda: STAGE_JOB in world.cluster.names("ConfigMap"), "the ConfigMap")
    assert world.cluster.objects["ConfigMap", STAGE_JOB]["data"] == made["data"]
    assert world.cluster.has_job(STAGE_JOB, attempt=1)


def test_a_job_that_somebody_deleted_is_made_again(world: Any, waiting: Callable[..., Any]) -> None:
    world.start(resync_s=1)
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the first Job")
    world.settle()
    world.cluster.delete("Job", STAGE_JOB)
    waiting(lambda: world.cluster.has_job(STAGE_JOB, attempt=2), "the second")


def test_a_pod_whose_job_was_deleted_without_it_goes_before_its_step_is_done_again(
    world: Any, waiting: Callable[..., Any]
) -> None:
    world.start(resync_s=1)
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the first Job")
    world.settle()
    at_work: list[list[str]] = []
    world.cluster.before = lambda verb, kind, name: (
        at_work.append(world.cluster.names("Pod")) if (verb, kind) == ("create", "Job") else None
    )
    orphan = world.cluster.orphan(STAGE_JOB)
    waiting(lambda: world.cluster.has_job(STAGE_JOB, attempt=2), "the second")
    assert at_work == [[]]
    assert (42, "stage_data", 1, f"log of {orphan}\n", None) in world.archive.stored


def test_a_pod_whose_job_was_deleted_without_it_does_not_outlive_its_run(
    world: Any, waiting: Callable[..., Any]
) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the Job")
    world.settle()
    world.stop()
    orphan = world.cluster.orphan(STAGE_JOB)
    for kind, name in list(world.cluster.objects):
        if kind != "Pod":
            del world.cluster.objects[kind, name]
    world.job.update(state="F", step="")
    (finding,) = look_for_it(world)
    assert finding.wrong == "It is Finished and left 1 orphaned pod."
    assert world.cluster.names("Pod") == [orphan]
    world.start()
    waiting(lambda: not world.cluster.names("Pod"), "the pod's end")


def test_objects_of_a_run_that_the_api_does_not_know_stay(
    world: Any, waiting: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    start_and_resync(world, waiting)
    world.cluster.create(claim(7))
    world.cluster.create(record(7))
    told = world.daemon._look_at_what_is_wrong(frozenset())
    assert told == {7}
    assert world.daemon._look_at_what_is_wrong(told) == told
    waiting(lambda: len(world.daemon._dispatcher) == 0, "every look")
    assert set(world.cluster.names("PersistentVolumeClaim", "ConfigMap")) == {"job-data-7-ada", "lando-run-7"}
    (said,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING" and "7" in line.getMessage()]
    assert said.startswith("Run 7: The API knows no such run, and yet there is 1 volume, the run record.")
    assert resync.FINDINGS.labels("unknown")._value.get() == 1


def test_runs_at_work_and_kept_runs_cost_no_request_of_their_own(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the Job")
    world.settle()
    world.stop()  # so that only what is asked for below is counted
    job = world.cluster.objects["Job", STAGE_JOB]
    for run_id in range(100, 100 + RUNS):
        world.admin.jobs[run_id] = {**copy.deepcopy(world.job), "id": run_id}
        if run_id % 2:
            world.admin.jobs[run_id] |= {"state": "E", "step": "S"}
            world.cluster.create(record(run_id))
        else:
            copied = copy.deepcopy(job)
            copied["metadata"] |= {"name": f"stage-data-{run_id}-ada"}
            copied["metadata"]["labels"]["bespin-job-id"] = str(run_id)
            uid = world.cluster.create(copied)["metadata"]["uid"]
            noted = f'{{"attempt": 1, "uid": "{uid}", "retries": 0}}'
            world.cluster.create(record(run_id, {"step.stage_data": noted}))
        world.cluster.create(claim(run_id))
    asked: list[str] = []
    world.admin.before = lambda method, path: asked.append(f"{method} {path}")
    world.cluster.calls.clear()

    assert look_for_it(world) == []
    assert asked == ["GET jobs/"]
    assert world.cluster.calls == [
        ("list", "Job", ""),
        ("list", "Pod", ""),
        ("list", "ConfigMap", ""),
        ("list", "PersistentVolumeClaim", ""),
        ("list", "ConfigMap", ""),
    ]


def test_while_the_api_is_away_nothing_is_taken_for_unknown(world: Any, waiting: Callable[..., Any]) -> None:
    world.job["state"] = "N"
    world.cluster.create(record(42))

    def away(method: str, path: str) -> None:
        raise Unavailable("Bespin API", "away", status=503)

    world.admin.before = away
    world.start()
    waiting(lambda: "away" in (world.daemon.waits_for() or ""), "the pause")
    assert world.cluster.names("ConfigMap") == ["lando-run-42"]
