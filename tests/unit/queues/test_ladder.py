from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from lando.queues import DELAYS_S, ladder


def test_the_names_of_the_queues_beside_the_command_queue() -> None:
    assert [ladder.delay_queue("lando", delay_s) for delay_s in DELAYS_S] == [
        "lando.delay.5s",
        "lando.delay.30s",
        "lando.delay.5m",
    ]
    assert ladder.delay_queue("lando", 0.05) == "lando.delay.50ms"
    assert ladder.delay_queue("lando", 90) == "lando.delay.90s"
    assert (ladder.active_queue("lando"), ladder.dead_queue("lando")) == ("lando.active", "lando.dead")


def test_each_failure_is_one_rung_and_the_last_is_death() -> None:
    headers: dict[str, Any] = {}
    queues = []
    for number in range(4):
        rung = ladder.after_failure("lando", headers, f"failure {number}", DELAYS_S)
        queues.append(rung.queue)
        headers = dict(rung.headers)
    assert queues == ["lando.delay.5s", "lando.delay.30s", "lando.delay.5m", "lando.dead"]
    assert headers[ladder.FAILURES] == 3
    assert headers[ladder.FIRST_REASON] == "failure 0"
    assert headers[ladder.LAST_REASON] == "failure 3"
    assert datetime.fromisoformat(headers[ladder.TIME]).tzinfo is not None


def test_a_delay_queue_gives_its_messages_back_to_the_command_queue() -> None:
    rung = ladder.after_failure("lando", None, "why", (5,))
    assert rung.arguments == {
        "x-message-ttl": 5000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "lando",
    }
    assert ladder.dead("lando", None, "why").arguments == {}


@pytest.mark.parametrize("count", [None, "3", True, -1, 2.5, []])
def test_a_count_that_is_none_counts_as_no_failure(count: object) -> None:
    assert ladder.failures({ladder.FAILURES: count}) == 0
    assert ladder.failures(None) == 0


def test_a_reason_fits_into_a_header() -> None:
    headers = ladder.dead("lando", {ladder.FIRST_REASON: 5}, "ü" * 100_000).headers
    assert all(len(headers[name].encode()) <= ladder.REASON_LIMIT for name in (ladder.FIRST_REASON, ladder.LAST_REASON))
