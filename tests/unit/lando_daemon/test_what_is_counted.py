"""The daemon's figures count what happened, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lando.k8s.metrics import LANDO
from lando.messages import Command, Condition

Count = Callable[..., float]


@pytest.fixture
def count() -> Count:
    """How much a figure has grown since the test began."""

    def value(name: str, labels: dict[str, str]) -> float:
        return LANDO.registry.get_sample_value(name, labels) or 0.0

    before = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in LANDO.registry.collect()
        for sample in family.samples
    }
    return lambda name, **labels: value(name, labels) - before.get((name, *sorted(labels.items())), 0.0)


def test_each_hand_off_from_one_job_to_the_next_is_measured(world: Any, count: Count) -> None:
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert count("lando_handoff_seconds_count") == 3
    assert count("lando_messages_total", command="start", outcome="done") == 1
    assert count("lando_messages_total", command="step_changed", outcome="done") == 4
    assert count("lando_infrastructure_retries_total", step="stage_data") == 0


def test_a_step_that_is_done_again_after_an_eviction_is_counted_once(world: Any, count: Count) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish("stage-data-42-ada", exit_code=137, reason="Evicted")
    world.step_changed("stage_data", Condition.FAILED)
    world.step_changed("stage_data", Condition.FAILED)
    world.settle()
    assert world.cluster.has_job("stage-data-42-ada", attempt=2)
    assert count("lando_infrastructure_retries_total", step="stage_data") == 1


def test_what_can_never_be_read_is_counted_as_dead(world: Any, count: Count) -> None:
    world.start()
    world.broker.publisher().publish("lando", b"nonsense").result(5)
    world.settle()
    assert count("lando_messages_total", command="unknown", outcome="dead") == 1
    assert [one.reason for one in world.broker.dead("lando")]
