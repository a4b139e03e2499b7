"""Find every file a job order names and plan where each will lie beside the job order in the pods.

The job order is rewritten so that each local File and Directory has a relative ``path``; the files themselves become
uploads, remote ones (http, gs, s3, dds) stay references that the staging step fetches. Nothing is sent here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lando.errors import InputError
from lando.submission.workflow import PackedWorkflow

MAX_FILES = 100_000  # of one submission; beyond it a folder was surely not meant
_RESERVED = frozenset({"workflow", "job-order.json", "workflow-input-files-metadata.json"})
"""Names that staging itself writes beside the inputs."""


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """One file to upload."""

    source: Path
    destination: str
    """Path relative to the job order in the pods."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file that the staging step fetches by itself."""

    url: str
    destination: str


@dataclass(kw_only=True)
class InputFiles:
    """A job order as the pods will read it, and the files it needs there."""

    job_order: dict[str, Any]
    local: list[LocalFile] = field(default_factory=list)
    remote: list[RemoteFile] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        """Bytes to upload."""
        return sum(file.size for file in self.local)


def collect(order: Mapping[str, Any], workflow: PackedWorkflow, folder: Path) -> InputFiles:
    """The files of ``order``, whose relative paths count from ``folder``.

    Raises:
        InputError: a file is missing or unreadable, naming field and path.
    """
    collector = _Collector(folder)
    patterns = {one.name: one.secondary_files for one in workflow.inputs}
    rewritten = {name: collector.rewrite(value, name, name, patterns.get(name, ())) for name, value in order.items()}
    return InputFiles(job_order=rewritten, local=collector.local, remote=collector.remote)


class _Collector:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.local: list[LocalFile] = []
        self.remote: list[RemoteFile] = []
        self._taken: dict[str, str] = {}
        """What lies at each destination: a resolved path or a URL."""

    def rewrite(self, value: Any, field: str, top: str, patterns: tuple[Mapping[str, Any], ...]) -> Any:
        """``value`` with every File and Directory in it pointing to its place in the pods."""
        if isinstance(value, list):
            return [self.rewrite(item, f"{field}[{index}]", top, patterns) for index, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        if value.get("class") == "File":
            return self._file(dict(value), field, top, patterns)
        if value.get("class") == "Directory":
            return self._directory(dict(value), field, top)
        return {name: self.rewrite(member, f"{field}.{name}", top, patterns) for name, member in value.items()}

    def _file(
        self, value: dict[str, Any], field: str, top: str, patterns: tuple[Mapping[str, Any], ...]
    ) -> dict[str, Any]:
        location = _location(value)
        if location is None:  # a literal
            return value
        if _is_remote(location):
            sources = {_basename(value, field) or _url_name(location): location}
        else:
            path = self._existing(location, field)
            sources = {_basename(value, field) or path.name: str(path)}
            sources.update(self._beside(path, field, patterns))
        place = self._place(top, sources)
        for name, source in sources.items():
            self._add(source, f"{place}/{name}")
        value["path"] = as_reference(f"{place}/{next(iter(sources))}")
        if "secondaryFiles" in value:
            value["secondaryFiles"] = [
                self._secondary(dict(one), f"{field}.secondaryFiles[{index}]", place)
                for index, one in enumerate(value["secondaryFiles"])
            ]
        return value

    def _secondary(self, value: dict[str, Any], field: str, place: str) -> dict[str, Any]:
        """A listed secondary file: it has to lie beside its primary."""
        location = _location(value)
        if location is None:
            return value
        if value.get("class") == "Directory":
            return self._directory_at(value, self._existing(location, field, folder=True), place)
        remote = _is_remote(location)
        source = location if remote else str(self._existing(location, field))
        name = _basename(value, field) or (_url_name(location) if remote else Path(source).name)
        if self._taken.get(f"{place}/{name}", source) != source:
            raise InputError(f"{field}: another file called {name} lies in its place.", field=field)
        self._add(source, f"{place}/{name}")
        value["path"] = as_reference(f"{place}/{name}")
        return value

    def _beside(self, path: Path, field: str, patterns: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
        """Secondary files that the workflow's patterns name, by name, where they exist."""
        found: dict[str, str] = {}
        for pattern in patterns:
            text = str(pattern["pattern"])
            if "$(" in text or "${" in text:  # an expression: only the runner can tell
                continue
            companion = path.parent / companion_name(path.name, text)
            if companion.is_file():
                found[companion.name] = str(companion)
            elif pattern["required"] is True:
                raise InputError(f"{field}: {companion} must lie beside {path.name} but is not there.", field=field)
        return found

    def _directory(self, value: dict[str, Any], field: str, top: str) -> dict[str, Any]:
        location = _location(value)
        if location is None:
            listing = value.get("listing", [])
            value["listing"] = [self.rewrite(one, f"{field}.listing[{n}]", top, ()) for n, one in enumerate(listing)]
            return value
        if _is_remote(location):
            raise InputError(f"{field}: a remote folder can't be fetched; list its files.", field=field)
        path = self._existing(location, field, folder=True)
        name = _basename(value, field) or path.name
        return self._directory_at(value, path, self._place(top, {name: str(path)}))

    def _directory_at(self, value: dict[str, Any], path: Path, place: str) -> dict[str, Any]:
        """A folder with all it holds; one with empty folders in it is listed, since only files are staged."""
        destination = f"{place}/{value.get('basename') or path.name}"
        self._taken[destination] = str(path)
        value.pop("listing", None)
        listing, has_empty_folder = self._tree(path, destination)
        if has_empty_folder:
            value.update(basename=PurePosixPath(destination).name, listing=listing)
        else:
            value["path"] = as_reference(destination)
        return value

    def _tree(self, path: Path, destination: str) -> tuple[list[dict[str, Any]], bool]:
        listing: list[dict[str, Any]] = []
        has_empty_folder = False
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"The folder {path} can't be read: {error.strerror}.") from error
        for entry in entries:
            inner = f"{destination}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                members, empty = self._tree(Path(entry.path), inner)
                has_empty_folder = has_empty_folder or empty
                listing.append({"class": "Directory", "basename": entry.name, "listing": members})
            elif entry.is_dir():
                raise InputError(
                    f"{entry.path} is a link to a folder, which is not followed; name that folder instead."
                )
            else:
                self._add(entry.path, inner)
                listing.append({"class": "File", "path": as_reference(inner)})
        return listing, has_empty_folder or not entries

    def _existing(self, location: str, field: str, *, folder: bool = False) -> Path:
        parts = urlsplit(location)
        path = Path(unquote(parts.path)) if parts.scheme == "file" else self.folder / Path(location).expanduser()
        path = Path(os.path.abspath(path))
        if folder and not path.is_dir():
            raise InputError(f"{field}: there is no folder {path}.", field=field)
        if not folder and path.is_dir():
            raise InputError(f"{field}: {path} is a folder, and a File is wanted.", field=field)
        if not path.exists():
            raise InputError(f"{field}: there is no file {path}.", field=field)
        if not folder and not path.is_file():
            raise InputError(f"{field}: {path} is a device or a pipe, and a File is wanted.", field=field)
        if not os.access(path, os.R_OK):
            raise InputError(f"{field}: {path} can't be read: permission denied.", field=field)
        return path

    def _place(self, top: str, sources: Mapping[str, str]) -> str:
        """A folder named after the input in which every name of ``sources`` is free, or taken by the same file."""
        for candidate in _folders(top):
            if all(self._taken.get(f"{candidate}/{name}", source) == source for name, source in sources.items()):
                return candidate
        raise AssertionError("folder names never run out")

    def _add(self, source: str, destination: str) -> None:
        if self._taken.get(destination) == source:
            return
        self._taken[destination] = source
        if _is_remote(source):
            self.remote.append(RemoteFile(url=source, destination=destination))
            return
        path = Path(source)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise InputError(f"{source} can't be read: {error.strerror}.") from error
        self.local.append(LocalFile(source=path, destination=destination, size=size))
        if len(self.local) > MAX_FILES:
            raise InputError(f"The job order names more than {MAX_FILES} files; is {path.parent} the folder you mean?")


def companion_name(name: str, pattern: str) -> str:
    """The name of a secondary file by CWL's rule: each leading ``^`` takes one ending off, the rest is added."""
    while pattern.startswith("^"):
        name, pattern = PurePosixPath(name).stem, pattern[1:]
    return name + pattern


def _folders(top: str) -> Iterator[str]:
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in top) or "input"
    if safe not in _RESERVED:
        yield safe
    number = 2
    while True:
        yield f"{safe}_{number}"
        number += 1


def _basename(value: Mapping[str, Any], field: str) -> str | None:
    """The name that the job order gives the file or folder, if it gives one."""
    name = value.get("basename")
    if name is not None and (not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name):
        raise InputError(f"{field}: the basename must be a file's name, not {name!r}.", field=field)
    return name


def as_reference(path: str) -> str:
    """``path`` as CWL's runners read it: as a URI reference, in which these three letters would mean something else."""
    return path.replace("%", "%25").replace("#", "%23").replace("?", "%3F")


def _location(value: dict[str, Any]) -> str | None:
    """Take where the object lies out of it; ``location`` comes before ``path``, as in CWL."""
    path, location = value.pop("path", None), value.pop("location", None)
    chosen = location or path
    return chosen if isinstance(chosen, str) else None


def _is_remote(location: str) -> bool:
    scheme, found, _ = location.partition("://")  # a colon alone may stand in a file's name
    return bool(found) and "/" not in scheme and scheme.lower() != "file"


def _url_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not name or name in (".", ".."):
        raise InputError(f"{url} names no file; add a basename.")
    return name
