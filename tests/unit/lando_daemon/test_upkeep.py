"""What an operator asks for, beside a daemon at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.config import WorkQueueSettings
from lando.errors import ConfigError, InputError
from lando.k8s.findings import Trouble
from lando.k8s.pruning import Held
from lando.k8s.upkeep import Upkeep
from lando.messages import Command, codec

STAGE_JOB = "stage-data-42-ada"


def upkeep(world: Any, **changes: Any) -> Upkeep:
    return Upkeep(
        replace(world.config, **changes),
        cluster=world.cluster,
        source=world.source,
        publisher=world.broker.publisher(),
        archive=world.archive,
    )


def commands(world: Any) -> list[tuple[Command, int, int | None]]:
    """What lies in the queue, taken out of it."""
    found = []
    with world.broker.changed:
        while taken := world.broker.take("lando"):
            world.broker.settle("lando", taken[0])
            message = codec.decode(taken[1].body)
            found.append((message.command, message.run_id, message.generation))
    return found


def failed_to_move_on(world: Any, waiting: Callable[..., Any]) -> None:
    """A run whose step ended while no daemon was at work."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the Job")
    world.settle()
    world.stop()
    world.cluster.finish(STAGE_JOB)


def test_a_dry_run_only_says_what_is_wrong(world: Any, waiting: Callable[..., Any]) -> None:
    failed_to_move_on(world, waiting)
    writes = len(world.admin.writes)
    (finding,) = upkeep(world).resync(dry_run=True)
    assert (finding.run_id, finding.trouble) == (42, Trouble.STALLED)
    assert finding.wrong == f"The Job {STAGE_JOB} has ended, and the run has not gone on."
    assert commands(world) == []
    assert len(world.admin.writes) == writes


def test_the_daemon_puts_right_what_it_is_asked_to_look_at(world: Any, waiting: Callable[..., Any]) -> None:
    failed_to_move_on(world, waiting)
    upkeep(world).resync()
    assert world.broker.depth("lando") == 1
    world.start(resync_s=300)
    world.reach("R/R")
    world.settle()
    assert upkeep(world).resync(dry_run=True) == []


@pytest.mark.parametrize(("state", "command"), [("S", Command.START), ("r", Command.RESTART), ("c", Command.CANCEL)])
def test_a_command_that_nobody_carried_out_is_given_again(world: Any, state: str, command: Command) -> None:
    world.start()
    world.stop()
    commands(world)
    world.job.update(state=state, generation=5)
    upkeep(world).resync()
    assert commands(world) == [(command, 42, 5)]


def test_a_queue_that_a_foreign_lando_may_read_gets_nothing(world: Any) -> None:
    world.start()
    world.stop()
    world.job["state"] = "S"
    legacy = WorkQueueSettings(listen_queue="lando", url="memory://test", message_format="pickle")
    asked = upkeep(world, work_queue=legacy)
    assert len(asked.resync(dry_run=True)) == 1
    with pytest.raises(ConfigError, match="only --dry-run is possible"):
        asked.resync()
    assert commands(world) == []


def failed(world: Any, waiting: Callable[..., Any]) -> None:
    """A run that failed a moment ago, with a daemon at work."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job(STAGE_JOB), "the Job")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    world.step_changed("stage_data")
    world.reach("E/S")
    world.settle()


def test_what_a_failed_run_kept_goes_by_the_daemon_and_then_its_logs(world: Any, waiting: Callable[..., Any]) -> None:
    failed(world, waiting)
    asked = upkeep(world)
    assert asked.prune() == [], "it is kept for some days"
    (objects,) = asked.prune(older_than=timedelta(), dry_run=True)
    assert (objects.where, objects.what) == (Held.CLUSTER, "1 Job, 1 ConfigMap, 1 volume, the run record")
    assert STAGE_JOB in world.cluster.names("Job")

    assert asked.prune(older_than=timedelta()) == [objects]
    waiting(lambda: world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim") == [], "a clean cluster")
    world.settle()
    (logs,) = asked.prune(older_than=timedelta())
    assert logs.where is Held.ARCHIVE
    assert logs.size > 0
    assert world.archive.sizes() == {}
    assert world.at == "E/S"
    assert len(world.admin.errors) == 1


def test_a_run_that_was_restarted_meanwhile_keeps_its_objects(world: Any, waiting: Callable[..., Any]) -> None:
    failed(world, waiting)
    world.stop()
    asked = upkeep(world)
    asked.prune(older_than=timedelta())
    assert commands(world) == [(Command.PRUNE, 42, None)]
    world.job["last_updated"] = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()  # restarted, and failed again
    world.start()
    world.send(Command.PRUNE, ended_before=datetime.now(UTC))
    world.settle()
    assert STAGE_JOB in world.cluster.names("Job")


@pytest.mark.parametrize("at", ["S/", "R/S", "r/S", "N/"])
def test_a_run_that_has_not_ended_is_left_alone_whatever_is_asked(
    world: Any, waiting: Callable[..., Any], at: str
) -> None:
    resynced: list[str] = []
    world.admin.before = lambda method, path: resynced.append(path) if path == "jobs/" else None
    world.job["state"] = "N"
    world.start()
    waiting(lambda: resynced, "the resync, which would begin a run that is to be started")
    world.job["state"] = "S"
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    before = world.cluster.names("Job", "PersistentVolumeClaim", "ConfigMap")
    world.job["state"], _, world.job["step"] = at.partition("/")
    world.send(Command.PRUNE, ended_before=datetime.now(UTC) + timedelta(days=1))
    world.settle()
    assert world.cluster.names("Job", "PersistentVolumeClaim", "ConfigMap") == before
    assert upkeep(world).prune(older_than=timedelta()) == []


def test_objects_of_an_unknown_run_go_when_an_operator_names_it(world: Any, waiting: Callable[..., Any]) -> None:
    failed(world, waiting)
    del world.admin.jobs[42]
    world.cluster.create(
        {"kind": "ConfigMap", "metadata": {"name": "x", "labels": {"bespin-job": "true", "bespin-job-id": "43"}}}
    )
    asked = upkeep(world)
    assert asked.prune(older_than=timedelta()) == []
    objects, logs = asked.prune_unknown([42], dry_run=True)
    assert (objects.run_id, objects.state, objects.what) == (42, None, "1 Job, 1 ConfigMap, 1 volume, the run record")
    assert (logs.where, logs.size) == (Held.ARCHIVE, world.archive.sizes()[42])
    assert STAGE_JOB in world.cluster.names("Job")
    assert asked.prune_unknown([42, 44]) == [objects, logs]
    assert world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim") == ["x"]
    assert world.archive.sizes() == {}


def test_a_run_that_the_api_knows_does_not_go_as_unknown(world: Any, waiting: Callable[..., Any]) -> None:
    failed(world, waiting)
    with pytest.raises(InputError, match="Run 42 is known to the API as Error"):
        upkeep(world).prune_unknown([42])
    assert STAGE_JOB in world.cluster.names("Job")
