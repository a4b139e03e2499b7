"""Whatever goes wrong at any call of the lando daemon, a run that nothing else befalls ends as it does without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash_points.calls import Fault, Kind
from tests.crash_points.exploring import Exploration
from tests.crash_points.scenarios import UNDISTURBED, Scenario

Explore = Callable[[Scenario], Exploration]
STAGES = [
    pytest.param(scenario, number, id=f"{scenario.name}, {stage.name}")
    for scenario in UNDISTURBED
    for number, stage in list(enumerate(scenario.stages))[-scenario.tested :]
]


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_a_run_ends_the_same_whatever_goes_wrong_at_any_call(
    explore: Explore,
    record_property: Callable[[str, object], None],
    scenario: Scenario,
    number: int,
    fault: Fault,
) -> None:
    exploration = explore(scenario)
    recorded = exploration.recorded[number]
    points = [point for point in exploration.points(recorded) if point.fault is fault]
    for point in points:
        assert exploration.violations(recorded, point) == []
    record_property("scenario", f"lando: {scenario.name}")
    record_property("points", len(points))


@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_every_effect_that_is_seen_outside_is_a_recorded_call(
    explore: Explore, scenario: Scenario, number: int
) -> None:
    recorded = explore(scenario).recorded[number]
    said = [call.what for call in recorded.calls]
    assert sum(what.startswith("create Job ") for what in said) >= len(recorded.made)
    assert sum(what.startswith("notify ") for what in said) == len(recorded.notices)
    assert sum(what.startswith("PUT jobs/") for what in said) >= len(recorded.notices)
    assert {Kind.READ, Kind.SETTLE} <= {call.kind for call in recorded.calls}
