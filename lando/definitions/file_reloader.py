"""A file that is read again when it has changed."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Generator
from typing import TextIO

from lando.definitions.exceptions import DefinitionError

MAX_SIZE = 8 * 1024 * 1024
"""Characters of a file: some ten thousand definitions."""

Update = Callable[[], object]


class FileReloader:
    """Gives a file's text when any of its modification time, size and inode differ from when it was last seen.

    A rename or a symlink swap (how a mounted ConfigMap changes) is such a difference. Safe to use from several threads.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._updates = 0

    def maybe_reload(self) -> Generator[TextIO | None, Update | None, None]:
        """A generator that yields nothing when the file is missing or unchanged, else one open text stream.

        It then expects ``send`` of a callable or None. The callable runs under this object's lock, and only when no
        other thread has sent meanwhile; the change counts as seen only when it has returned. Raises OSError when the
        file can't be read.
        """
        with self._lock:
            seen, updates = self._seen, self._updates
        try:
            if _version(os.stat(self.path)) == seen:
                return
            stream = open(self.path, encoding="utf-8", opener=_opened)  # noqa: SIM115 - closed below
        except FileNotFoundError:
            self.if_missing(None)
            return
        with stream:
            version = _version(os.fstat(stream.fileno()))
            update = yield stream
        with self._lock:
            if self._updates == updates:
                if update is not None:
                    update()
                self._seen = version  # of before it was read: what was written to meanwhile is read again
                self._updates += 1
        yield None  # what send() returns

    def if_missing(self, update: Update | None) -> bool:
        """Whether there is no such file now; then ``update`` is run under the lock, in the place of what others send.

        The same file, put back, is a change.
        """
        with self._lock:
            if os.path.exists(self.path):
                return False
            if update is not None:
                update()
            self._seen = None
            self._updates += 1
            return True


def text_of(stream: TextIO) -> str:
    """All that ``stream`` has. Raises DefinitionError for more than MAX_SIZE, and for what is no text."""
    try:
        text = stream.read(MAX_SIZE + 1)
    except UnicodeDecodeError as error:
        raise DefinitionError("this is no UTF-8 text") from error
    if len(text) > MAX_SIZE:
        raise DefinitionError(f"this is longer than {MAX_SIZE:,} characters")
    return text


def _opened(path: str, flags: int) -> int:
    """A regular file only: to open a pipe could take for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
