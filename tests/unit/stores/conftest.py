"""Servers that speak as Google Cloud Storage and S3 do; one of each for a worker of pytest, empty before every test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import s3fs
from gcp_storage_emulator import server as emulator
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def gs_server() -> Iterator[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")  # it puts this into its links
        server = emulator.create_server("127.0.0.1", port, in_memory=True)
        server.start()
        server.url = f"http://127.0.0.1:{port}"
        yield server
        server.stop()


@pytest.fixture
def gs(gs_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Client]:
    """A client of Google's own library, with the empty bucket ``bucket``."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server.url)
    gs_server.wipe()
    with storage.Client(project="p", credentials=AnonymousCredentials()) as client:  # type: ignore[no-untyped-call]
        client.create_bucket("bucket")
        yield client


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A filesystem of s3fs, with the empty bucket ``bucket``; ``s3://`` leads to the same server."""
    requests.post(f"{s3_server}/moto-api/reset", timeout=10)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("bucket")
    yield filesystem
    s3fs.S3FileSystem.clear_instance_cache()
