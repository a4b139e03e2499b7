"""What an operator asks for, beside a daemon at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lando.config import WorkQueueSettings
from lando.errors import ConfigError
from lando.k8s.findings import Trouble
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
