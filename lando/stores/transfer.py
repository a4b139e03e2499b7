"""Bringing a folder into a store: everything in it, only what differs, and nothing that the store's owner put there."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lando.errors import Unavailable
from lando.stores import Progress, Store, no_progress
from lando.stores.files import sha256_of

ATTEMPTS = 6  # tries of one file
FIRST_PAUSE_S = 0.5  # doubled after each try, up to
LONGEST_PAUSE_S = 30.0

Sleep = Callable[[float], None]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """One file to upload."""

    local: Path
    path: str
    """Its place in the store."""
    size: int


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """One file that the store now holds."""

    path: str
    url: str
    size: int
    sha256: str
    sent: bool
    """False when the store had it already."""


def files_below(top: Path, prefix: str, skipped: Callable[[Path], None]) -> Iterator[LocalFile]:
    """Every file below ``top`` (or ``top`` itself, if it is one), to be placed below ``prefix``, sorted by path.

    Links inside ``top`` count as the files they lead to. Links to folders, and whatever leads out or nowhere, are told
    to ``skipped`` instead: a workflow must not be able to have the credentials of the uploading pod copied to its
    results.
    """
    if top.is_file():
        yield LocalFile(local=top, path=prefix, size=top.stat().st_size)
        return
    real_top = top.resolve()
    for local in sorted(top.rglob("*")):
        if not local.is_file():
            if local.is_symlink() or not local.is_dir():
                skipped(local)
        elif not local.resolve().is_relative_to(real_top):
            skipped(local)
        else:
            path = f"{prefix}/{local.relative_to(top).as_posix()}"
            yield LocalFile(local=local, path=path, size=local.stat().st_size)


def upload(store: Store, file: LocalFile, progress: Progress = no_progress, sleep: Sleep = time.sleep) -> Uploaded:
    """Make the store hold ``file``, sending it only if what is there differs.

    Raises:
        Unavailable: The store could not be reached in :data:`ATTEMPTS` tries.
        Rejected: It said no.
    """
    sha256 = sha256_of(file.local)
    sent = with_retries(lambda: _send_if_different(store, file, sha256, progress), sleep)
    return Uploaded(path=file.path, url=store.url_of(file.path), size=file.size, sha256=sha256, sent=sent)


def with_retries(work: Callable[[], _T], sleep: Sleep = time.sleep) -> _T:
    """``work()``, tried again while the store is :class:`Unavailable`, with growing, jittered pauses."""
    pause = FIRST_PAUSE_S
    for left in range(ATTEMPTS - 1, -1, -1):
        try:
            return work()
        except Unavailable:
            if not left:
                raise
        sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
        pause = min(pause * 2, LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def _send_if_different(store: Store, file: LocalFile, sha256: str, progress: Progress) -> bool:
    if _is_there(store, file, sha256):
        progress(file.size)
        return False
    store.put(file.local, file.path, progress)
    if _is_there(store, file, sha256) is False:
        raise Unavailable("store", f"{store.url_of(file.path)} is not what was sent, or the file changed meanwhile")
    return True


def _is_there(store: Store, file: LocalFile, sha256: str) -> bool | None:
    """Whether the store holds ``file`` as it is; None when it has one of the same size and tells no checksum."""
    there = store.entry(file.path)
    if there is None or there.size != file.size:
        return False
    if there.checksum is None:
        return None
    algorithm, value = there.checksum
    return value == (sha256 if algorithm == "sha256" else _digest(file.local, algorithm))


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
