"""What is kept of Jobs that are no run's, each by its name.

Below ``<url>/jobs/``, beside the runs, which are numbers: of each Job ``<name>.json.gz``, all there is to know but its
logs, and ``<name>.logs.gz``, written before. What was written longest ago goes by :meth:`JobArchive.remove`.
"""

from __future__ import annotations

import gzip
import json
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lando.archive.files import Files, safe, told
from lando.errors import Unavailable

logger = logging.getLogger(__name__)

REMOVAL_S = 600.0
"""How long one removal may go on; what is left is the next one's."""
_FOLDER = "jobs"
_LOGS = ".logs.gz"
_REST = ".json.gz"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What came of one."""

    files: int = 0
    """That are gone."""
    failed: int = 0
    """That could not be removed; the log tells why."""
    is_whole: bool = True
    """Whether every file was looked at."""


class JobArchive:
    """A part of the archive; every method raises Unavailable when the store can't be reached or refuses."""

    def __init__(self, files: Files, place: Sequence[str]) -> None:
        self._files = files
        self._folder = "/".join([_FOLDER, *map(safe, place)])

    def store(self, name: str, document: Mapping[str, Any], logs: Mapping[str, Any]) -> None:
        """Keep what there is to know of a Job, in the place of what was kept under its name."""
        with told(f"store the Job {name}"):
            self._files.write(self._path(name, _LOGS), _packed(logs))
            self._files.write(self._path(name, _REST), _packed(document))

    def document(self, name: str) -> dict[str, Any] | None:
        """What :meth:`store` was given; None where that is nothing, or is damaged."""
        return self._read(name, _REST)

    def logs(self, name: str) -> dict[str, Any] | None:
        """As :meth:`document`."""
        return self._read(name, _LOGS)

    def remove(
        self,
        written_before: datetime,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> Removal:
        """Remove the files that were last written before that, one by one, for :data:`REMOVAL_S` at most.

        One that can't be removed is told in the log and left. Others may do the same at the same time.
        """
        files = failed = 0
        until = clock() + REMOVAL_S
        with told(f"list the files of {self._folder}"):
            for file in self._files.listed(self._folder):
                if is_stopped() or clock() > until:
                    return Removal(files=files, failed=failed, is_whole=False)
                if file.written is None or file.written >= written_before:
                    continue
                try:
                    with told(f"remove {self._folder}/{file.name}"):
                        file.remove()
                    files += 1
                except Unavailable as error:
                    failed += 1
                    logger.log(logging.WARNING if failed == 1 else logging.DEBUG, "%s", error)
        return Removal(files=files, failed=failed)

    def _path(self, name: str, suffix: str) -> str:
        return f"{self._folder}/{safe(name)}{suffix}"

    def _read(self, name: str, suffix: str) -> dict[str, Any] | None:
        with told(f"read the Job {name}"):
            data = self._files.read(self._path(name, suffix))
        try:
            found = None if data is None else json.loads(gzip.decompress(data))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            logger.warning("%s is damaged: %s", self._path(name, suffix), error)
            return None
        return found if isinstance(found, dict) else None


def _packed(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"), mtime=0)
