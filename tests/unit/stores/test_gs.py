"""``gs://`` through Google's own client, against a server that speaks its API."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator import server as emulator
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from lando.errors import NotFound
from lando.stores.gs import GoogleStore


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    with storage.Client(project="p", credentials=AnonymousCredentials()) as client:  # type: ignore[no-untyped-call]
        yield client
    server.stop()


@pytest.mark.parametrize("size", [0, 3, 9 << 20])
def test_a_file_of_any_name_goes_there_and_back(client: storage.Client, tmp_path: Path, size: int) -> None:
    store = GoogleStore("gs://bucket/results of mine/1-x", client)
    local = tmp_path / "local"
    local.write_bytes(bytes(size))
    store.put(local, "a b/ü+%.txt")
    entry = store.entry("a b/ü+%.txt")
    assert entry is not None
    assert entry.size == size
    assert [found.path for found in store.list()] == ["a b/ü+%.txt"]
    assert b"".join(store.read("a b/ü+%.txt")) == bytes(size)
    store.delete("a b/ü+%.txt")
    store.delete("a b/ü+%.txt")
    assert store.entry("a b/ü+%.txt") is None


def test_a_missing_bucket_is_named(client: storage.Client) -> None:
    with pytest.raises(NotFound, match="gs://elsewhere/x"):
        GoogleStore("gs://elsewhere/x", client).put_bytes(b"x", "a")
