"""A run that is killed before or after any of its calls, and started again, runs every Job once and ends right."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import pytest
from lando.direct.events import Outcome
from lando.direct.lease import Lease
from lando.phases.model import Model
from tests.unit.direct.running import Idle, Told, World, entry, model, run
from tests.unit.direct.test_runner_order import most_at_once

PHASES = ([entry("a"), entry("b", needs=["a"]), entry("dir", "x", "y")], [entry("d", phase=1)])
MODELS = {
    "kept": model(*PHASES, parallelization=2),
    "cleaned up": model(*PHASES, parallelization=2, cleanup=True),
}


class Killed(Exception):
    """The process is no more."""


class Mortal(Idle):
    """Ends the thread that decides when the process has been killed elsewhere."""

    def __init__(self, stop: threading.Event, world: World) -> None:
        super().__init__(stop, world)
        self.is_dead = False

    def wait(self, seconds: float | None) -> None:
        if self.is_dead:
            raise Killed
        super().wait(seconds)


def killed(world: World, one: Model, at: str, *, after: bool, number: int) -> bool:
    """A run that dies at the ``number``-th call of this kind, or right after it; whether it came to that."""
    stop = threading.Event()
    waiting = Mortal(stop, world)
    left = [number]

    def die(call: str) -> None:
        if not waiting.is_dead and call == at:
            left[0] -= 1
            if left[0] == 0:
                waiting.is_dead = True
                # The Lease's own thread needs no more than to get nothing done.
                raise world.unavailable() if threading.current_thread().name == "lease" else Killed

    def be_dead(call: str) -> None:
        if waiting.is_dead:
            raise world.unavailable()
        if not after:
            die(call)

    world.before = be_dead
    world.after = die if after else lambda call: None
    with suppress(Killed):
        run(world, one, stop=stop, waiting=waiting)
    world.before = world.after = lambda call: None
    return waiting.is_dead


def calls_of(one: Model) -> list[tuple[str, int]]:
    """Every call of an undisturbed run, counted among its like."""
    world = World()
    world.outcomes = lambda job: 0
    run(world, one)
    counted: dict[str, int] = {}
    for call in world.calls:
        counted[call] = counted.get(call, 0) + 1
    world.close()
    return [(call, number) for call, times in counted.items() for number in range(1, times + 1)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["kept", "cleaned up"])
def test_each_job_runs_once_wherever_a_run_is_killed(name: str, after: bool) -> None:
    one = MODELS[name]
    # After the Lease is deleted, everything was done, and would be done anew.
    never = ("watch", "delete Lease") if after else ()
    points = [(call, number) for call, number in calls_of(one) if not call.startswith(never)]
    deaths = 0
    assert {"create Job d", "create Lease"} <= {
        " ".join(call.split()[: 3 if "Job" in call else 2]) for call, _ in points
    }
    for call, number in points:
        world = World()
        deaths += killed(world, one, call, after=after, number=number)
        told = again(world, one)
        where = f"killed {'after' if after else 'before'} call {number} of {call!r}"
        assert told.ended.outcome is Outcome.COMPLETE, where
        assert sorted(world.made()) == ["a", "b", "d", "x", "y"], where
        assert most_at_once(world) <= 2, where
        order = [step for step in world.history if step[0] != "removed"]
        assert order.index(("made", "b")) > order.index(("ended", "a")), where
        assert order.index(("made", "d")) == len(order) - 2, where
        assert world.jobs() == ([] if name == "cleaned up" else ["a", "b", "d", "x", "y"]), where
        world.close()
    assert deaths >= len(points) - 3  # how often watches begin is not always the same


def again(world: World, one: Model) -> Told:
    """Run it once more, as a process that can tell that the first is gone."""
    return run(world, one, make_lease=partial(Lease, is_gone=lambda holder: True))
