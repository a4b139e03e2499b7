"""A cluster in memory for direct runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.direct.running import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()
