"""Runs of all sorts, cut into stages: something happens, then all comes to rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lando.messages import Condition
from tests.crash_points.world import World

IDS = {"project_id": "p-1", "readme_file_id": "r-1"}


@dataclass(frozen=True)
class Stage:
    """One thing that happens to a run, and where the run is once all have done their part."""

    name: str
    do: Callable[[World], None]
    reaches: str
    """State and step in letters."""


@dataclass(frozen=True)
class Scenario:
    """A run from its first command on."""

    name: str
    stages: tuple[Stage, ...]
    tested: int = 1
    """How many of its last stages are tried; those before are as in another scenario."""
    config: Mapping[str, Any] = field(default_factory=dict)
    record_step: bool = False
    starts_too: bool = False
    """Whether the reads with which the watcher begins, the same in every scenario, are broken here."""
    waits: bool = False
    """Whether a pod waits long enough for the watcher to tell it."""


def start() -> Stage:
    return Stage("start", lambda world: world.api.act("start"), "R/S")


def ends(step: str, reaches: str, **how: Any) -> Stage:
    return Stage(f"{step} ends", lambda world: world.end_step(step, **how), reaches)


def user(action: str, reaches: str, *, new_life: bool = False) -> Stage:
    def do(world: World) -> None:
        if new_life:
            world.new_life()
        world.api.act(action)

    return Stage(action, do, reaches)


def _delete(world: World) -> None:
    """The owner deletes the failed job; something has the daemon look at it, as a resync would."""
    world.api.user("DELETE", f"/api/v2/jobs/{world.api.job}/")
    world.tell("run_workflow", Condition.GONE)


def _start_without_room(world: World) -> None:
    world.cluster.set_quota(**{"count_jobs.batch": "0"})
    world.api.act("start")


def _make_room(world: World) -> None:
    """The quota is lifted, which nobody tells: the daemon looks again by itself."""
    world.cluster.set_quota()
    world.tell("stage_data", Condition.WAITING)


def _hold(world: World) -> None:
    world.cluster.hold(world.name("stage_data"), "ImagePullBackOff", "Back-off pulling image steps:1")


WAITS = Stage("its image can't be pulled", _hold, "R/S")
GOES_ON = Stage("its image comes", lambda world: world.cluster.go_on(world.name("stage_data")), "R/S")
STAGED = ends("stage_data", "R/R")
RAN = ends("run_workflow", "R/o")
ORGANIZED = ends("organize_output", "R/O")
SAVED = ends("save_output", "F/", message=IDS)
FAILED = ends("run_workflow", "E/R", exit_code=3)

UNDISTURBED = (
    Scenario("a plain run", (start(), STAGED, RAN, ORGANIZED, SAVED), tested=5),
    Scenario(
        "a run that records its output",
        (start(), STAGED, RAN, ORGANIZED, ends("save_output", "R/P"), ends("record_output_project", "F/", message=IDS)),
        tested=2,
        record_step=True,
    ),
    Scenario(
        "a wait for quota",
        (Stage("start", _start_without_room, "R/S"), Stage("room is made", _make_room, "R/S")),
        tested=2,
    ),
)
DISTURBED = (
    Scenario("a failing step", (start(), STAGED, FAILED)),
    Scenario("a cancel in the middle", (start(), STAGED, user("cancel", "C/"))),
    Scenario("a restart of a failed run", (start(), STAGED, FAILED, user("restart", "R/R"))),
    Scenario(
        "a restart of a canceled run",
        (start(), STAGED, user("cancel", "C/"), user("restart", "R/S", new_life=True)),
    ),
    Scenario("an evicted pod", (start(), STAGED, ends("run_workflow", "R/R", exit_code=137, pod_reason="Evicted"))),
    Scenario(
        "a Job that vanished",
        (start(), STAGED, Stage("the Job vanishes", lambda world: world.vanish("run_workflow"), "R/R")),
    ),
    Scenario("the leftovers of a deleted run", (start(), STAGED, FAILED, Stage("delete", _delete, "D/R"))),
)

SERVED = (
    Scenario("the start of a run", (start(), STAGED), tested=2),
    Scenario("the end of a run", UNDISTURBED[0].stages),
    *(each for each in DISTURBED if "restart of a failed" not in each.name),
)
"""Those in which the API server has different things to do."""

EVICTED = ends("run_workflow", "R/R", exit_code=137, pod_reason="Evicted")
GONE = Stage("the Job vanishes", lambda world: world.vanish("run_workflow"), "R/R")
WATCHED = (
    Scenario("a plain run", (start(), STAGED, RAN, ORGANIZED, SAVED), tested=4),
    Scenario("a failing step", (start(), STAGED, FAILED, user("restart", "R/R")), tested=2, starts_too=True),
    Scenario("a cancel in the middle", (start(), STAGED, user("cancel", "C/"))),
    Scenario("an evicted pod", (start(), STAGED, EVICTED)),
    Scenario("a Job that vanished", (start(), STAGED, GONE)),
    Scenario("a wait for an image", (start(), WAITS, GOES_ON), tested=2, waits=True),
)
WATCHED_IN_LEGACY_FORM = (
    Scenario("a plain run", (start(), STAGED, RAN)),
    Scenario("a failing step", (start(), STAGED, FAILED, user("restart", "R/R")), tested=2, starts_too=True),
)

PAIRED = (
    UNDISTURBED[0],
    Scenario("a restart of a failed run", (start(), STAGED, FAILED, user("restart", "R/R")), tested=2),
    Scenario("a restart of a canceled run", DISTURBED[3].stages, tested=2),
    Scenario("an evicted pod", (start(), STAGED, EVICTED)),
    Scenario("a Job that vanished", (start(), STAGED, GONE)),
)
