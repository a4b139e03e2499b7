"""Every store keeps the same promises: a folder, an fsspec filesystem, a bucket of Google's or of S3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from lando.errors import ConfigError, NotFound, Rejected, Unavailable
from lando.stores import CHUNK, Store, open_store
from lando.stores.files import FileStore
from lando.stores.fsspec_store import FsspecStore
from lando.stores.gs import GoogleStore
from lando.stores.s3 import S3Store


@pytest.fixture(params=["folder", "fsspec", "google", "google without a folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield FileStore((tmp_path / "my results").as_uri())
    elif request.param == "fsspec":
        yield FsspecStore("memory://bucket/results/")
        filesystem = fsspec.filesystem("memory")
        filesystem.store.clear()
        filesystem.pseudo_dirs[:] = [""]
    elif request.param == "s3":
        request.getfixturevalue("s3")
        yield S3Store("s3://bucket/results/")
    else:
        client = request.getfixturevalue("gs")
        yield GoogleStore("gs://bucket" + ("/results/" if request.param == "google" else ""), client)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.bin"
    path.write_bytes(b"0123456789" * 1000)
    return path


def test_a_file_that_is_put_is_there_whole(store: Store, local: Path) -> None:
    moved: list[int] = []
    store.put(local, "42/results/a b.bin", moved.append)
    assert b"".join(store.read("42/results/a b.bin")) == local.read_bytes()
    entry = store.entry("42/results/a b.bin")
    assert entry is not None
    assert entry.size == 10_000
    assert sum(moved) == 10_000


def test_a_checksum_is_that_of_the_content(store: Store, local: Path) -> None:
    store.put(local, "a")
    entry = store.entry("a")
    assert entry is not None
    if entry.checksum is not None:
        algorithm, value = entry.checksum
        assert value == hashlib.new(algorithm, local.read_bytes()).hexdigest()
    assert (type(store) is FsspecStore) == (entry.checksum is None)


def test_putting_again_replaces(store: Store, local: Path) -> None:
    store.put_bytes(b"old and much longer" * 1000, "a")
    store.put(local, "a")
    assert b"".join(store.read("a")) == local.read_bytes()


def test_what_is_not_there_is_none_or_not_found(store: Store) -> None:
    assert store.entry("none") is None
    with pytest.raises(NotFound, match="none does not exist"):
        list(store.read("none"))
    store.delete("none")


def test_a_listing_is_sorted_and_relative_to_the_store(store: Store) -> None:
    for path in ("b/2", "b/1", "a", "bc/3"):
        store.put_bytes(b"xy", path)
    assert sorted(entry.path for entry in store.list()) == ["a", "b/1", "b/2", "bc/3"]
    assert [(entry.path, entry.size) for entry in store.list("b")] == [("b/1", 2), ("b/2", 2)]
    assert list(store.list("none")) == []


def test_a_deleted_file_is_gone(store: Store) -> None:
    store.put_bytes(b"x", "a/b")
    store.delete("a/b")
    assert store.entry("a/b") is None


def test_urls_begin_with_the_stores_own(store: Store) -> None:
    assert store.url_of("a/b.md") == f"{store.url}/a/b.md"
    assert not store.url.endswith("/")


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../../b", "a//b", "./a", "a\0b"])
def test_paths_stay_inside_the_store(store: Store, path: str, local: Path) -> None:
    for work in (
        lambda: store.put(local, path),
        lambda: store.put_bytes(b"x", path),
        lambda: list(store.read(path)),
        lambda: store.entry(path),
        lambda: store.delete(path),
    ):
        with pytest.raises(ValueError, match="is not a path inside a store"):
            work()


def test_a_failed_upload_leaves_the_old_file_and_no_part(tmp_path: Path, local: Path) -> None:
    store = FileStore((tmp_path / "store").as_uri())
    store.put_bytes(b"old", "a")

    def fail(_size: int) -> None:
        raise RuntimeError("out of power")

    with pytest.raises(RuntimeError):
        store.put(local, "a", fail)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["a"]
    assert (tmp_path / "store/a").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("failure", "expected"), [(PermissionError("Access Denied"), Rejected), (OSError("broken"), Unavailable)]
)
def test_errors_of_other_filesystems_too(
    failure: Exception, expected: type[Exception], monkeypatch: pytest.MonkeyPatch, local: Path
) -> None:
    store = FsspecStore("memory://bucket/x")

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise failure

    for name in ("info", "find", "open", "_open", "pipe_file", "rm_file"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, name, fail)
    calls: list[Callable[[], object]] = [
        lambda: store.entry("a"),
        lambda: list(store.list()),
        lambda: list(store.read("a")),
        lambda: store.put(local, "a"),
        lambda: store.put_bytes(b"", "a"),
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(expected):
            call()


@pytest.mark.parametrize("chunks", [1, 3])
def test_an_upload_that_breaks_off_leaves_the_old_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    monkeypatch.setattr("lando.stores.fsspec_store.AT_ONCE", 0)
    store = FsspecStore(f"local://{tmp_path}/store")
    store.put_bytes(b"old", "a")
    local = tmp_path / "local"
    local.write_bytes(bytes(chunks * CHUNK))

    def fail(_size: int) -> None:
        raise RuntimeError("out of power")

    with pytest.raises(RuntimeError):
        store.put(local, "a", fail)
    assert b"".join(store.read("a")) == b"old"
    store.put(local, "a")
    assert b"".join(store.read("a")) == local.read_bytes()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["a"]


def test_urls_that_would_chain_filesystems_are_refused() -> None:
    with pytest.raises(ConfigError, match="may not have '::'"):
        open_store("s3://bucket/a::file:///etc")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("results", "is no URL"),
        ("file://host/folder", "must name an absolute folder"),
        ("gs:///folder", "must name a bucket"),
        ("dds:", "knows files by their ids"),
        ("pigeon://x", "Nothing here can speak pigeon://"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        open_store(url)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: Any, **_options: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(ConfigError, match=r"pip install 'lando\[s3\]'"):
        open_store("s3://bucket/x")


def test_stores_are_opened_by_their_scheme(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path.as_uri()), FileStore)
    assert isinstance(open_store("memory://x"), FsspecStore)
