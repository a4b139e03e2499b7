"""Input files of the Duke Data Service, by their ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from lando.errors import InputError, NotFound, Rejected
from lando.steps.http_download import check_size_limit
from lando.stores import DUKEDS_SCHEMES, Entry, dukeds
from lando.stores.checksums import of_file, verified
from lando.stores.dukeds_api import DukedsApi
from lando.stores.transfer import with_retries
from lando.units import decimal_size

Write = Callable[[Iterable[bytes], str, int, Path], None]
"""Brings chunks of something named, so many bytes together, to a place, whole or not at all."""


class DukeFiles:
    """Stages such files, and keeps the service's records of them."""

    def __init__(self, schemes: Collection[str], max_bytes: int | None, write: Write) -> None:
        self.records: list[dict[str, Any]] = []
        """In the order of staging, as the service gives them."""
        self._allowed = not set(schemes).isdisjoint(DUKEDS_SCHEMES)
        self._max_bytes = max_bytes
        self._write = write
        self._api: DukedsApi | None = None

    def stage(self, file_id: str, dest: Path) -> str:
        """Bring one file to ``dest``, unless it is there; what was done, in words.

        Raises:
            InputError: The file does not exist, is not for this credential, too large, or not allowed here.
            ConfigError: There is no credential.
            Unavailable: The service did not do it in several tries.
        """
        source = f"File {file_id}"
        if not self._allowed:
            raise InputError(f"{source} is refused: dds is not one of the schemes that this installation stages from.")
        api = self._api = self._api or dukeds.open_api()
        try:
            record = dukeds.file_record(api, file_id)
            content = dukeds.content_of(record)
        except (NotFound, Rejected) as error:
            raise InputError(f"{source} can't be staged: {error}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source} can't be staged: the Duke Data Service has no content of it.") from error
        self.records.append(record)
        check_size_limit(source, content.size, self._max_bytes)
        if _is_there(dest, content):
            return "there already"
        with_retries(
            lambda: self._write(
                verified(dukeds.read_file(api, file_id, content.size), content.checksum, source),
                source,
                content.size,
                dest,
            )
        )
        return f"done, {decimal_size(content.size)}"


def _is_there(dest: Path, content: Entry) -> bool:
    if content.checksum is None or not dest.is_file() or dest.stat().st_size != content.size:
        return False
    algorithm, value = content.checksum
    return of_file(dest, algorithm) == value
