"""What is told of a broker that blocks publishing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from lando.metrics import PROCESS
from lando.queues.rabbitmq.blockage import KEPT, Blockage

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def blockage(clock: Clock) -> Blockage:
    return Blockage(clock)


def blocked_connections() -> float | None:
    return PROCESS.registry.get_sample_value("lando_broker_blocks_publishing")


def test_a_blockage_is_told_with_its_reason_and_its_begin_until_it_ends(
    blockage: Blockage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert blockage.told is None
    assert blocked_connections() == 0
    blockage.begins("low on memory")
    clock.now += timedelta(hours=1)
    told = blockage.told
    assert told is not None
    assert told.startswith("The broker blocks publishing since 2026-03-04T12:00:00Z (low on memory); ")
    assert blocked_connections() == 1
    blockage.ends()
    assert blockage.told is None
    assert blocked_connections() == 0
    assert [record.message for record in caplog.records] == [
        told,
        "The broker takes messages again; it has not since 2026-03-04T12:00:00Z",
    ]


def test_a_blockage_that_each_new_connection_meets_again_is_one(
    blockage: Blockage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        blockage.begins("low on memory")
        clock.now += timedelta(seconds=20)
        blockage.is_out_of_sight()
        clock.now += timedelta(seconds=30)
        assert "since 2026-03-04T12:00:00Z" in (blockage.told or "")
    assert len(caplog.records) == 1
    blockage.begins("low on disk")
    assert "since 2026-03-04T12:00:00Z (low on disk)" in (blockage.told or "")


def test_a_blockage_of_which_nobody_hears_any_more_is_not_told_for_ever(blockage: Blockage, clock: Clock) -> None:
    blockage.begins("low on memory")
    blockage.is_out_of_sight()
    clock.now += KEPT - timedelta(seconds=1)
    blockage.is_out_of_sight()
    assert blockage.told is not None
    clock.now += timedelta(seconds=1)
    assert blockage.told is None
    assert blocked_connections() == 0
    blockage.begins("low on memory")
    assert f"since {clock.now:%Y-%m-%dT%H:%M:%SZ}" in (blockage.told or "")


def test_nothing_is_said_of_an_end_without_a_begin(blockage: Blockage, caplog: pytest.LogCaptureFixture) -> None:
    blockage.is_out_of_sight()
    blockage.ends()
    assert blockage.told is None
    assert not caplog.records
