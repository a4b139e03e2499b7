"""A store that some filesystem of fsspec speaks for; :mod:`lando.stores.s3` says more of S3."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lando.errors import ConfigError, NotFound, PeerError, Rejected, Unavailable
from lando.stores import CHUNK, Entry, Progress, no_progress, put_each, relative_path

AT_ONCE = 16 << 20  # bytes; larger files are sent in parts of this size
PIECE = 8 << 20  # bytes of one request for a part of a file
MOST_PARTS = 9_000  # of one file; S3 takes 10,000
WORKERS = 4  # threads that upload, each with a part in memory
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_FLAT = frozenset({"s3", "s3a", "memory"})  # have no folders to make; s3fs would make a missing bucket instead
_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp"})  # below s3fs, with errors of their own
_T = TypeVar("_T")


class FsspecStore:
    """Files below one folder of an fsspec filesystem; each appears when it is committed, so never in part."""

    def __init__(self, url: str) -> None:
        self._filesystem, self._root = open_filesystem(url)
        self._url = url.rstrip("/")
        self._scheme = urlsplit(url).scheme
        self._peer = f"{self._scheme} store"

    @property
    def url(self) -> str:
        return self._url

    def url_of(self, path: str) -> str:
        return f"{self._url}/{relative_path(path)}"

    def entry(self, path: str) -> Entry | None:
        key = self._key(path)
        try:
            info = self._call(path, lambda: self._filesystem.info(key))
        except NotFound:
            return None
        return self._entry(path, info) if info["type"] == "file" else None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        top = self._key(prefix) if prefix else self._root
        try:
            found = self._call(prefix or ".", lambda: self._filesystem.find(top, detail=True))
        except NotFound:
            return
        for key in sorted(found):
            yield self._entry(key.removeprefix(self._root).lstrip("/"), found[key])

    def read(self, path: str) -> Iterator[bytes]:
        key = self._key(path)
        with self._call(path, lambda: self._filesystem.open(key, "rb", block_size=PIECE)) as stream:
            while chunk := self._call(path, lambda: bytes(stream.read(CHUNK))):
                yield chunk

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        key = self._key(path)
        if (size := local.stat().st_size) <= AT_ONCE:
            self._put_at_once(local.read_bytes(), path, self._labels(local))
            progress(size)
            return
        with local.open("rb") as source:
            self._call(path, lambda: self._make_folder(key))
            # Left open through an error, a file of fsspec would be completed as it is.
            how = {"block_size": max(AT_ONCE, -(-size // MOST_PARTS)), **self._labels(local)}
            sink = self._call(path, lambda: self._filesystem.open(key, "wb", autocommit=False, **how))
            try:
                while chunk := source.read(CHUNK):
                    self._call(path, lambda chunk=chunk: sink.write(chunk))  # type: ignore[misc]
                    progress(len(chunk))
                self._call(path, sink.close)
            except BaseException:
                with contextlib.suppress(Exception):
                    sink.close()
                with contextlib.suppress(Exception):
                    sink.discard()
                raise
            self._call(path, sink.commit)

    def put_many(
        self, files: Sequence[tuple[Path, str]], progress: Progress = no_progress
    ) -> Sequence[PeerError | None]:
        return put_each(self.put, files, progress, WORKERS)

    def put_bytes(self, data: bytes, path: str) -> None:
        self._put_at_once(data, path, {})

    def _put_at_once(self, data: bytes, path: str, labels: dict[str, Any]) -> None:
        key = self._key(path)
        self._call(path, lambda: self._make_folder(key))
        self._call(path, lambda: self._filesystem.pipe_file(key, data, **labels))

    def _labels(self, local: Path) -> dict[str, Any]:
        """What the filesystem is told to keep with a file, as arguments of its methods."""
        return {}

    def delete(self, path: str) -> None:
        key = self._key(path)
        with contextlib.suppress(NotFound):
            self._call(path, lambda: self._filesystem.rm_file(key))

    def _entry(self, path: str, info: dict[str, Any]) -> Entry:
        return Entry(path=path, size=int(info.get("size") or 0))

    def _make_folder(self, key: str) -> None:
        if self._scheme not in _FLAT:
            self._filesystem.makedirs(key.rpartition("/")[0], exist_ok=True)

    def _key(self, path: str) -> str:
        return f"{self._root}/{relative_path(path)}"

    def _call(self, path: str, work: Callable[[], _T]) -> _T:
        """``work()`` with the filesystem's errors as ours: s3fs turns most of S3's answers into OSErrors."""
        try:
            return work()
        except FileNotFoundError as error:
            raise NotFound(self._peer, f"{self._url}/{path} does not exist ({error})", status=404) from error
        except PermissionError as error:
            raise Rejected(self._peer, f"{self._url}: access denied ({error})", status=403) from error
        except OSError as error:
            raise Unavailable(self._peer, f"{self._url}: {error}") from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _LIBRARIES:
                raise
            if "Credentials" in type(error).__name__:
                raise Rejected(self._peer, f"the credentials do not work: {error}", status=401) from error
            raise Unavailable(self._peer, f"{self._url}: {error}") from error


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem that speaks ``url``'s scheme, and the path of ``url`` in it, without a trailing slash.

    Raises:
        ConfigError: fsspec knows no such scheme, or the package for it isn't installed.
    """
    import fsspec

    scheme = urlsplit(url).scheme
    if "::" in url:  # fsspec would chain filesystems
        raise ConfigError(f"The store {url!r} may not have '::' in its URL.")
    try:
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)  # others write there too
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        hint = f"pip install 'lando[{extra}]'" if extra else str(error)
        raise ConfigError(f"{scheme}:// needs a package that isn't installed here: {hint}.") from error
    except ValueError as error:
        raise ConfigError(f"Nothing here can speak {scheme}://; use file://, gs:// or s3://.") from error
    return filesystem, str(path).rstrip("/")
