"""A store of its own for each test, with one namespace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lando.local.objects import ObjectStore


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    store = ObjectStore(None)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    yield store
    store.close()
