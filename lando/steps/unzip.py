"""Unpack a zip archive that somebody else made: nothing outside the folder, no links, no bombs."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from lando.errors import InputError, StepError
from lando.runs import Category, Cause

ENTRIES_LIMIT = 100_000  # files and folders in one archive
UNPACKED_LIMIT = 20 * 2**30  # bytes, all files together
NAME_LIMIT = 255  # bytes of one part of a path
CHUNK = 1 << 20  # bytes


def unzip(archive: Path, folder: Path, *, max_bytes: int | None = None, name: str | None = None) -> int:
    """Unpack ``archive`` into ``folder``, over what is there; the number of files. A file that is there is whole.

    Args:
        max_bytes: The most all files may hold together; :data:`UNPACKED_LIMIT` when None.
        name: What sentences call the archive; its file's name when None.

    Raises:
        InputError: It is no zip archive, is damaged or encrypted, or an entry has no business in one. Nothing has
            been unpacked then, except when damage shows only in the data.
        StepError: The volume has no room for it; nothing has been unpacked.
    """
    name = name or archive.name
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [
                entry for entry in opened.infolist() if PurePosixPath(entry.filename).parts or not entry.is_dir()
            ]
            _check(archive, name, entries, folder)
            _check_size(name, entries, folder, UNPACKED_LIMIT if max_bytes is None else max_bytes)
            folder.mkdir(parents=True, exist_ok=True)
            for entry in entries:
                _unpack(opened, entry, folder, name)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError, ValueError) as error:
        raise InputError(f"{name} can't be unpacked: {error}.") from error
    return sum(1 for entry in entries if not entry.is_dir())


def _check(archive: Path, name: str, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    if len(entries) > ENTRIES_LIMIT:
        raise InputError(f"{name} holds {len(entries)} entries; {ENTRIES_LIMIT} is the most that is unpacked.")
    files: set[PurePosixPath] = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or not path.parts or ":" in path.parts[0]:
            raise InputError(f"{name} is refused: its entry {entry.filename!r} would lie outside its folder.")
        mode = entry.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{name} is refused: its entry {entry.filename!r} is a link or a device, not a file.")
        if entry.flag_bits & 0x1:
            raise InputError(f"{name} is refused: its entry {entry.filename!r} is encrypted.")
        if max(len(part.encode()) for part in path.parts) > NAME_LIMIT:
            raise InputError(f"{name} is refused: its entry {entry.filename[:80]!r}… has too long a name.")
        if folder / path == archive:
            raise InputError(f"{name} is refused: its entry {entry.filename!r} would take its own place.")
        if path in files:
            raise InputError(f"{name} is refused: it holds {entry.filename!r} twice.")
        if not entry.is_dir():
            files.add(path)
    for entry in entries:
        if inside := next((parent for parent in PurePosixPath(entry.filename).parents if parent in files), None):
            raise InputError(f"{name} is refused: its entry {str(inside)!r} is a file and a folder.")


def _check_size(name: str, entries: list[zipfile.ZipInfo], folder: Path, limit: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise InputError(f"{name} is refused: unpacked it takes {total} bytes, and {limit} is the most.")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    room = shutil.disk_usage(existing).free
    if total > room:  # what an earlier attempt unpacked makes room by being overwritten
        places = ((entry.file_size, folder / entry.filename) for entry in entries)
        room += sum(min(size, _size(place) + _size(_part(place))) for size, place in places)
    if total > room:
        raise StepError(
            Cause(
                category=Category.RESOURCES,
                sentence=f"Unpacked, {name} takes {total} bytes, and the volume has room for {room}.",
                advice="Ask the operator for larger volumes (base_stage_data_volume_size_in_g), then submit again.",
            )
        )


def _part(target: Path) -> Path:
    """Where a file is while it is not whole; a killed attempt's is overwritten by the next."""
    return target.with_name(f".lando-part-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}")


def _size(path: Path) -> int:
    """Bytes of a file; 0 where none is."""
    return path.stat().st_size if path.is_file() else 0


def _unpack(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, name: str) -> None:
    target = folder / PurePosixPath(entry.filename)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{name} is refused: its entry {entry.filename!r} would be written through a link.")
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # its room may be needed
    left, part = entry.file_size, _part(target)
    try:
        with opened.open(entry) as source, part.open("wb") as sink:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InputError(f"{name} is refused: its entry {entry.filename!r} is longer than it says.")
                sink.write(chunk)
        executable = (entry.external_attr >> 16) & 0o111
        part.chmod(0o755 if executable else 0o644)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
