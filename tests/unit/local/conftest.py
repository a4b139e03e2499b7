"""A store of its own for each test, and a node where one is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.local.store.objects import ObjectStore
from tests.services.local_node import Cluster


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """Empty but for one namespace, ``ns``."""
    store = ObjectStore(None)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    yield store
    store.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A node that substitutes mount paths: works everywhere."""
    running = Cluster(tmp_path).start()
    yield running
    running.stop()
