"""The promise, for any history of commands, events and faults."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from tests.model.machine import Machine
from tests.model.searching import search

EXAMPLES = int(os.environ.get("EXAMPLES", "800"))
SHARDS = 16
"""Parts of the search, which workers may share."""


@pytest.fixture
def silence() -> Iterator[None]:
    """Thousands of outages would be told of."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_history_of_commands_events_and_faults_ends_right(shard: int) -> None:
    search(Machine, examples=EXAMPLES // SHARDS, seed=shard)
