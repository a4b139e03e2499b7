"""What the tests of all parts have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.crash_points.calls import Fault, Kind
from tests.crash_points.exploring import Exploration, Recorded
from tests.crash_points.scenarios import Scenario

Explore = Callable[..., Exploration]
Property = Callable[[str, object], None]


def stages(scenarios: Sequence[Scenario], *more: Any, way: str = "") -> list[Any]:
    """Parameters of a test: each scenario with the number of each stage that is tried there, and ``more``."""
    return [
        pytest.param(scenario, number, *more, id=f"{scenario.name}, {stage.name}{way and ', '}{way}")
        for scenario in scenarios
        for number, stage in list(enumerate(scenario.stages))[-scenario.tested :]
    ]


def try_all(exploration: Exploration, number: int, fault: Fault, note: Property, part: str) -> None:
    """Let ``fault`` befall every call of a stage, one after the other; ``note`` how many there were."""
    recorded = exploration.recorded[number]
    points = [point for point in exploration.points(recorded) if point.fault is fault]
    for point in points:
        wrong = exploration.violations(recorded, point)
        assert not wrong, "\n".join(wrong)
    note("scenario", part)
    note("points", len(points))


def assert_effects_of_lando_are_recorded(recorded: Recorded) -> None:
    """Whatever others saw of it is among the calls that were broken."""
    said = [call.what for call in recorded.calls]
    assert sum(what.startswith("create Job ") for what in said) >= len(recorded.made)
    assert sum(what.startswith("notify ") for what in said) == len(recorded.notices)
    assert sum(what.startswith("PUT jobs/") for what in said) >= len(recorded.notices)
    assert {Kind.READ, Kind.SETTLE} <= {call.kind for call in recorded.calls}
