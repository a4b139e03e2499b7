"""The checksums that stores tell: those of :mod:`hashlib`, and Google's CRC32C. Values are lower-case hex."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from lando.errors import Unavailable
from lando.stores import CHUNK

CRC32C = "crc32c"


class Checksum(Protocol):
    """A checksum that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Take in the next piece."""

    def digest(self) -> bytes:
        """That of everything so far."""
        ...


def begin(algorithm: str) -> Checksum:
    """The checksum of nothing. Raises :class:`ValueError` for an unknown algorithm."""
    if algorithm == CRC32C:
        import google_crc32c

        crc: Checksum = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        return crc
    return hashlib.new(algorithm, usedforsecurity=False)


def of_file(path: Path, algorithm: str) -> str:
    """That of a file's content."""
    checksum = begin(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum.update(chunk)
    return checksum.digest().hex()


def verified(chunks: Iterable[bytes], told: tuple[str, str] | None, what: str) -> Iterator[bytes]:
    """``chunks``, and at their end a comparison with what the store told of them (algorithm and value), if it did.

    Raises:
        Unavailable: They differ: ``what`` was damaged on its way, or replaced meanwhile.
    """
    checksum = begin(told[0]) if told else None
    for chunk in chunks:
        if checksum is not None:
            checksum.update(chunk)
        yield chunk
    if told and checksum is not None and checksum.digest().hex() != told[1]:
        raise Unavailable("store", f"{what} was damaged on its way: its {told[0]} is not what the store tells")
