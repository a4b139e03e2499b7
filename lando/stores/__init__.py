"""Stores: where results go and where some inputs come from.

A store is a tree of files under one URL. It knows how to put one file whole or not at all, and what it holds; what
belongs together and what need not be sent again is decided in :mod:`lando.stores.transfer`, once for all of them.

Files (``file://``) need nothing, ``gs://`` google-cloud-storage, everything else a filesystem of fsspec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from lando.errors import ConfigError, PeerError

CHUNK = 1 << 20  # bytes moved at once
DUKEDS_SCHEMES = ("dds", "dukeds")
"""Of the Duke Data Service, whose projects and files have ids: :mod:`lando.stores.dukeds`."""

Progress = Callable[[int], None]
"""Called with the number of bytes just moved."""


def no_progress(_size: int) -> None:
    """A :data:`Progress` that tells nobody."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a store."""

    path: str
    """Relative to the store's URL, parts joined by ``/``."""
    size: int
    """Bytes."""
    checksum: tuple[str, str] | None = None
    """Algorithm and value (:mod:`lando.stores.checksums`), where the store tells them without a download."""


class Store(Protocol):
    """A tree of files under ``url``; paths are relative to it and use ``/``.

    Every method may raise :class:`lando.errors.NotFound` (no such file), :class:`lando.errors.Rejected` (the
    credentials or the request will not do) and :class:`lando.errors.Unavailable` (try again later).
    """

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        ...

    def url_of(self, path: str) -> str:
        """The full URL of a file, whether it exists or not."""
        ...

    def entry(self, path: str) -> Entry | None:
        """What the store knows of a file; None when there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every file below ``prefix`` (a folder; "" is everything), in the order of their paths."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """The file's content, piece by piece."""
        ...

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        """Upload one file, replacing what is there; readers see the old one or the new one, never a part."""
        ...

    def put_many(
        self, files: Sequence[tuple[Path, str]], progress: Progress = no_progress
    ) -> Sequence[PeerError | None]:
        """:meth:`put` for each, side by side where that is faster; for each, why it did not come to be."""
        ...

    def put_bytes(self, data: bytes, path: str) -> None:
        """Like :meth:`put`, for something small."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        ...


def open_store(url: str) -> Store:
    """The store at ``url``.

    Raises:
        ConfigError: The scheme is unknown, or the package that speaks it isn't installed.
    """
    scheme = urlsplit(url).scheme
    if scheme == "file":
        from lando.stores.files import FileStore

        return FileStore(url)
    if scheme == "gs":
        from lando.credentials import use_mounted_credential
        from lando.stores.gs import GoogleStore

        use_mounted_credential()
        return GoogleStore(url)
    if scheme in DUKEDS_SCHEMES:
        raise ConfigError(f"{url!r} is no place of a file: the Duke Data Service knows files by their ids.")
    if not scheme:
        raise ConfigError(
            f"The store {url!r} is no URL; write file:///folder, gs://bucket/folder or s3://bucket/folder."
        )
    from lando.credentials import use_mounted_credential
    from lando.stores.fsspec_store import FsspecStore
    from lando.stores.s3 import S3Store

    use_mounted_credential()
    return S3Store(url) if scheme in ("s3", "s3a") else FsspecStore(url)


def put_each(
    put: Callable[[Path, str, Progress], None], files: Sequence[tuple[Path, str]], progress: Progress, workers: int = 1
) -> Sequence[PeerError | None]:
    """A store's ``put_many`` by its ``put``, in so many threads."""

    def one(file: tuple[Path, str]) -> PeerError | None:
        try:
            put(*file, progress)
        except PeerError as error:
            return error
        return None

    if workers == 1 or len(files) == 1:
        return [one(file) for file in files]
    with ThreadPoolExecutor(workers, thread_name_prefix="put") as pool:
        return list(pool.map(one, files))


def relative_path(path: str) -> str:
    """``path`` if it stays inside its store.

    Raises:
        ValueError: It is empty, absolute, or has ``.``, ``..`` or empty parts.
    """
    if not path or any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise ValueError(f"{path!r} is not a path inside a store")
    return path
