"""The files that a CWL output object names, wherever in it they stand. Pure but for the sizes of folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """One File of an output object."""

    output: str
    """Name of the workflow's output that it belongs to."""
    path: str
    """Below the results folder, parts joined by ``/``; the bare name where the object says no more."""
    size: int
    """Bytes."""


def output_files(outputs: Any, results: Path) -> list[OutputFile]:
    """Every File in arrays, records, secondary files and directory listings of an output object.

    Values that are no files are skipped. A Directory without a listing is read from the disk, if it lies in
    ``results``.
    """
    if not isinstance(outputs, dict):
        return []
    return [file for name, value in outputs.items() for file in _files(str(name), value, results)]


def local_path(value: dict[str, Any]) -> Path | None:
    """Where a File or Directory lies, from its ``path`` or its ``location`` (a path or a ``file:`` URL)."""
    place = str(value.get("path") or value.get("location") or "")
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(place) if place and not parts.scheme else None


def _files(output: str, value: Any, results: Path) -> Iterator[OutputFile]:
    if isinstance(value, list):
        for item in value:
            yield from _files(output, item, results)
    elif isinstance(value, dict):
        kind = value.get("class")
        if kind == "File":
            yield OutputFile(output=output, path=_relative(value, results), size=_size(value))
            yield from _files(output, value.get("secondaryFiles"), results)
        elif kind == "Directory":
            if value.get("listing") is not None:
                yield from _files(output, value["listing"], results)
            else:
                yield from _files_on_disk(output, value, results)
        elif kind is None:
            for item in value.values():
                yield from _files(output, item, results)


def _files_on_disk(output: str, value: dict[str, Any], results: Path) -> Iterator[OutputFile]:
    folder = local_path(value)
    if folder is None or not folder.resolve().is_relative_to(results.resolve()):
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield OutputFile(
                output=output,
                path=path.resolve().relative_to(results.resolve()).as_posix(),
                size=path.stat().st_size,
            )


def _relative(value: dict[str, Any], results: Path) -> str:
    path = local_path(value)
    if path is not None and path.is_relative_to(results):
        return path.relative_to(results).as_posix()
    return str(value.get("basename") or (path.name if path else "?"))


def _size(value: dict[str, Any]) -> int:
    size = value.get("size")
    if isinstance(size, int):
        return size
    path = local_path(value)
    return path.stat().st_size if path is not None and path.is_file() else 0
