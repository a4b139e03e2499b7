"""The first step: bring the workflow, the job order and the input files onto the job's volume.

``python -m lando.steps.stage_data COMMAND_FILE [METADATA_FILE]``

Items are done in order. Each file is written beside its place and renamed when it is complete and of the right size,
so a file that is there is whole; running the step again overwrites. METADATA_FILE gets the storage's records of
Duke Data Service files (``items``) and, beside them, what was staged from URLs (``files``).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lando.errors import ConfigError, InputError, NotFound, StepError
from lando.runs import Category, Cause
from lando.steps.duke_files import DukeFiles
from lando.steps.http_download import Downloader, Limits, Progress, check_expected_size, check_size_limit
from lando.steps.program import UsageError, log, read_command_file, required, run_program
from lando.steps.unzip import unzip
from lando.stores import open_store
from lando.stores.checksums import verified
from lando.stores.files import FileStore
from lando.stores.transfer import with_retries
from lando.stores.urls import masked, without_query
from lando.units import decimal_size

USAGE = "python -m lando.steps.stage_data COMMAND_FILE [METADATA_FILE]"
TELL_EVERY_S = 5.0  # seconds between two progress lines of one file
_PART = ".lando-part"  # one in a folder at a time; a killed attempt's is overwritten by the next


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The command file's ``policy``: what this installation lets a job stage."""

    schemes: frozenset[str] = frozenset({"http", "https", "gs", "s3", "dds"})
    file_roots: tuple[Path, ...] = ()
    """Folders below which ``file:`` sources may lie."""
    store_roots: tuple[str, ...] = ()
    """URLs below which sources in a store may lie: its credential may read what the job's owner may not."""
    allow_local_addresses: bool = False
    max_bytes: int | None = None
    """The largest single file."""
    timeout_s: float = 60.0

    @classmethod
    def read(cls, command: dict[str, Any]) -> Policy:
        """The policy of a command file; the strict default where it says nothing."""
        policy = command.get("policy") or {}
        default = cls()
        return cls(
            schemes=frozenset(policy.get("schemes") or default.schemes),
            file_roots=tuple(Path(root) for root in policy.get("file_roots") or ()),
            store_roots=tuple(str(root).rstrip("/") + "/" for root in policy.get("store_roots") or ()),
            allow_local_addresses=bool(policy.get("allow_local_addresses", False)),
            max_bytes=policy.get("max_bytes"),
            timeout_s=float(policy.get("timeout_s") or default.timeout_s),
        )


@dataclass(kw_only=True)
class _Teller:
    """Says how far a file has come, at most every :data:`TELL_EVERY_S` seconds."""

    told_at: float = field(default_factory=time.monotonic)

    def tell(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self.told_at < TELL_EVERY_S:
            return
        self.told_at = now
        if total:
            log(f"  {100 * done // total} % of {decimal_size(total)}")
        else:
            log(f"  {decimal_size(done)} so far")


def stage(command: dict[str, Any], metadata_file: Path | None, source: str = "The command file") -> dict[str, Any]:
    """Do every item of ``command``; the termination message."""
    policy = Policy.read(command)
    items = required(command, "items", list, source)
    downloader = Downloader(
        Limits(
            schemes=policy.schemes & {"http", "https"},
            allow_local_addresses=policy.allow_local_addresses,
            max_bytes=policy.max_bytes,
            timeout_s=policy.timeout_s,
        ),
        log,
    )
    duke = DukeFiles(
        policy.schemes,
        policy.max_bytes,
        lambda chunks, source, size, dest: _write_verified(
            chunks, source, size, dest, policy, Progress(tell=_Teller().tell)
        ),
    )
    files: list[dict[str, Any]] = []
    _check_destinations(items, source)
    try:
        for number, item in enumerate(items, start=1):
            where = f"{source}, item {number}"
            if not isinstance(item, dict):
                raise InputError(f"{where} is no object.")
            record = _do_item(item, where, f"[{number}/{len(items)}]", policy, downloader, duke)
            if record is not None:
                files.append(record)
    finally:
        downloader.close()
    if metadata_file is not None:
        _write_text(json.dumps({"items": duke.records, "files": files}, indent=1), metadata_file)
    total = sum(record["size"] for record in files)
    log(f"Staged {len(items)} item{'' if len(items) == 1 else 's'}, {decimal_size(total)} from URLs.")
    return {}


def _check_destinations(items: list[Any], source: str) -> None:
    """Refuse two different things for one place: one of them would silently be lost."""
    seen: dict[Path, str] = {}
    for number, item in enumerate(items, start=1):
        if isinstance(item, dict) and isinstance(item.get("dest"), str) and isinstance(item.get("source"), str):
            dest = Path(item["dest"])
            if seen.setdefault(dest, item["source"]) != item["source"]:
                raise InputError(f"{source}, item {number}: another item has the same dest, {dest}.", field="dest")


def _do_item(
    item: dict[str, Any], where: str, number: str, policy: Policy, downloader: Downloader, duke: DukeFiles
) -> dict[str, Any] | None:
    kind = required(item, "type", str, where)
    source = required(item, "source", str, where)
    dest = Path(required(item, "dest", str, where))
    if ".." in dest.parts:
        raise InputError(f"{where}: dest {str(dest)!r} may not contain '..'.", field="dest")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{where}: {dest} can't be written, a file stands where its folder belongs.") from error
    if dest.is_dir():
        raise InputError(f"{where}: {dest} can't be written, a folder stands there.", field="dest")
    record = None
    if kind == "write":
        if not source.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in source):
            raise InputError(f"{where}: source holds half of a character, which no file in UTF-8 can.", field="source")
        log(f"{number} write {dest.name} ({decimal_size(len(source.encode()))})")
        _write_text(source, dest)
    elif kind == "url":
        log(f"{number} {masked(source)} -> {dest.name}")
        expected = required(item, "size", int, where) if item.get("size") is not None else None
        size, sha256 = _fetch(source, dest, expected, policy, downloader)
        log(f"  done, {decimal_size(size)}")
        record = {"source": without_query(source), "dest": str(dest), "size": size, "sha256": sha256}
    elif kind == "DukeDS":
        log(f"{number} file {source} of the Duke Data Service -> {dest.name}")
        log(f"  {duke.stage(source, dest)}")
    else:
        raise InputError(f"{where} has the unknown type {kind!r}; known are url, write and DukeDS.", field="type")
    if item.get("unzip_to"):
        count = unzip(dest, Path(required(item, "unzip_to", str, where)), max_bytes=policy.max_bytes)
        log(f"  unpacked {count} file{'' if count == 1 else 's'} from {dest.name}")
    return record


def _fetch(source: str, dest: Path, size: int | None, policy: Policy, downloader: Downloader) -> tuple[int, str]:
    """Fetch one file to ``dest``; its size and SHA-256."""
    try:
        scheme = urlsplit(source).scheme.lower()
    except ValueError as error:
        raise InputError(f"The source of {dest.name} is not a valid URL.", field="source") from error
    local = scheme == "file" and bool(policy.file_roots)
    if not local and scheme not in policy.schemes:
        allowed = ", ".join(sorted(policy.schemes | ({"file"} if policy.file_roots else set())))
        raise InputError(
            f"{without_query(source)} is refused: {scheme or 'no scheme'} is not one of the schemes "
            f"that this installation stages from ({allowed})."
        )
    part = dest.with_name(_PART)
    progress = Progress(tell=_Teller().tell)
    try:
        if local:
            done = _copy(source, _allowed_path(source, policy), part, size, policy, progress)
        elif scheme in ("http", "https"):
            done = downloader.fetch(source, part, size, progress)
        else:
            _check_store_root(source, policy)
            done = with_retries(lambda: _fetch_from_store(source, part, size, policy, progress))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, dest)
    finally:
        part.unlink(missing_ok=True)
    return done


def _allowed_path(source: str, policy: Policy) -> Path:
    """The local file that ``source`` names, links resolved, if it lies below one of the allowed folders."""
    parts = urlsplit(source)
    if "%00" in parts.path:
        raise InputError(f"{source} is refused: no path holds a NUL.")
    path = Path(unquote(parts.path)).resolve()
    allowed = any(path.is_relative_to(root.resolve()) for root in policy.file_roots)
    if parts.netloc not in ("", "localhost") or not allowed:
        raise InputError(f"{source} is refused: it lies outside the folders that this installation stages from.")
    if not path.is_file():
        raise InputError(f"{source} does not exist or is no file.")
    return path


def _check_store_root(source: str, policy: Policy) -> None:
    """Refuse what does not lie below one of the allowed roots, whichever way its path is spelled."""
    spelled = unquote(source)
    if not spelled.startswith(policy.store_roots) or ".." in spelled.split("/"):
        raise InputError(
            f"{source} is refused: it lies outside the stores that this installation stages from "
            "(the administrator names them in staging.store_roots)."
        )


def _write_verified(
    chunks: Iterable[bytes], source: str, total: int, dest: Path, policy: Policy, progress: Progress
) -> None:
    """Bring what a storage sends to ``dest``, whole or not at all."""
    part = dest.with_name(_PART)
    try:
        _pour(chunks, part, source, total, policy, progress)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, dest)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: str, path: Path, part: Path, size: int | None, policy: Policy, progress: Progress) -> tuple[int, str]:
    total = path.stat().st_size
    check_size_limit(source, total, policy.max_bytes)
    check_expected_size(source, total, size)
    return _pour(FileStore(path.parent.as_uri()).read(path.name), part, source, total, policy, progress)


def _fetch_from_store(source: str, part: Path, size: int | None, policy: Policy, progress: Progress) -> tuple[int, str]:
    """Through the store that holds the file: its folder is the store, its name the path."""
    parent, _, name = source.rpartition("/")
    try:
        store = open_store(parent)
        entry = store.entry(name)
        if entry is None:
            raise NotFound("store", f"{source} does not exist", status=404)
        check_size_limit(source, entry.size, policy.max_bytes)
        check_expected_size(source, entry.size, size)
        chunks = verified(store.read(name), entry.checksum, source)
        return _pour(chunks, part, source, entry.size, policy, progress)
    except NotFound as error:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"{source} does not exist.",
                advice="Correct the address and submit again.",
            )
        ) from error
    except (ConfigError, ValueError) as error:
        raise InputError(f"{source} can't be staged: {error}") from error


def _pour(
    chunks: Iterable[bytes], part: Path, source: str, total: int, policy: Policy, progress: Progress
) -> tuple[int, str]:
    done, digest = 0, hashlib.sha256()
    with part.open("wb") as sink:
        for chunk in chunks:
            sink.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            check_size_limit(source, done, policy.max_bytes)
            progress.tell(done, total)
    check_expected_size(source, done, total)
    return done, digest.hexdigest()


def _write_text(text: str, dest: Path) -> None:
    part = dest.with_name(_PART)
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, dest)
    finally:
        part.unlink(missing_ok=True)


def _work(argv: Sequence[str]) -> dict[str, Any]:
    if not 1 <= len(argv) <= 2:
        raise UsageError("one or two arguments are expected.")
    return stage(read_command_file(argv[0]), Path(argv[1]) if len(argv) == 2 else None, str(argv[0]))


def main() -> int:
    """The container's program."""
    return run_program("stage_data", USAGE, _work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
