"""Whatever goes wrong at any call of the watcher, each outcome is told and the run ends as it does without it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import judging
from tests.crash_points.calls import Fault
from tests.crash_points.scenarios import WATCHED, WATCHED_IN_LEGACY_FORM, Scenario
from tests.crash_points.trying import Explore, Property, stages, try_all
from tests.crash_points.watching import WatcherExploration

JSON, PICKLE, LATE = {"form": "json"}, {"form": "pickle"}, {"form": "json", "sees_pods": False}
STAGES = [
    *stages(WATCHED, JSON, way="json"),
    *stages(WATCHED_IN_LEGACY_FORM, PICKLE, way="pickle"),
    *stages(WATCHED[1:2], LATE, way="json, pods seen late"),
]


@pytest.fixture(autouse=True)
def waits_are_told_at_once(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where one is meant: a pod that starts a little later than usual is no wait to be told."""
    if scenario.waits:
        monkeypatch.setattr(judging, "NOTICEABLE", timedelta())


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
@pytest.mark.parametrize(("scenario", "number", "how"), STAGES)
def test_every_outcome_is_told_whatever_goes_wrong_at_any_call(
    explore: Explore, record_property: Property, scenario: Scenario, number: int, how: dict[str, Any], fault: Fault
) -> None:
    exploration = explore(scenario, WatcherExploration, **how)
    try_all(exploration, number, fault, record_property, f"watcher: {scenario.name} ({how['form']})")


@pytest.mark.parametrize(("scenario", "number", "how"), STAGES)
def test_every_message_of_the_watcher_is_a_recorded_call(
    explore: Explore, scenario: Scenario, number: int, how: dict[str, Any]
) -> None:
    recorded = explore(scenario, WatcherExploration, **how).recorded[number]
    said = [call.what for call in recorded.calls]
    assert [what.removeprefix("publish ") for what in said if what.startswith("publish ")] == list(recorded.told)
    assert recorded.told or how["form"] == "pickle"
