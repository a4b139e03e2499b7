"""A second name, without blanks, for a folder whose own name shell scripts would trip over.

Where mount paths are substituted, a script reads the real folder instead of ``/bespin/job-data``, and few scripts quote
what is known to hold no blanks. A folder such as ``/home/Zoë/My Runs`` therefore gets a symbolic link in a folder of
this user alone below the temporary one. The name is worked out from the folder's, so that paths which one step writes
down still lead there for the next one, also after a restart.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from lando.errors import ConfigError

_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
"""What no shell takes apart."""
_LINK = "home"


class ShortPaths:
    """Paths below ``folder`` by a name that needs no quoting; unchanged where theirs needs none.

    Raises ConfigError when no such name can be had.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._own: Path | None = None
        if not _PLAIN.fullmatch(str(self._folder)):
            digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:12]
            self._own = _temporary_folder() / f"lando-{os.getuid()}-{digest}"
            self._ensure(self._own)

    def of(self, path: Path) -> Path:
        """``path`` by its short name."""
        if self._own is None or not path.is_relative_to(self._folder):
            return path
        # Temporary folders are tidied up: what is gone is made again.
        self._ensure(self._own)
        return self._own / _LINK / path.relative_to(self._folder)

    def remove(self) -> None:
        """Give the second name up; it is made again when it is asked for."""
        if self._own is not None:
            with suppress(OSError):
                (self._own / _LINK).unlink()
                self._own.rmdir()

    def _ensure(self, own: Path) -> None:
        """The folder is nobody else's, since what runs trusts the link in it."""
        with suppress(FileExistsError):
            own.mkdir(mode=0o700)
        found = own.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigError(f"{own} must be a folder only this user can use; remove it, or set TMPDIR")
        link = own / _LINK
        with suppress(FileExistsError):
            link.symlink_to(self._folder)
        if not link.is_symlink() or link.readlink() != self._folder:
            raise ConfigError(f"{link} must be a symbolic link to {self._folder}; remove it")


def _temporary_folder() -> Path:
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - what is in it is checked
        if _PLAIN.fullmatch(name) and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise ConfigError("no temporary folder has a name without blanks and can be written; set TMPDIR to one")
