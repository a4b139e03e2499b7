"""Whatever goes wrong at any call of the lando daemon, a run that nothing else befalls ends as it does without it."""

from __future__ import annotations

import pytest
from tests.crash_points.calls import Fault
from tests.crash_points.scenarios import UNDISTURBED, Scenario
from tests.crash_points.trying import Explore, Property, assert_effects_of_lando_are_recorded, stages, try_all

STAGES = stages(UNDISTURBED)


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_a_run_ends_the_same_whatever_goes_wrong_at_any_call(
    explore: Explore, record_property: Property, scenario: Scenario, number: int, fault: Fault
) -> None:
    try_all(explore(scenario), number, fault, record_property, f"lando: {scenario.name}")


@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_every_effect_that_is_seen_outside_is_a_recorded_call(
    explore: Explore, scenario: Scenario, number: int
) -> None:
    assert_effects_of_lando_are_recorded(explore(scenario).recorded[number])
