"""Where a model and its manifests are read from: a folder on disk, or a bundle that was sent whole.

Paths are as the model writes them, with ``/``. A folder resolves them from where the command was started, as the
original does; a bundle knows only what it holds.
"""

from __future__ import annotations

import bisect
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol

MAX_BYTES = 4 * 2**20
"""Of one file. No Kubernetes object may be that large; a file of resources holds several."""
MAX_FILES = 10_000
"""Manifests of one directory."""
MAX_SEEN = 100_000
"""Whatever lies in one directory, so that nobody waits for ``job_path: /``; in all that are listed of a bundle."""
MAX_PATH = 1024
"""Characters of a path in a bundle, whose sender is not trusted: each finding names it."""
SUFFIXES = (".yml", ".yaml", ".json")
"""Of manifests, in exactly this case."""


class Kind(Enum):
    """What stands at a path, symbolic links followed."""

    FILE = "a file"
    DIRECTORY = "a directory"
    ABSENT = "absent"
    OTHER = "neither a file nor a directory"


class UnreadableError(Exception):
    """A file or directory can't be read.

    Attributes:
        path: which one.
        reason: why, as the end of a sentence that begins with the path; without a full stop.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason


class Files(Protocol):
    """What reading a model needs of the place where its files lie."""

    def key(self, path: str) -> str:
        """The same for different spellings of one path, as far as that can be told without looking."""
        ...

    def kind(self, path: str) -> Kind:
        """What stands there.

        Raises:
            UnreadableError: that can't be told.
        """
        ...

    def text(self, path: str) -> str:
        """The content of a file, without a byte order mark.

        Raises:
            UnreadableError: it can't be read, is too large or is not UTF-8.
        """
        ...

    def below(self, path: str) -> list[str]:
        """The manifests in a directory and in those below it, by their suffix, sorted; paths begin with ``path``.

        Names that begin with two dots are left out: a mounted ConfigMap keeps a second copy of its files in such
        a directory. A symbolic link to a directory above itself adds nothing.

        Raises:
            UnreadableError: a directory can't be read or holds too much.
        """
        ...


class Folder:
    """Files on disk; relative paths begin at ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def key(self, path: str) -> str:
        return path

    def kind(self, path: str) -> Kind:
        try:
            mode = os.stat(self._at(path)).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return Kind.ABSENT
        except OSError as error:
            raise UnreadableError(path, _why(error)) from error
        if stat.S_ISREG(mode):
            return Kind.FILE
        return Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.OTHER

    def text(self, path: str) -> str:
        place = self._at(path)
        try:
            with open(place, "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UnreadableError(path, "is not a file")
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise UnreadableError(path, _why(error)) from error
        return _decoded(path, content)

    def below(self, path: str) -> list[str]:
        found: list[str] = []
        seen = 0
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(path, frozenset())]
        while waiting:
            folder, above = waiting.pop()
            try:
                status = os.stat(self._at(folder))
                identity = (status.st_dev, status.st_ino)
                if identity in above:
                    continue
                with os.scandir(self._at(folder)) as listing:
                    for item in listing:
                        seen += 1
                        if seen > MAX_SEEN:
                            raise UnreadableError(path, f"holds more than {MAX_SEEN:,} files and directories")
                        if item.name.startswith(".."):
                            continue
                        inner = posixpath.join(folder, item.name)
                        if _is_directory(item):
                            waiting.append((inner, above | {identity}))
                        elif item.name.endswith(SUFFIXES):
                            found.append(inner)
            except OSError as error:
                raise UnreadableError(folder, _why(error)) from error
        return _listed(path, found)

    def _at(self, path: str) -> Path:
        if "\0" in path:
            raise UnreadableError(path, "is no path: it holds a zero byte")
        return self._root / path


class Bundle:
    """Files by path that were sent together; a path that leads out of the bundle leads nowhere."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {posixpath.normpath(path): text for path, text in texts.items()}
        self._paths = sorted(self._texts)
        self._seen = 0

    def key(self, path: str) -> str:
        return posixpath.normpath(path)

    def kind(self, path: str) -> Kind:
        if len(path) > MAX_PATH:
            raise UnreadableError(path, f"is no path of a bundle: it is longer than {MAX_PATH:,} characters")
        place = self.key(path)
        if place in self._texts:
            return Kind.FILE
        return Kind.DIRECTORY if place == "." or next(self._inside(place), None) is not None else Kind.ABSENT

    def text(self, path: str) -> str:
        try:
            text = self._texts[self.key(path)]
        except KeyError:
            raise UnreadableError(path, "does not exist") from None
        try:
            return _decoded(path, text.encode())
        except UnicodeEncodeError:
            raise UnreadableError(path, "is not UTF-8 text") from None

    def below(self, path: str) -> list[str]:
        found = []
        for inner in self._inside(self.key(path)):
            self._seen += 1
            if self._seen > MAX_SEEN:
                raise UnreadableError(path, f"is one directory too many: they hold more than {MAX_SEEN:,} files")
            if inner.endswith(SUFFIXES) and not inner.startswith("..") and "/.." not in inner:
                found.append(posixpath.join(path, inner))
        if found and len(max(found, key=len)) > MAX_PATH:
            raise UnreadableError(path, f"holds a file whose path is longer than {MAX_PATH:,} characters")
        return _listed(path, found)

    def _inside(self, place: str) -> Iterator[str]:
        """Paths in a directory, from there; none where there is no such directory."""
        prefix = "" if place == "." else f"{place}/"
        for index in range(bisect.bisect_left(self._paths, prefix), len(self._paths)):
            if not self._paths[index].startswith(prefix):
                return
            yield self._paths[index].removeprefix(prefix)


def _listed(path: str, found: list[str]) -> list[str]:
    if len(found) > MAX_FILES:
        raise UnreadableError(path, f"holds {len(found):,} manifests, more than {MAX_FILES:,}")
    for one in found:
        try:
            one.encode()
        except UnicodeEncodeError:
            raise UnreadableError(path, "holds a file whose name is not UTF-8") from None
    return sorted(found)


def _decoded(path: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise UnreadableError(path, f"is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError(path, "is not UTF-8 text") from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe's other end may never come


def _is_directory(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself; as a manifest it is told when it is read
        return False


def _why(error: OSError) -> str:
    return f"can't be read: {error.strerror or type(error).__name__}"
