"""Who holds a Lease: one process of one start of one machine, so that the same machine can tell when it is gone."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lando.local.node.process_table import read_process

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process, as ``spec.holderIdentity`` names it: ``ada@host/4711/8123456/<boot>/<numbers>/<nonce>``."""

    who: str
    """User and host name."""
    pid: int
    started: int
    """Clock ticks from the machine's start to the process's; 0 where the system does not tell."""
    boot: str
    """Which start of the machine; "" where the system does not tell."""
    numbers: str
    """In which namespace ``pid`` counts: in two containers of a machine the same number is not the same process."""
    nonce: str
    """Tells two runs of one process apart."""

    @classmethod
    def here(cls) -> Self:
        """This very process, as a holder of its own each time."""
        process = read_process(os.getpid())
        return cls(
            who=_plain(f"{_user()}@{socket.gethostname()}"),
            pid=os.getpid(),
            started=process.started if process is not None else 0,
            boot=_boot(),
            numbers=_numbers(),
            nonce=secrets.token_hex(8),
        )

    @classmethod
    def parse(cls, identity: str) -> Self | None:
        """None for an identity of another form, which nothing is known of."""
        parts = identity.split("/")
        if len(parts) != 6 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        who, pid, started, boot, numbers, nonce = parts
        return cls(who=who, pid=int(pid), started=int(started), boot=boot, numbers=numbers, nonce=nonce)

    def __str__(self) -> str:
        return "/".join((self.who, str(self.pid), str(self.started), self.boot, self.numbers, self.nonce))

    @property
    def described(self) -> str:
        """For people."""
        return f"{self.who}, process {self.pid}"

    def is_gone(self) -> bool:
        """Whether this machine knows that the process has ended; False also when it can't know."""
        if not self.boot or not self.numbers or (self.boot, self.numbers) != (_boot(), _numbers()):
            return False
        if self.who.rpartition("@")[2] != _plain(socket.gethostname()):
            return False  # a copy of a running virtual machine goes on with the same boot
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass
        process = read_process(self.pid)  # None where others' processes are hidden
        return process is not None and (process.zombie or process.started != self.started)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user often has no name
        return str(os.getuid())


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9@._+-]", "_", text)[:128]


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _numbers() -> str:
    try:
        return re.sub(r"\D", "", os.readlink(_PIDS))
    except OSError:
        return ""
