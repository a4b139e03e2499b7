"""Files that the server keeps itself: uploaded workflows and inputs, and the URLs by which they are fetched.

The database refers to such a file by its path on this server (``/api/lando/v1/files/<id>/<name>``), so that nothing
breaks when the server's address changes. Users see the absolute URL, daemons one that is signed and expires.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from lando.api.keys import ServerKey
from lando.api.settings import Settings

PREFIX = "/api/lando/v1/files/"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file just stored."""

    id: str
    size: int
    """Bytes."""
    sha256: str


class FileStore:
    """Files by id below one folder; a file is there whole or not at all."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def begin(self, limit: int) -> Upload:
        """A new file that takes up to ``limit`` bytes."""
        file_id = secrets.token_hex(16)
        target = self.path(file_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        return Upload(file_id, target, limit)

    def save(self, data: bytes) -> Stored:
        """Store ``data`` at once."""
        with self.begin(len(data)) as upload:
            upload.write(data)
            return upload.finish()

    def path(self, file_id: str) -> Path:
        """Where the file with that id lies; raises ValueError for what is no id."""
        if not _ID.fullmatch(file_id):
            raise ValueError("no file id")
        return self._folder / file_id[:2] / file_id

    def remove(self, file_id: str) -> None:
        """Forget the file, if it is there."""
        self.path(file_id).unlink(missing_ok=True)

    def older_than(self, moment: float) -> Iterator[Path]:
        """Files, whole or begun, that were last written before ``moment`` (Unix seconds)."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            try:
                if path.is_file() and path.stat().st_mtime < moment:
                    yield path
            except FileNotFoundError:
                continue  # somebody else was faster


class TooLarge(Exception):
    """The upload has more bytes than it may have."""


class Upload:
    """A file that is being written; leaving the ``with`` block unfinished removes it."""

    def __init__(self, file_id: str, target: Path, limit: int) -> None:
        self._id = file_id
        self._target = target
        self._part = target.with_suffix(".part")
        self._limit = limit
        self._size = 0
        self._hash = hashlib.sha256()
        self._stream = open(self._part, "xb")  # noqa: SIM115 - closed by __exit__

    def write(self, data: bytes) -> None:
        """Append; raises TooLarge."""
        self._size += len(data)
        if self._size > self._limit:
            raise TooLarge
        self._hash.update(data)
        self._stream.write(data)

    def finish(self) -> Stored:
        """Make the file durable and visible."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self._part, self._target)
        return Stored(id=self._id, size=self._size, sha256=self._hash.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()  # writes what is still buffered: a full disk fails here too
        finally:
            self._part.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """``name`` as the last part of a URL and a file name: no folders, nothing a shell or URL would trip over."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^\w.+-]+", "_", last, flags=re.ASCII).lstrip(".-")[:200] or "file"


class FileUrls:
    """Translates between what the database holds and what users and daemons see."""

    def __init__(self, settings: Settings, key: ServerKey, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._key = key
        self._clock = clock

    @staticmethod
    def stored(file_id: str, name: str) -> str:
        """What the database holds for a file of ours."""
        return f"{PREFIX}{file_id}/{quote(name)}"

    @staticmethod
    def file_id(stored: str) -> str | None:
        """The id of the file that a stored URL means; None for URLs elsewhere."""
        if not stored.startswith(PREFIX):
            return None
        file_id = stored.removeprefix(PREFIX).partition("/")[0]
        return file_id if _ID.fullmatch(file_id) else None

    def to_store(self, url: str) -> str:
        """What to store for a URL that a user gave: the path alone when it is this server's."""
        path = urlsplit(url).path
        own = url.startswith((self._settings.base_url + PREFIX, PREFIX)) and self.file_id(path) is not None
        return path if own else url

    def for_user(self, stored: str) -> str:
        """The URL to show; a file of ours needs a sign-in there."""
        return self._settings.base_url + stored if self.file_id(stored) else stored

    def for_daemon(self, stored: str) -> str:
        """The URL to fetch without a sign-in, for a while."""
        if not self.file_id(stored):
            return stored
        path = unquote(stored)
        expires = self._key.expiry(self._clock(), self._settings.signed_url_ttl_s)
        signature = self._key.signature(path, expires)
        return f"{self._settings.base_url}{stored}?expires={expires}&signature={signature}"
