"""One server of each kind for a worker of pytest, empty before every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import s3fs
from google.cloud import storage
from tests.services.stores import (
    GS_VARIABLE,
    google_client,
    google_storage,
    s3_environment,
    s3_filesystem,
    s3_storage,
)


@pytest.fixture(scope="session")
def gs_server() -> Iterator[Any]:
    with google_storage() as server:
        yield server


@pytest.fixture
def gs(gs_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Client]:
    """A client of Google's own library, with the empty bucket ``bucket``."""
    monkeypatch.setenv(GS_VARIABLE, gs_server.url)
    gs_server.wipe()
    with google_client() as client:
        yield client


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    with s3_storage() as url:
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A filesystem of s3fs, with the empty bucket ``bucket``; ``s3://`` leads to the same server."""
    requests.post(f"{s3_server}/moto-api/reset", timeout=10)
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    yield s3_filesystem()
    s3fs.S3FileSystem.clear_instance_cache()
