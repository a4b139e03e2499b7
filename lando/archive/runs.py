"""Logs, termination messages and evidence of steps, kept after their Jobs are gone.

One folder for each attempt of a step: ``<url>/<run id>/<step>/<attempt>/<container>.log.gz`` and, where the container
left one, ``<container>.termination.json``; ``evidence.json`` where the attempt failed or had to wait. Storing again
replaces, so an interrupted transition can be repeated. A log that could not be had leaves ``<container>.missing``,
which says why and counts only as long as there is no log. Archives of before have ``<container>.log``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from lando.archive.files import open_files, safe, told
from lando.archive.jobs import JobArchive
from lando.config import STEP_TYPES
from lando.runs import cut_middle

MAX_BYTES = 10 * 1024 * 1024  # of one container's log, unless the archive is told otherwise
TERMINATION_LIMIT = 4096  # bytes; what Kubernetes allows a termination message
MAX_EVIDENCE = 20  # documents of one run that are read at a time

_PLAIN, _LOG, _MISSING = ".log", ".log.gz", ".missing"
_TERMINATION, _EVIDENCE = ".termination.json", "evidence.json"
_WHOLE = "_"
"""Stands for all containers of an attempt; none can be called so."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One container's log in the archive, or why there is none."""

    step: str
    attempt: int
    container: str
    """Empty where there is no log of any container."""
    is_missing: bool = False
    """Only a sentence saying why there is no log."""


class Archive:
    """Below one URL: a folder (``file:`` or no scheme), ``gs:``, or whatever fsspec knows.

    Raises ConfigError when the URL's scheme is not installed or no credentials are there; every method raises
    Unavailable when the store can't be reached or refuses.
    """

    def __init__(self, url: str, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._files = open_files(url)

    def store(
        self, run_id: int, step: str, attempt: int, container: str, log: str, termination: str | None = None
    ) -> None:
        """Keep a container's log, cut in the middle to the archive's limit, and its termination message."""
        base = f"{int(run_id)}/{safe(step)}/{int(attempt)}/{safe(container)}"
        with told(f"store the log of run {run_id}, step {step}"):
            data = cut_middle(log, self._max_bytes).encode("utf-8", "replace")
            self._files.write(base + _LOG, gzip.compress(data, mtime=0))
            self._write_termination(base, termination)

    def store_missing(
        self, run_id: int, step: str, attempt: int, why: str, container: str = "", termination: str | None = None
    ) -> None:
        """Say why there is no log of a container, or of the whole attempt; a log that there is counts more."""
        base = f"{int(run_id)}/{safe(step)}/{int(attempt)}/{safe(container) if container else _WHOLE}"
        with told(f"store that there is no log of run {run_id}, step {step}"):
            self._files.write(base + _MISSING, cut_middle(why, TERMINATION_LIMIT).encode("utf-8", "replace"))
            self._write_termination(base, termination)

    def _write_termination(self, base: str, termination: str | None) -> None:
        if termination is not None:
            text = cut_middle(termination, TERMINATION_LIMIT)
            self._files.write(base + _TERMINATION, text.encode("utf-8", "replace"))

    def entries(self, run_id: int) -> list[Entry]:
        """What is kept of a run, in the order of steps, attempts and containers; empty for a run unknown here."""
        with told(f"list the logs of run {run_id}"):
            paths = self._files.names(str(int(run_id)))
        logs: dict[tuple[str, int], set[str]] = {}
        missing: dict[tuple[str, int], set[str]] = {}
        for path in map(PurePosixPath, paths):
            if len(path.parts) != 3 or not path.parts[1].isdecimal():
                continue
            place = path.parts[0], int(path.parts[1])
            for suffix, found in ((_LOG, logs), (_PLAIN, logs), (_MISSING, missing)):
                if path.name.endswith(suffix):
                    found.setdefault(place, set()).add(path.name.removesuffix(suffix))
                    break
        entries = [_entry(place, name, is_missing=False) for place, names in logs.items() for name in names]
        for place, names in missing.items():
            others = logs.get(place, set()) | (names - {_WHOLE})
            lacking = names - logs.get(place, set()) - ({_WHOLE} if others else set())
            entries += [_entry(place, name, is_missing=True) for name in lacking]
        return sorted(entries, key=lambda entry: (*_place(entry.step), entry.attempt, entry.container))

    def read(self, run_id: int, step: str | None = None, attempt: int | None = None) -> str:
        """The logs of a run, of one of its steps or attempts, as :meth:`texts` has them; empty when nothing is kept."""
        wanted = None if step is None else safe(step)
        entries = [
            entry for entry in self.entries(run_id) if wanted in (None, entry.step) and attempt in (None, entry.attempt)
        ]
        return self.texts(run_id, entries)

    def texts(self, run_id: int, entries: Sequence[Entry]) -> str:
        """The logs of some of a run's :meth:`entries`, one after the other; each under a heading if several.

        Where a log is missing, a line in brackets says why.
        """
        parts = []
        for entry in entries:
            text = self._missing(run_id, entry) if entry.is_missing else self._log(run_id, entry)
            if len(entries) > 1:
                container = f", container {entry.container}" if entry.container else ""
                heading = f"==> {entry.step}, attempt {entry.attempt}{container} <==\n"
                text = heading + text + ("" if text.endswith("\n") or not text else "\n")
            parts.append(text)
        return "\n".join(parts)

    def _log(self, run_id: int, entry: Entry) -> str:
        packed = self._data(run_id, entry, _LOG)
        if packed is None:
            return (self._data(run_id, entry, _PLAIN) or b"").decode("utf-8", "replace")
        try:
            return gzip.decompress(packed).decode("utf-8", "replace")
        except (OSError, EOFError, zlib.error) as error:
            return f"[This log was kept, but it is damaged: {error}.]\n"

    def _missing(self, run_id: int, entry: Entry) -> str:
        why = (self._data(run_id, entry, _MISSING) or b"").decode("utf-8", "replace")
        return f"[There is no log: {why}]\n"

    def termination(self, run_id: int, entry: Entry) -> str | None:
        """The termination message kept beside a log, None if there was none."""
        data = self._data(run_id, entry, _TERMINATION)
        return None if data is None else data.decode("utf-8", "replace")

    def store_evidence(self, run_id: int, step: str, attempt: int, document: Mapping[str, Any]) -> None:
        """Keep what a failure or wait of this attempt was read from; what was kept of it before goes."""
        data = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        with told(f"store the evidence of run {run_id}, step {step}"):
            self._files.write(f"{int(run_id)}/{safe(step)}/{int(attempt)}/{_EVIDENCE}", data)

    def evidence(self, run_id: int, step: str | None = None) -> list[dict[str, Any]]:
        """What is kept of a run's failures and waits, each with its ``step``; the newest attempts, in their order."""
        with told(f"read the evidence of run {run_id}"):
            found = []
            for path in map(PurePosixPath, self._files.names(str(int(run_id)))):
                if len(path.parts) == 3 and path.name == _EVIDENCE and path.parts[1].isdecimal():
                    found.append((path.parts[0], int(path.parts[1])))
            wanted = [place for place in found if step is None or place[0] == safe(step)]
            documents = []
            for name, attempt in sorted(wanted, key=lambda place: (*_place(place[0]), place[1]))[-MAX_EVIDENCE:]:
                data = self._files.read(f"{int(run_id)}/{name}/{attempt}/{_EVIDENCE}")
                if data is not None:
                    documents.append({**json.loads(data), "step": name, "attempt": attempt})
        return documents

    def jobs(self, *place: str) -> JobArchive:
        """What is kept of Jobs that are no run's, in a part of its own that ``place`` names."""
        return JobArchive(self._files, place)

    def sizes(self) -> dict[int, int]:
        """By run, the bytes of all that is kept of it."""
        with told("list the runs"):
            sizes: dict[int, int] = {}
            for path, size in self._files.sizes():
                run = path.partition("/")[0]
                if run.isascii() and run.isdigit():
                    sizes[int(run)] = sizes.get(int(run), 0) + size
            return sizes

    def try_out(self) -> None:
        """Write a small file beside the runs', and remove it."""
        folder = f".trial-{uuid4().hex[:8]}"
        with told("write a file there"):
            self._files.write(f"{folder}/trial", b"?")
            self._files.remove(folder)

    def remove(self, run_id: int) -> None:
        """Forget all that is kept of a run; done if that is nothing."""
        with told(f"remove what is kept of run {run_id}"):
            self._files.remove(str(int(run_id)))

    def _data(self, run_id: int, entry: Entry, suffix: str) -> bytes | None:
        container = safe(entry.container) if entry.container else _WHOLE
        with told(f"read the log of run {run_id}, step {entry.step}"):
            return self._files.read(f"{int(run_id)}/{safe(entry.step)}/{int(entry.attempt)}/{container}{suffix}")


def _entry(place: tuple[str, int], name: str, *, is_missing: bool) -> Entry:
    container = "" if name == _WHOLE else name
    return Entry(step=place[0], attempt=place[1], container=container, is_missing=is_missing)


def _place(step: str) -> tuple[int, str]:
    """Steps of a cwl run in the order they run in, any others after them by name."""
    return (STEP_TYPES.index(step), "") if step in STEP_TYPES else (len(STEP_TYPES), step)
