"""Bringing a folder into a store: everything in it, only what differs, and nothing that the store's owner put there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lando.errors import Unavailable
from lando.stores import Entry, Progress, Store, no_progress
from lando.stores.checksums import of_file
from lando.stores.files import sha256_of

ATTEMPTS = 6  # tries of one file
FIRST_PAUSE_S = 0.5  # doubled after each try, up to
LONGEST_PAUSE_S = 30.0
BATCH = 64  # files whose upload is begun before those before it are known to be there
CHECKERS = 8  # threads that ask for what was sent

Sleep = Callable[[float], None]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """One file to upload."""

    local: Path
    path: str
    """Its place in the store."""
    size: int

    @cached_property
    def sha256(self) -> str:
        """Of its content when this is first asked for."""
        return sha256_of(self.local)


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


def upload(
    store: Store, files: Sequence[LocalFile], progress: Progress = no_progress, sleep: Sleep = time.sleep
) -> list[Uploaded]:
    """Make the store hold ``files``, sending only those that differ from what is there.

    Raises:
        Unavailable: The store could not be reached in :data:`ATTEMPTS` tries.
        Rejected: It said no.
    """
    there = with_retries(lambda: {entry.path: entry for entry in store.list()}, sleep)

    def is_there(file: LocalFile) -> bool:
        entry = there.get(file.path)
        if entry is not None and entry.size == file.size and entry.checksum is None:  # may be told of a file alone
            entry = with_retries(lambda: store.entry(file.path), sleep)
        return bool(_same(entry, file))

    missing = []
    for file in files:
        if is_there(file):
            progress(file.size)
        else:
            missing.append(file)
    for at in range(0, len(missing), BATCH):
        _send(store, missing[at : at + BATCH], progress, sleep)
    sent = {file.path for file in missing}
    return [
        Uploaded(
            path=file.path,
            url=store.url_of(file.path),
            size=file.size,
            sha256=file.sha256,
            sent=file.path in sent,
        )
        for file in files
    ]


def with_retries(work: Callable[[], _T], sleep: Sleep = time.sleep) -> _T:
    """``work()``, tried again while the store is :class:`Unavailable`, with growing, jittered pauses."""
    for tries in range(1, ATTEMPTS + 1):
        try:
            return work()
        except Unavailable:
            if tries == ATTEMPTS:
                raise
        sleep(pause_s(tries))
    raise AssertionError("unreachable")


def pause_s(tries: int) -> float:
    """Seconds to wait after so many tries in a row: growing, jittered, bounded."""
    pause = min(FIRST_PAUSE_S * 2.0 ** (tries - 1), LONGEST_PAUSE_S)
    return pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing


def _send(store: Store, files: Sequence[LocalFile], progress: Progress, sleep: Sleep) -> None:
    """Send ``files`` and see that they have arrived; those that have not are sent again."""
    left = list(files)

    def check(file: LocalFile) -> Unavailable | None:
        entry = with_retries(lambda: store.entry(file.path), sleep)
        if _same(entry, file) is not False:
            return None
        return Unavailable("store", f"{store.url_of(file.path)} is not what was sent, or the file changed meanwhile")

    def once() -> None:
        nonlocal left
        errors = store.put_many([(file.local, file.path) for file in left], progress)
        with ThreadPoolExecutor(CHECKERS, thread_name_prefix="check") as pool:
            errors = list(pool.map(lambda pair: pair[1] or check(pair[0]), zip(left, errors, strict=True)))
        left = [file for file, error in zip(left, errors, strict=True) if error is not None]
        final_first = sorted(filter(None, errors), key=lambda error: isinstance(error, Unavailable))
        if final_first:
            raise final_first[0]

    with_retries(once, sleep)


def _same(entry: Entry | None, file: LocalFile) -> bool | None:
    """Whether ``entry`` is that of ``file``'s content; None when its size is the same and no checksum is told."""
    if entry is None or entry.size != file.size:
        return False
    if entry.checksum is None:
        return None
    algorithm, value = entry.checksum
    return value == (file.sha256 if algorithm == "sha256" else of_file(file.local, algorithm))
