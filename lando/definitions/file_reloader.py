"""A file that is read again when it has changed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

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
        other thread has sent meanwhile; the change counts as seen only when it has returned.
        """
        with self._lock:
            seen, updates = self._seen, self._updates
        try:
            if _version(os.stat(self.path)) == seen:
                return
            stream = Path(self.path).open(encoding="utf-8")  # noqa: SIM115 - closed below
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
                self._seen = version
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


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
