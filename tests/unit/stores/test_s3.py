"""``s3://`` through the real s3fs, against a server that speaks S3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests
import s3fs
from lando.errors import NotFound, Rejected, Unavailable
from lando.stores import CHUNK, Entry, open_store
from lando.stores.files import sha256_of
from lando.stores.s3 import _checksum


@pytest.mark.usefixtures("s3")
def test_a_file_of_any_name_goes_there_and_back(tmp_path: Path) -> None:
    store = open_store("s3://bucket/results of mine/1-x")
    local = tmp_path / "local"
    local.write_bytes(b"abc")
    store.put(local, "a b/ü#?.txt")
    entry = store.entry("a b/ü#?.txt")
    assert entry is not None
    assert entry.checksum == ("sha256", sha256_of(local))
    assert [found.path for found in store.list()] == ["a b/ü#?.txt"]
    assert b"".join(store.read("a b/ü#?.txt")) == b"abc"
    store.delete("a b/ü#?.txt")
    assert store.entry("a b/ü#?.txt") is None


@pytest.mark.usefixtures("s3")
def test_an_upload_that_breaks_off_leaves_the_old_object(tmp_path: Path) -> None:
    store = open_store("s3://bucket/x")
    store.put_bytes(b"old", "a")
    local = tmp_path / "local"
    local.write_bytes(bytes(17 * CHUNK))

    def fail(_size: int) -> None:
        raise RuntimeError("out of power")

    with pytest.raises(RuntimeError):
        store.put(local, "a", fail)
    assert b"".join(store.read("a")) == b"old"
    store.put(local, "a")
    assert store.entry("a").size == 17 * CHUNK  # type: ignore[union-attr]


def test_a_missing_bucket_is_not_made(s3: Any) -> None:
    with pytest.raises(NotFound, match="bucket does not exist"):
        open_store("s3://elsewhere/x").put_bytes(b"x", "a")
    assert s3.ls("") == ["bucket"]


@pytest.mark.usefixtures("s3")
def test_what_goes_wrong_below_s3fs_has_a_place_in_our_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(Rejected, match="credentials"):
        open_store("s3://bucket/x").entry("a")
    s3fs.S3FileSystem.clear_instance_cache()  # neither has the other's credential or address
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Unavailable, match="connect"):
        open_store("s3://bucket/x").entry("a")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("s3")
def test_a_file_of_many_parts_is_known_by_its_content(tmp_path: Path) -> None:
    store = open_store("s3://bucket/x")
    local = tmp_path / "local"
    local.write_bytes(b"x" * (17 * CHUNK))
    assert store.put_many([(local, "a"), (local, "b")]) == [None, None]
    for path in ("a", "b"):
        assert store.entry(path) == Entry(path=path, size=17 * CHUNK, checksum=("sha256", sha256_of(local)))


def test_the_etag_of_others_objects_is_their_md5_only_sometimes() -> None:
    md5 = "900150983cd24fb0d6963f7d28e17f72"
    assert _checksum({"ETag": f'"{md5}"'}) == ("md5", md5)
    assert _checksum({"ETag": f'"{md5}"', "ServerSideEncryption": "AES256"}) == ("md5", md5)
    assert _checksum({"ETag": f'"{md5}-3"'}) is None
    assert _checksum({"ETag": f'"{md5}"', "ServerSideEncryption": "aws:kms"}) is None


@pytest.mark.usefixtures("s3")
def test_a_listing_shows_what_others_have_put_there_meanwhile() -> None:
    store = open_store("s3://bucket/x")
    assert list(store.list()) == []
    requests.put(f"{os.environ['AWS_ENDPOINT_URL']}/bucket/x/a", data=b"x", timeout=10).raise_for_status()
    assert [entry.path for entry in store.list()] == ["a"]
