"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lando.local.store.objects import ObjectStore


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """Empty but for one namespace, ``ns``."""
    store = ObjectStore(None)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    yield store
    store.close()
