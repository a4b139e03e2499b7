"""How soon it is looked again at what a container takes."""

from __future__ import annotations

import pytest
from lando.local.node.process_tree import Usage
from lando.local.node.processes import CHECK_S, CLOSE_CHECK_S, next_look_s

MIB = 2**20


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [
        (Usage(tasks=3, memory=75 * MIB), CHECK_S),
        (Usage(tasks=3, memory=75 * MIB + 1), CLOSE_CHECK_S),
        (Usage(tasks=51, memory=MIB), CLOSE_CHECK_S),
        (Usage(tasks=50, memory=MIB), CHECK_S),
    ],
)
def test_one_that_takes_more_than_half_of_what_it_may_is_looked_at_ten_times_as_often(
    usage: Usage, seconds: float
) -> None:
    assert next_look_s(usage, memory_limit=150 * MIB, pids_limit=100) == seconds


def test_memory_without_a_limit_is_never_near_it() -> None:
    assert next_look_s(Usage(tasks=1, memory=2**40), memory_limit=None, pids_limit=100) == CHECK_S
