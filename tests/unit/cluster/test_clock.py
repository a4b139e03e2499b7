"""The cluster's own time: what a daemon's clock says does not count."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from lando.errors import Unavailable
from lando.k8s.cluster_clock import ClusterClock

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


@dataclass
class Machine:
    """Where the clock runs: its own idea of the time, and the seconds since it was started."""

    local: datetime = NOON + timedelta(hours=3)
    uptime_s: float = 1000.0
    clock: ClusterClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ClusterClock(monotonic=lambda: self.uptime_s, local=lambda: self.local)

    def hear(self, peers: datetime) -> None:
        self.clock.heard(format_datetime(peers.replace(microsecond=0), usegmt=True))


def test_the_time_is_the_peers_and_goes_on_between_its_answers() -> None:
    machine = Machine()
    machine.hear(NOON)
    machine.uptime_s += 30.5
    assert machine.clock.now() == NOON + timedelta(seconds=30.5)


def test_a_jump_of_the_machines_own_clock_changes_nothing() -> None:
    machine = Machine()
    machine.hear(NOON)
    machine.local += timedelta(days=1)
    assert machine.clock.now() == NOON


def test_before_the_first_answer_the_machines_own_time_has_to_do() -> None:
    machine = Machine()
    assert machine.clock.now() == machine.local


def test_whole_seconds_and_late_answers_do_not_set_it_back() -> None:
    machine = Machine()
    machine.hear(NOON)
    for _ in range(20):  # true time goes on by 0.3 s; dates are rounded down
        machine.uptime_s += 0.3
        before = machine.clock.now()
        machine.hear(NOON + timedelta(seconds=machine.uptime_s - 1000.0))
        assert machine.clock.now() >= before
    assert machine.clock.now() == NOON + timedelta(seconds=6)


@pytest.mark.parametrize("step", [timedelta(hours=2), timedelta(hours=-2), timedelta(seconds=-6)])
def test_a_peer_whose_clock_is_set_is_followed(step: timedelta) -> None:
    machine = Machine()
    machine.hear(NOON)
    machine.hear(NOON + step)
    assert machine.clock.now() == NOON + step


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "Mon, 99 May 2026 12:00:00 GMT", "Mon, 04 May 99999 12:00:00 GMT"]
)
def test_an_answer_without_a_usable_date_is_passed_over(text: str | None) -> None:
    machine = Machine()
    machine.clock.heard(text)
    assert machine.clock.now() == machine.local


def test_every_answer_of_the_cluster_is_heard_refusals_too(cluster: Any, server: Any, answer: Any) -> None:
    for status in (200, 500):
        ahead = datetime.now(UTC) + timedelta(hours=status)
        server.says(answer({"items": []}, status, headers={"Date": format_datetime(ahead, usegmt=True)}))
        with contextlib.suppress(Unavailable):
            cluster.list("Job")
        assert abs(cluster.now() - ahead) < timedelta(minutes=5)
