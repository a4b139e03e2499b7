"""Programs run as an ordinary user, also where the tests run as root."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.providing import missing

UID = 61_234
"""A user without a name, as in many containers."""


def as_ordinary_user(command: list[str]) -> list[str]:
    """``command`` for an ordinary user; the test is skipped where there is no way to become one."""
    if os.getuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        missing("ordinary user", "install setpriv (apt install util-linux)")
    dropped = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *command]
    closed = _closed_folder(Path(sys.base_prefix))
    if closed is None:
        return dropped
    # The interpreter lies in a folder of root's: an open one with nothing but it is put in that folder's place.
    if shutil.which("bwrap") is None:
        missing("ordinary user", f"others may not enter {closed}, where Python is; install bwrap")
    prefix = Path(sys.base_prefix)
    shown = ["--dev-bind", "/", "/", "--tmpfs", str(closed), "--chmod", "0755", str(closed)]
    for folder in reversed(prefix.parents):
        if folder.is_relative_to(closed) and folder != closed:
            shown += ["--perms", "0755", "--dir", str(folder)]
    return ["bwrap", *shown, "--ro-bind", str(prefix), str(prefix), *dropped]


@contextmanager
def folder_of_ordinary_user(name: str) -> Iterator[Path]:
    """A folder of that user's own, of this name, in a place that it can reach."""
    with tempfile.TemporaryDirectory(prefix="lando-test-") as outer:
        os.chmod(outer, 0o755)
        folder = Path(outer) / name
        folder.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(folder, UID, UID)
        yield folder


def _closed_folder(path: Path) -> Path | None:
    """The outermost folder on the way to ``path`` that others may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.stat().st_mode & 0o001:
            return folder
    return None
