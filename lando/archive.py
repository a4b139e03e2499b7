"""Logs, termination messages and evidence of steps, kept after their Jobs are gone.

One folder for each attempt of a step: ``<url>/<run id>/<step>/<attempt>/<container>.log.gz`` and, where the container
left one, ``<container>.termination.json``; ``evidence.json`` where the attempt failed or had to wait. Storing again
replaces, so an interrupted transition can be repeated. A log that could not be had leaves ``<container>.missing``,
which says why and counts only as long as there is no log. Archives of before have ``<container>.log``.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import fsspec

from lando.config import STEP_TYPES
from lando.credentials import use_mounted_credential
from lando.errors import ConfigError, Unavailable
from lando.runs import cut_middle

MAX_BYTES = 10 * 1024 * 1024  # of one container's log, unless the archive is told otherwise
TERMINATION_LIMIT = 4096  # bytes; what Kubernetes allows a termination message
MAX_EVIDENCE = 20  # documents of one run that are read at a time
TIMEOUT_S = 60.0  # without an answer of a bucket
RETRY_S = 60.0  # for which one write to it is tried again
PEER = "archive"

_PLAIN, _LOG, _MISSING = ".log", ".log.gz", ".missing"
_TERMINATION, _EVIDENCE = ".termination.json", "evidence.json"
_JOBS = "jobs"
"""The folder of Jobs that are no run's, beside those of the runs, which are numbers."""
_WHOLE = "_"
"""Stands for all containers of an attempt; none can be called so."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


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
        self._files = _files(url)

    def store(
        self, run_id: int, step: str, attempt: int, container: str, log: str, termination: str | None = None
    ) -> None:
        """Keep a container's log, cut in the middle to the archive's limit, and its termination message."""
        base = f"{int(run_id)}/{_safe(step)}/{int(attempt)}/{_safe(container)}"
        with _told(f"store the log of run {run_id}, step {step}"):
            data = cut_middle(log, self._max_bytes).encode("utf-8", "replace")
            self._files.write(base + _LOG, gzip.compress(data, mtime=0))
            self._write_termination(base, termination)

    def store_missing(
        self, run_id: int, step: str, attempt: int, why: str, container: str = "", termination: str | None = None
    ) -> None:
        """Say why there is no log of a container, or of the whole attempt; a log that there is counts more."""
        base = f"{int(run_id)}/{_safe(step)}/{int(attempt)}/{_safe(container) if container else _WHOLE}"
        with _told(f"store that there is no log of run {run_id}, step {step}"):
            self._files.write(base + _MISSING, cut_middle(why, TERMINATION_LIMIT).encode("utf-8", "replace"))
            self._write_termination(base, termination)

    def _write_termination(self, base: str, termination: str | None) -> None:
        if termination is not None:
            text = cut_middle(termination, TERMINATION_LIMIT)
            self._files.write(base + _TERMINATION, text.encode("utf-8", "replace"))

    def entries(self, run_id: int) -> list[Entry]:
        """What is kept of a run, in the order of steps, attempts and containers; empty for a run unknown here."""
        with _told(f"list the logs of run {run_id}"):
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
            told = names - logs.get(place, set()) - ({_WHOLE} if others else set())
            entries += [_entry(place, name, is_missing=True) for name in told]
        return sorted(entries, key=lambda entry: (*_place(entry.step), entry.attempt, entry.container))

    def read(self, run_id: int, step: str | None = None, attempt: int | None = None) -> str:
        """The logs of a run, of one of its steps or attempts, as :meth:`texts` has them; empty when nothing is kept."""
        wanted = None if step is None else _safe(step)
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
        with _told(f"store the evidence of run {run_id}, step {step}"):
            self._files.write(f"{int(run_id)}/{_safe(step)}/{int(attempt)}/{_EVIDENCE}", data)

    def evidence(self, run_id: int, step: str | None = None) -> list[dict[str, Any]]:
        """What is kept of a run's failures and waits, each with its ``step``; the newest attempts, in their order."""
        with _told(f"read the evidence of run {run_id}"):
            found = []
            for path in map(PurePosixPath, self._files.names(str(int(run_id)))):
                if len(path.parts) == 3 and path.name == _EVIDENCE and path.parts[1].isdecimal():
                    found.append((path.parts[0], int(path.parts[1])))
            wanted = [place for place in found if step is None or place[0] == _safe(step)]
            documents = []
            for name, attempt in sorted(wanted, key=lambda place: (*_place(place[0]), place[1]))[-MAX_EVIDENCE:]:
                data = self._files.read(f"{int(run_id)}/{name}/{attempt}/{_EVIDENCE}")
                if data is not None:
                    documents.append({**json.loads(data), "step": name, "attempt": attempt})
        return documents

    def store_job(self, place: Sequence[str], document: Mapping[str, Any]) -> None:
        """Keep what there is to know of a Job that is no run's; ``place`` is what it is known by."""
        data = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        with _told(f"store the Job {place[-1]}"):
            self._files.write(_job_file(place), gzip.compress(data, mtime=0))

    def job(self, place: Sequence[str]) -> dict[str, Any] | None:
        """What :meth:`store_job` was given; None where that is nothing, or is damaged."""
        with _told(f"read the Job {place[-1]}"):
            data = self._files.read(_job_file(place))
        try:
            document = None if data is None else json.loads(gzip.decompress(data))
        except (OSError, EOFError, zlib.error, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def sizes(self) -> dict[int, int]:
        """By run, the bytes of all that is kept of it."""
        with _told("list the runs"):
            sizes: dict[int, int] = {}
            for path, size in self._files.sizes():
                run = path.partition("/")[0]
                if run.isascii() and run.isdigit():
                    sizes[int(run)] = sizes.get(int(run), 0) + size
            return sizes

    def try_out(self) -> None:
        """Write a small file beside the runs', and remove it."""
        folder = f".trial-{uuid4().hex[:8]}"
        with _told("write a file there"):
            self._files.write(f"{folder}/trial", b"?")
            self._files.remove(folder)

    def remove(self, run_id: int) -> None:
        """Forget all that is kept of a run; done if that is nothing."""
        with _told(f"remove what is kept of run {run_id}"):
            self._files.remove(str(int(run_id)))

    def _data(self, run_id: int, entry: Entry, suffix: str) -> bytes | None:
        container = _safe(entry.container) if entry.container else _WHOLE
        with _told(f"read the log of run {run_id}, step {entry.step}"):
            return self._files.read(f"{int(run_id)}/{_safe(entry.step)}/{int(entry.attempt)}/{container}{suffix}")


class _Files(Protocol):
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

        for blob in self._below(f"{folder}/"):
            with contextlib.suppress(NotFound):
                blob.delete(timeout=TIMEOUT_S)

    def _below(self, folder: str) -> list[Any]:
        return list(self._client.list_blobs(self._bucket, prefix=self._root + folder, timeout=TIMEOUT_S))


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


def _files(url: str) -> _Files:
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
def _told(what: str) -> Iterator[None]:
    """Errors of whatever store lies below, as Unavailable."""
    try:
        yield
    except Exception as error:
        raise Unavailable(PEER, f"could not {what}: {error or type(error).__name__}") from error


def _entry(place: tuple[str, int], name: str, *, is_missing: bool) -> Entry:
    container = "" if name == _WHOLE else name
    return Entry(step=place[0], attempt=place[1], container=container, is_missing=is_missing)


def _job_file(place: Sequence[str]) -> str:
    return "/".join([_JOBS, *map(_safe, place)]) + ".json.gz"


def _safe(name: str) -> str:
    """``name`` as one part of a path."""
    cleaned = _UNSAFE.sub("-", name)[:200]
    return cleaned if cleaned.strip(".") else "_"


def _place(step: str) -> tuple[int, str]:
    """Steps of a cwl run in the order they run in, any others after them by name."""
    return (STEP_TYPES.index(step), "") if step in STEP_TYPES else (len(STEP_TYPES), step)
