"""Two crashes in one run: of lando, the watcher or the API server, in any order, or of one of them twice."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from lando.messages import Condition
from tests.crash_points.calls import Lives, Point, points
from tests.crash_points.exploring import Recorded
from tests.crash_points.scenarios import Scenario, Stage
from tests.crash_points.serving import KillableApi
from tests.crash_points.watching import KILLS, WatchedWorld, WatcherExploration
from tests.crash_points.world import World

PAIRS = int(os.environ.get("PAIRS") or 100)
"""How many are tried."""
SEED = int(os.environ.get("SEED") or 7)
"""Says which."""
Pair = tuple[Point, Point]


class PairExploration(WatcherExploration):
    """A scenario in which lando, the watcher and the API server are killed."""

    api: KillableApi
    make_api = KillableApi

    def __init__(self, scenario: Scenario, api: KillableApi, folder: Path) -> None:
        super().__init__(scenario, api, folder, form="json")

    def pair(self, random: Random) -> tuple[Recorded, Pair]:
        """A stage and two calls of its processes at which they are to be killed."""
        recorded = random.choice(self.recorded[-self.scenario.tested :])

        def kill() -> Point:
            by = random.choice(sorted({call.by for call in recorded.calls}))
            calls = [call for call in recorded.calls if call.by == by]
            return random.choice(sorted(points(calls, dict.fromkeys((call.kind for call in calls), KILLS)), key=str))

        return recorded, (kill(), kill())

    def wrong(self, recorded: Recorded, pair: Pair) -> tuple[list[str], int]:
        """What is otherwise than without the crashes, a sentence each; how many of them came about."""
        lives = Lives(pair)
        wrong = self._wrong(recorded, lives, pair)
        return [f"{recorded.stage.name}: {pair[0]}; {pair[1]}: {what}" for what in wrong], lives.met

    def _calls(self) -> Lives:
        return Lives()

    def _begin(self, world: WatchedWorld, calls: Lives) -> None:
        self.api.forget()
        self.api.next_life = lambda: calls.begin("API server")
        world.next_life = calls.begin
        self.api.begin()
        world.start(resyncs=False)
        world.watch()

    def _play(self, world: World, stage: Stage, calls: Any) -> None:
        super()._play(world, stage, calls)
        world.pass_time()  # what was to be told after the second crash

    def _expected(self, recorded: Recorded, found: dict[str, Any], points: Sequence[Point]) -> dict[str, Any]:
        expected = self.api.with_what_was_asked(recorded.after, found)
        if {at.call.by for at in points} != {"lando", "API server"}:
            return expected
        # What could not be told of attempts is in the memory of lando alone.
        attempts = found["job"]["attempts"]
        known = {told for one in expected["job"]["attempts"] for told in (one, f"{one.rpartition(' ')[0]} Unknown")}
        return (
            {**expected, "job": {**expected["job"], "attempts": attempts}} if known.issuperset(attempts) else expected
        )

    def _mistold(self, recorded: Recorded, world: World, points: Sequence[Point]) -> list[str]:
        silent = any(at.call.by == "watcher" for at in points)
        unsaid = Counter(recorded.told) - Counter(world.told)
        return [f"not told: {what}" for what in unsaid if not (silent and what.endswith(f" {Condition.GONE.value}"))]
