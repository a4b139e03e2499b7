"""Servers that speak as Google Cloud Storage and S3 do, on the loopback address; what they hold is theirs alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gcp_storage_emulator import server as emulator
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from moto.server import ThreadedMotoServer
from tests.services.providing import free_port

GS_VARIABLE = "STORAGE_EMULATOR_HOST"


@contextmanager
def google_storage() -> Iterator[Any]:
    """The emulator's server, with its address as ``url``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(GS_VARIABLE, url)  # it puts this into its links
        server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    server.url = url
    yield server
    server.stop()


@contextmanager
def google_client() -> Iterator[storage.Client]:
    """A client of Google's own library at the environment's server, with a bucket named ``bucket``."""
    with storage.Client(project="p", credentials=AnonymousCredentials()) as client:  # type: ignore[no-untyped-call]
        client.create_bucket("bucket")
        yield client


@contextmanager
def s3_storage() -> Iterator[str]:
    """The address of a server of moto."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def s3_environment(url: str) -> dict[str, str]:
    """What leads every client of AWS to the server at ``url``."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
