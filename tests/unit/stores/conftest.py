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
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> s3fs.S3FileSystem:
    """A filesystem of s3fs, with the empty bucket ``bucket``; ``s3://`` leads to the same server.

    Its instances are kept from test to test: each loads all that botocore knows of S3.
    """
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    requests.post(f"{s3_server}/moto-api/reset", timeout=10).raise_for_status()
    requests.put(f"{s3_server}/bucket", timeout=10).raise_for_status()
    return s3fs.S3FileSystem(use_listings_cache=False)
