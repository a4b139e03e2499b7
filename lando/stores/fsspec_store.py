"""A store that some filesystem of fsspec speaks for: ``s3://`` (package s3fs), ``memory://`` in tests, and more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lando.errors import ConfigError, NotFound, Rejected, Unavailable
from lando.stores import CHUNK, Entry, Progress, no_progress, relative_path

_EXTRAS = {"s3": "s3", "s3a": "s3"}


class FsspecStore:
    """Files below one folder of an fsspec filesystem.

    Where the filesystem can rename (``mv``) and isn't an object store, files are written beside their place first;
    object stores show an object only when its upload is complete.
    """

    def __init__(self, url: str) -> None:
        self._filesystem, self._root = open_filesystem(url)
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        return self._url

    def url_of(self, path: str) -> str:
        return f"{self._url}/{relative_path(path)}"

    def entry(self, path: str) -> Entry | None:
        try:
            info = self._filesystem.info(self._key(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error) from error
        return _entry(path, info) if info["type"] == "file" else None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        top = self._key(prefix) if prefix else self._root
        try:
            found = self._filesystem.find(top, detail=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed(error) from error
        for key in sorted(found):
            yield _entry(key.removeprefix(self._root).lstrip("/"), found[key])

    def read(self, path: str) -> Iterator[bytes]:
        key = self._key(path)
        try:
            stream = self._filesystem.open(key, "rb")
        except FileNotFoundError as error:
            raise NotFound(self._peer, f"{self.url_of(path)} does not exist", status=404) from error
        except OSError as error:
            raise self._failed(error) from error
        with stream:
            while chunk := self._piece(stream):
                yield chunk

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        key = self._key(path)
        try:
            self._filesystem.makedirs(key.rpartition("/")[0], exist_ok=True)
            # A file of fsspec that is left through an exception is discarded, not completed.
            with local.open("rb") as source, self._filesystem.open(key, "wb") as sink:
                while chunk := source.read(CHUNK):
                    sink.write(chunk)
                    progress(len(chunk))
        except OSError as error:
            raise self._failed(error) from error

    def put_bytes(self, data: bytes, path: str) -> None:
        key = self._key(path)
        try:
            self._filesystem.makedirs(key.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(key, data)
        except OSError as error:
            raise self._failed(error) from error

    def delete(self, path: str) -> None:
        try:
            self._filesystem.rm_file(self._key(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed(error) from error

    def _piece(self, stream: Any) -> bytes:
        """Apart from what the caller does with it: its errors are not the store's."""
        try:
            return bytes(stream.read(CHUNK))
        except OSError as error:
            raise self._failed(error) from error

    @property
    def _peer(self) -> str:
        return f"{urlsplit(self._url).scheme} store"

    def _key(self, path: str) -> str:
        return f"{self._root}/{relative_path(path)}"

    def _failed(self, error: OSError) -> Rejected | Unavailable:
        """s3fs turns S3's answers into errors of the operating system."""
        if isinstance(error, PermissionError):
            return Rejected(self._peer, f"{self._url}: access denied ({error})", status=403)
        return Unavailable(self._peer, f"{self._url}: {error}")


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem that speaks ``url``'s scheme, and the path of ``url`` in it, without a trailing slash.

    Raises:
        ConfigError: fsspec knows no such scheme, or the package for it isn't installed.
    """
    import fsspec

    scheme = urlsplit(url).scheme
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        hint = f"pip install 'lando[{extra}]'" if extra else str(error)
        raise ConfigError(f"{scheme}:// needs a package that isn't installed here: {hint}.") from error
    except ValueError as error:
        raise ConfigError(f"Nothing here can speak {scheme}://; use file://, gs:// or s3://.") from error
    return filesystem, str(path).rstrip("/")


def _entry(path: str, info: dict[str, Any]) -> Entry:
    """S3's ETag is the MD5 for objects that were sent in one part and not encrypted by a key of KMS."""
    etag = str(info.get("ETag", "")).strip('"').lower()
    plain = len(etag) == 32 and info.get("ServerSideEncryption") in (None, "AES256")
    return Entry(path=path, size=int(info.get("size") or 0), checksum=("md5", etag) if plain else None)
