"""Whatever goes wrong at any call of the watcher, each outcome is told and the run ends as it does without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import judging
from tests.crash_points.calls import Fault
from tests.crash_points.exploring import Exploration
from tests.crash_points.scenarios import WATCHED, WATCHED_IN_LEGACY_FORM, Scenario
from tests.crash_points.watching import WatcherExploration

Explore = Callable[..., Exploration]
WAYS: list[tuple[str, tuple[Scenario, ...], dict[str, Any]]] = [
    ("json", WATCHED, {"form": "json"}),
    ("pickle", WATCHED_IN_LEGACY_FORM, {"form": "pickle"}),
    ("json, pods seen late", WATCHED[1:2], {"form": "json", "sees_pods": False}),
]
STAGES = [
    pytest.param(scenario, number, how, id=f"{scenario.name}, {stage.name}, {way}")
    for way, scenarios, how in WAYS
    for scenario in scenarios
    for number, stage in list(enumerate(scenario.stages))[-scenario.tested :]
]


@pytest.fixture(autouse=True)
def waits_are_told_at_once(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where one is meant: a pod that starts a little later than usual is no wait to be told."""
    if scenario.waits:
        monkeypatch.setattr(judging, "NOTICEABLE", timedelta())


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
@pytest.mark.parametrize(("scenario", "number", "how"), STAGES)
def test_every_outcome_is_told_whatever_goes_wrong_at_any_call(
    explore: Explore,
    record_property: Callable[[str, object], None],
    scenario: Scenario,
    number: int,
    how: dict[str, Any],
    fault: Fault,
) -> None:
    exploration = explore(scenario, WatcherExploration, **how)
    recorded = exploration.recorded[number]
    points = [point for point in exploration.points(recorded) if point.fault is fault]
    for point in points:
        assert exploration.violations(recorded, point) == []
    record_property("scenario", f"watcher: {scenario.name} ({how['form']})")
    record_property("points", len(points))


@pytest.mark.parametrize(("scenario", "number", "how"), STAGES)
def test_every_message_of_the_watcher_is_a_recorded_call(
    explore: Explore, scenario: Scenario, number: int, how: dict[str, Any]
) -> None:
    recorded = explore(scenario, WatcherExploration, **how).recorded[number]
    said = [call.what for call in recorded.calls]
    assert [what.removeprefix("publish ") for what in said if what.startswith("publish ")] == list(recorded.told)
    assert recorded.told or how["form"] == "pickle"
