"""A node of the embedded cluster, for each way of mounting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.errors import ConfigError
from lando.local.sandbox import probe_bubblewrap
from tests.services.local_node import Cluster
from tests.services.providing import missing


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A node that substitutes mount paths: works everywhere."""
    running = Cluster(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture
def bubblewrap() -> None:
    """Skips where bubblewrap does not work."""
    try:
        probe_bubblewrap()
    except ConfigError as error:
        missing("bubblewrap", str(error))


@pytest.fixture(params=["substitute", pytest.param("bwrap", marks=pytest.mark.service("bubblewrap"))])
def sandboxed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """A node for each way of mounting."""
    if request.param == "bwrap":
        request.getfixturevalue("bubblewrap")
    running = Cluster(tmp_path, request.param).start()
    yield running
    running.stop()
