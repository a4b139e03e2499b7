"""Where the archive's bytes lie: a folder, a bucket, or whatever fsspec knows."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import fsspec

from lando.credentials import use_mounted_credential
from lando.errors import ConfigError, Unavailable

TIMEOUT_S = 60.0  # without an answer of a bucket
RETRY_S = 60.0  # for which one write to it is tried again
PEER = "archive"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
"""What the file systems of fsspec call the time of the last write."""


@dataclass(frozen=True)
class StoredFile:
    """One file as a listing shows it."""

    name: str
    written: datetime | None
    """None where the store does not tell."""
    remove: Callable[[], None]
    """Unless it was written since; done where it is gone."""


class Files(Protocol):
    """Where the bytes lie; paths are relative, with ``/``."""

    def write(self, path: str, data: bytes) -> None: ...
    def read(self, path: str) -> bytes | None: ...
    def names(self, folder: str) -> list[str]:
        """Every file below ``folder``, relative to it."""
        ...

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Every file with its bytes."""
        ...

    def remove(self, folder: str) -> None: ...

    def listed(self, folder: str) -> Iterator[StoredFile]:
        """The files right in ``folder``; none where there is no such folder."""
        ...


class _LocalFiles:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, data: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def read(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        root = self._root / folder
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    def sizes(self) -> Iterator[tuple[str, int]]:
        for path in self._root.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                if path.is_file():
                    yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def remove(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / folder)

    def listed(self, folder: str) -> Iterator[StoredFile]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                    if entry.is_file(follow_symlinks=False):
                        modified = entry.stat().st_mtime
                        remove = functools.partial(self._remove_file, Path(entry.path), modified)
                        yield StoredFile(entry.name, datetime.fromtimestamp(modified, UTC), remove)

    def _remove_file(self, path: Path, modified: float) -> None:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime == modified:
                path.unlink()


class _Bucket:
    """A bucket of Google Cloud Storage, through Google's own library, as results are."""

    def __init__(self, url: str) -> None:
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage

        parts = urlsplit(url)
        try:
            self._client = storage.Client()
        except (DefaultCredentialsError, OSError) as error:
            raise ConfigError(f"archive.url: gs:// needs Google credentials: {error}") from error
        self._bucket = self._client.bucket(parts.netloc)
        self._root = f"{parts.path.strip('/')}/".lstrip("/")

    def write(self, path: str, data: bytes) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        blob = self._bucket.blob(self._root + path)
        retry = DEFAULT_RETRY.with_timeout(RETRY_S)  # the same bytes at the same name may always be sent again
        blob.upload_from_string(data, content_type="application/octet-stream", timeout=TIMEOUT_S, retry=retry)

    def read(self, path: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        try:
            return bytes(self._bucket.blob(self._root + path).download_as_bytes(timeout=TIMEOUT_S))
        except NotFound:
            return None

    def names(self, folder: str) -> list[str]:
        return [blob.name.removeprefix(f"{self._root}{folder}/") for blob in self._below(f"{folder}/")]

    def sizes(self) -> Iterator[tuple[str, int]]:
        for blob in self._below(""):
            yield blob.name.removeprefix(self._root), int(blob.size or 0)

    def remove(self, folder: str) -> None:
        from google.api_core.exceptions import NotFound

        for blob in list(self._below(f"{folder}/")):
            with contextlib.suppress(NotFound):
                blob.delete(timeout=TIMEOUT_S)

    def listed(self, folder: str) -> Iterator[StoredFile]:
        prefix = f"{self._root}{folder}/"
        for blob in self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/", timeout=TIMEOUT_S):
            yield StoredFile(blob.name.removeprefix(prefix), blob.updated, functools.partial(self._remove_blob, blob))

    def _remove_blob(self, blob: Any) -> None:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with contextlib.suppress(NotFound, PreconditionFailed):
            blob.delete(timeout=TIMEOUT_S, if_generation_match=blob.generation)

    def _below(self, folder: str) -> Iterator[Any]:
        """Page by page: what is kept of Jobs may be many files."""
        yield from self._client.list_blobs(self._bucket, prefix=self._root + folder, timeout=TIMEOUT_S)


class _RemoteFiles:
    """Any other fsspec file system; listings are never taken from its cache."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def write(self, path: str, data: bytes) -> None:
        target = f"{self._root}/{path}"
        self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._filesystem.pipe_file(target, data)

    def read(self, path: str) -> bytes | None:
        try:
            return bytes(self._filesystem.cat_file(f"{self._root}/{path}"))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        root = f"{self._root}/{folder}"
        self._filesystem.invalidate_cache()
        inside = self._filesystem._strip_protocol(root).rstrip("/") + "/"
        return [str(path).removeprefix(inside) for path in self._filesystem.find(root)]

    def sizes(self) -> Iterator[tuple[str, int]]:
        self._filesystem.invalidate_cache()
        inside = self._filesystem._strip_protocol(self._root).rstrip("/") + "/"
        for path, info in self._filesystem.find(self._root, detail=True).items():
            yield str(path).removeprefix(inside), int(info.get("size") or 0)

    def remove(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm(f"{self._root}/{folder}", recursive=True)

    def listed(self, folder: str) -> Iterator[StoredFile]:
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.ls(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return
        for info in found:
            if info["type"] == "file":
                path, written = str(info["name"]), _time_of(info)
                yield StoredFile(path.rpartition("/")[2], written, functools.partial(self._remove_file, path, written))

    def _remove_file(self, path: str, written: datetime | None) -> None:
        self._filesystem.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            if _time_of(self._filesystem.info(path)) == written:
                self._filesystem.rm_file(path)


def _time_of(info: Mapping[str, Any]) -> datetime | None:
    """When a file that fsspec describes was last written."""
    value = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def open_files(url: str) -> Files:
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        return _LocalFiles(Path(unquote(parts.path)))
    use_mounted_credential()
    if parts.scheme == "gs":
        return _Bucket(url)
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"archive.url: {parts.scheme}:// can't be used here: {error}") from error
    return _RemoteFiles(filesystem, str(root))


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of whatever store lies below, as Unavailable."""
    try:
        yield
    except Exception as error:
        raise Unavailable(PEER, f"could not {what}: {error or type(error).__name__}") from error


def safe(name: str) -> str:
    """``name`` as one part of a path."""
    cleaned = _UNSAFE.sub("-", name)[:200]
    return cleaned if cleaned.strip(".") else "_"
