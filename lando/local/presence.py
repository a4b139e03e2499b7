"""Whether an embedded cluster runs in a folder, where it answers, and how to end it: for other processes.

The process that runs it holds a lock on ``lock``, which the kernel gives back however the process ends, and says in
``running.json`` where it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lando.errors import ConfigError, LandoError
from lando.local.http.tls import write_private

_POLL_S = 0.05


class StopTimeoutError(LandoError):
    """The cluster was told to stop and did not in time."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """A cluster that runs."""

    pid: int
    url: str
    namespace: str
    mounts: str
    """How volumes get to their paths: ``bwrap`` or ``substitute``."""
    ephemeral: bool
    kubeconfig: str
    users: Mapping[str, list[str] | None]
    """Namespaces by user, besides the administrator; None: all."""


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Own ``home`` for as long as the context lasts. Raises ConfigError when another process does."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor):
            words = f"another process runs the embedded cluster in {home}; stop it or choose another folder"
            raise ConfigError(words)
        (home / "running.json").unlink(missing_ok=True)  # of one that was killed
        try:
            yield
        finally:
            (home / "running.json").unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def announce(home: Path, presence: Presence) -> None:
    """Say where the cluster is; by its owner, once it answers."""
    write_private(home / "running.json", json.dumps(asdict(presence)).encode())


def find(home: Path) -> Presence | None:
    """The cluster that runs in ``home`` and answers, or None."""
    if not _is_held(home):
        return None
    try:
        return Presence(**json.loads((home / "running.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def end(home: Path, presence: Presence, timeout_s: float) -> None:
    """Have the cluster stop, and wait for that. Raises StopTimeoutError when it takes more than ``timeout_s``."""
    until = time.monotonic() + timeout_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(presence.pid, signal.SIGTERM)
    while _is_held(home):
        if time.monotonic() > until:
            words = f"the cluster (process {presence.pid}) has not stopped within {timeout_s:g} s; look at its log"
            raise StopTimeoutError(words)
        time.sleep(_POLL_S)


def _is_held(home: Path) -> bool:
    try:
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
