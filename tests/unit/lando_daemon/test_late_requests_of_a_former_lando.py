"""What a lando that lost its place had on its way arrives late, when the next one has long gone on."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from lando.errors import Conflict, NotFound
from lando.messages import Command, Condition

STAGE_DATA = "stage-data-42-ada"


class Sent:
    """Requests of one kind as they were sent."""

    def __init__(self, world: Any, verb: str) -> None:
        self._call = getattr(world.cluster, verb)
        self._requests: list[tuple[Any, Any]] = []
        setattr(world.cluster, verb, self._listen)

    def _listen(self, *given: Any, **named: Any) -> Any:
        self._requests.append(copy.deepcopy((given, named)))
        return self._call(*given, **named)

    def arrive_late(self, count: int | None = None) -> None:
        """The first ``count`` of them once more."""
        assert self._requests
        for given, named in self._requests[:count]:
            with contextlib.suppress(Conflict, NotFound):
                self._call(*given, **named)


def jobs_made(world: Any) -> list[str]:
    return [name for verb, kind, name in world.cluster.calls if (verb, kind) == ("create", "Job")]


def test_what_the_record_said_of_an_attempt_does_not_come_back(world: Any) -> None:
    """The step would be taken for one whose Job is gone, and be done again beside its own success."""
    world.start()
    sent = Sent(world, "patch")
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_DATA, 137, reason="Evicted")
    world.step_changed("stage_data", Condition.FAILED)
    world.settle()
    assert world.cluster.has_job(STAGE_DATA, attempt=2)
    sent.arrive_late(1)
    world.step_changed("stage_data", Condition.WAITING)
    world.settle()
    assert world.cluster.has_job(STAGE_DATA, attempt=2)
    assert jobs_made(world) == [STAGE_DATA] * 2
    world.run_to_the_end()
    world.reach("F/")


def test_deletions_of_a_canceled_life_spare_the_next(world: Any) -> None:
    world.start()
    sent = Sent(world, "delete")
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    for state, command, then in (("c", Command.CANCEL, "C/"), ("r", Command.RESTART, "R/S")):
        world.job["state"] = state
        world.send(command)
        world.reach(then)
        world.settle()
    there = world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim")
    assert "lando-run-42" in there
    sent.arrive_late()
    assert world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim") == there


@pytest.mark.parametrize(("state", "command"), [("r", Command.RESTART), ("S", Command.START), ("c", Command.CANCEL)])
def test_a_command_that_another_lando_carries_out_meanwhile_is_not_begun_on_its_work(
    world: Any, state: str, command: Command
) -> None:
    """The run is read before, and its objects after, the other one has gone on: they are not leftovers."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    made = world.cluster.objects["Job", STAGE_DATA]["metadata"]["uid"]
    recorded = copy.deepcopy(world.cluster.objects["ConfigMap", "lando-run-42"]["data"])
    asked = 0

    def go_on(method: str, path: str) -> None:
        nonlocal asked
        asked += method == "GET" and path == "jobs/42/"
        if asked == 2:
            world.job["state"] = "R"

    world.job.update(state=state, generation=1)
    world.admin.before = go_on
    world.send(command, generation=1)
    world.settle()
    assert world.at == "R/S"
    assert world.cluster.objects["Job", STAGE_DATA]["metadata"]["uid"] == made
    assert world.cluster.objects["ConfigMap", "lando-run-42"]["data"] == recorded


def test_a_record_that_another_lando_has_filled_meanwhile_is_read_first(world: Any) -> None:
    """It was not there when the cluster was read, so that the run seemed to have made nothing yet."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    record = world.cluster.objects.pop(("ConfigMap", "lando-run-42"))

    def come_back(verb: str, kind: str, name: str) -> None:
        if (verb, kind, name) == ("create", "ConfigMap", "lando-run-42"):
            world.cluster.objects["ConfigMap", name] = record

    world.cluster.before = come_back
    world.cluster.calls.clear()
    world.step_changed("stage_data", Condition.WAITING)
    world.settle()
    assert ("get", "ConfigMap", "lando-run-42") in world.cluster.calls
    assert not [call for call in world.cluster.calls if call[0] == "patch"]
    assert jobs_made(world) == []
