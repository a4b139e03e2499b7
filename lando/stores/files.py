"""A store in a folder of this machine (``file:///…``): embedded mode's, and that of a mounted share."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from lando.errors import ConfigError, NotFound, PeerError
from lando.stores import CHUNK, Entry, Progress, no_progress, put_each, relative_path

_PART_PREFIX = ".lando-part-"  # never listed


class FileStore:
    """Files below one folder; each appears by rename, so never in part. At most one process writes a file at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ConfigError(f"The store {url!r} must name an absolute folder: file:///folder.")
        self._root = Path(path)

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def url_of(self, path: str) -> str:
        return self._local(path).as_uri()

    def entry(self, path: str) -> Entry | None:
        local = self._local(path)
        if not local.is_file():
            return None
        return Entry(path=path, size=local.stat().st_size, checksum=("sha256", sha256_of(local)))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        top = self._local(prefix) if prefix else self._root
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                local = Path(folder, name)
                if not name.startswith(_PART_PREFIX) and local.is_file():
                    yield Entry(path=local.relative_to(self._root).as_posix(), size=local.stat().st_size)

    def read(self, path: str) -> Iterator[bytes]:
        try:
            stream = self._local(path).open("rb")
        except FileNotFoundError as error:
            raise NotFound("file store", f"{self.url_of(path)} does not exist", status=404) from error
        with stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        with local.open("rb") as source:
            self._write(source, path, progress)

    def put_many(
        self, files: Sequence[tuple[Path, str]], progress: Progress = no_progress
    ) -> Sequence[PeerError | None]:
        return put_each(self.put, files, progress)

    def put_bytes(self, data: bytes, path: str) -> None:
        self._write(io.BytesIO(data), path, no_progress)

    def delete(self, path: str) -> None:
        target = self._local(path)
        target.unlink(missing_ok=True)
        _part_of(target).unlink(missing_ok=True)

    def _write(self, source: BinaryIO, path: str, progress: Progress) -> None:
        target = self._local(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _part_of(target)
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
            with os.fdopen(handle, "wb") as sink:
                while chunk := source.read(CHUNK):
                    sink.write(chunk)
                    progress(len(chunk))
                sink.flush()
                os.fsync(sink.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _local(self, path: str) -> Path:
        return self._root / relative_path(path)


def _part_of(target: Path) -> Path:
    """One name for each target and no more: a killed upload's leftover is what the next one overwrites."""
    return target.with_name(f"{_PART_PREFIX}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
