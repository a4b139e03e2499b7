"""Whichever two crashes befall lando, the watcher and the API server in one run, it ends as it does without them.

``PAIRS`` says how many are tried, ``SEED`` which.
"""

from __future__ import annotations

from random import Random

import pytest
from tests.crash_points.pairing import PAIRS, SEED, PairExploration
from tests.crash_points.scenarios import PAIRED
from tests.crash_points.trying import Explore, Property

AT_ONCE = 10


@pytest.mark.parametrize("first", range(1, PAIRS + 1, AT_ONCE))
def test_a_run_ends_the_same_whichever_two_crashes_befall_it(
    explore: Explore, record_property: Property, first: int
) -> None:
    random = Random(f"{SEED} {first}")
    exploration = explore(PAIRED[first // AT_ONCE % len(PAIRED)], PairExploration)
    count, met = min(AT_ONCE, PAIRS + 1 - first), 0
    for _ in range(count):
        recorded, pair = exploration.pair(random)
        wrong, crashes = exploration.wrong(recorded, pair)
        assert not wrong, "\n".join([f"seed {SEED}", *wrong])
        met += crashes == 2
    record_property("pairs", count)
    record_property("met", met)
