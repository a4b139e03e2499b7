"""Records a scenario, then plays each of its stages again with one thing going wrong at one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash_points.api import Api
from tests.crash_points.calls import REFUSALS, RETRY_AFTER_S, Call, Calls, Fault, Point, busy_points, points
from tests.crash_points.scenarios import Scenario, Stage
from tests.crash_points.world import Kept, World


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One stage as it goes when nothing goes wrong."""

    stage: Stage
    before: Kept
    calls: Sequence[Call]
    after: dict[str, Any]
    made: Sequence[str]
    notices: Sequence[str]
    told: Sequence[str]
    """What the part under test said, in a few words each."""

    @property
    def points(self) -> list[Point]:
        return points(self.calls) + busy_points(self.calls)


class Exploration:
    """A scenario on an API of its own."""

    make_api = Api

    def __init__(self, scenario: Scenario, api: Api, folder: Path) -> None:
        self.scenario = scenario
        self.api = api
        self._folder = folder
        self.recorded: list[Recorded] = []

    def record(self) -> None:
        """Play the whole scenario, each stage by a daemon of its own."""
        kept = self._first()
        for number, stage in enumerate(self.scenario.stages):
            calls = self._calls()
            world = self._world(kept)
            try:
                self._play(world, stage, calls)
                view = world.view()
                assert view["job"]["state"] == stage.reaches, f"{stage.name}: {view}"
                assert not world.journal.wrong, world.journal.wrong
                recorded = Recorded(
                    stage=stage,
                    before=kept,
                    calls=tuple(calls.made),
                    after=view,
                    made=tuple(world.journal.made),
                    notices=tuple(world.heard()),
                    told=tuple(world.told),
                )
                kept = world.keep(self._folder / f"kept-{number}.db")
            finally:
                world.close()
            self.recorded.append(recorded)

    def _first(self) -> Kept:
        world = self._world()
        try:
            return world.keep(self._folder / "kept.db")
        finally:
            world.close()

    def _calls(self) -> Any:
        """What records the calls of the part under test."""
        return Calls()

    def _world(self, kept: Kept | None = None) -> World:
        return World(self.api, self._folder, kept, **self.scenario.config)

    def _play(self, world: World, stage: Stage, calls: Any) -> None:
        world.start(calls, resyncs=False)
        stage.do(world)
        world.settle()
        world.pass_time()

    def points(self, recorded: Recorded) -> list[Point]:
        """What is to go wrong in a stage."""
        return recorded.points

    def violations(self, recorded: Recorded, point: Point) -> list[str]:
        """What is otherwise than without the fault, a sentence each."""
        calls = Calls(point)
        wrong = self._wrong(recorded, calls, [point])
        if not calls.came_true:
            wrong.append("the call was not made this time")
        return [f"{recorded.stage.name}: {point}: {what}" for what in wrong]

    def _wrong(self, recorded: Recorded, calls: Any, points: Sequence[Point]) -> list[str]:
        world = self._world(recorded.before)
        try:
            self._play(world, recorded.stage, calls)
            wrong = list(world.journal.wrong)
            found = world.view()
            wrong += _differences(self._expected(recorded, found, points), found)
            if list(recorded.made) != world.journal.made:
                wrong.append(f"Jobs made: {world.journal.made}, not {list(recorded.made)}")
            wrong += _impatience(world, points)
            wrong += _gaps(recorded.notices, world.heard(), points)
            wrong += self._mistold(recorded, world, points)
        except AssertionError as error:
            wrong = [str(error)]
        finally:
            world.close()
        return wrong

    def _expected(self, recorded: Recorded, found: dict[str, Any], points: Sequence[Point]) -> dict[str, Any]:
        """How the world is to be; what may be otherwise is as it was ``found``."""
        if any(at.fault in REFUSALS and at.call.what.startswith(("log of ", "archive: ")) for at in points):
            # A log that can't be kept is no reason to stop.
            return {**recorded.after, "archived": found["archived"]}
        return recorded.after

    def _mistold(self, recorded: Recorded, world: World, points: Sequence[Point]) -> list[str]:
        """What the part under test said that it should not have said, or the other way round."""
        return []


def _differences(expected: Any, found: Any, path: str = "") -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(expected.keys() | found.keys())
        return [line for key in keys for line in _differences(expected.get(key), found.get(key), f"{path} {key}")]
    if isinstance(expected, list) and isinstance(found, list):
        missing = [item for item in expected if item not in found]
        extra = [item for item in found if item not in expected]
        if missing or extra or len(expected) != len(found):
            return [f"{path.strip()}: missing {missing}, extra {extra}, {len(found)} for {len(expected)}"]
        return []
    return [] if expected == found else [f"{path.strip()}: {found!r}, not {expected!r}"]


def _impatience(world: World, points: Sequence[Point]) -> list[str]:
    """A peer that says when to come again is left alone until then."""
    paused_s = world.daemon.paused_s if world.daemon else None
    was_asked = any(at.fault is Fault.THROTTLED for at in points)
    if not was_asked or paused_s is None or paused_s >= RETRY_AFTER_S:
        return []
    return [f"asked again after {paused_s:.1f} s, not {RETRY_AFTER_S:.0f} s"]


def _gaps(expected: Sequence[str], heard: Sequence[str], points: Sequence[Point]) -> list[str]:
    """Notices come in order; a killed process may owe the one it was about to send."""
    rest = iter(expected)
    in_order = all(any(notice == each for each in rest) for notice in heard)
    missing = len(expected) - len(heard)
    allowed = sum(at.fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.ANSWER_LOST) for at in points)
    if in_order and 0 <= missing <= allowed:
        return []
    return [f"notices: {list(heard)}, not {list(expected)}"]
