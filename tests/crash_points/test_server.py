"""Whatever goes wrong at any commit or message of the API server, a run ends as it does without it."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.crash_points.calls import Fault
from tests.crash_points.scenarios import SERVED, Scenario
from tests.crash_points.serving import ServerExploration
from tests.crash_points.trying import Explore, Property, stages, try_all

STAGES = stages(SERVED)


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_a_run_ends_the_same_whatever_goes_wrong_at_any_call(
    explore: Explore, record_property: Property, scenario: Scenario, number: int, fault: Fault
) -> None:
    try_all(explore(scenario, ServerExploration), number, fault, record_property, f"API server: {scenario.name}")


@pytest.mark.parametrize(("scenario", "number"), STAGES)
def test_every_request_that_changes_something_is_a_recorded_commit(
    explore: Explore, scenario: Scenario, number: int
) -> None:
    recorded = explore(scenario, ServerExploration).recorded[number]
    commits = Counter(call.what.removeprefix("commit of ") for call in recorded.calls if "commit of " in call.what)
    sent = sum(call.what.startswith("publish ") for call in recorded.calls)
    assert commits.pop("the outbox", 0) == 2 * sent
    assert commits == Counter(recorded.told)
