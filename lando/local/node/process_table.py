"""What this machine's process table (Linux ``/proc``) says of a container's processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

MARKER = "LANDO_CONTAINER"
"""The environment variable that each process of a container carries: ``<pod uid>/<container>/<restarts>``."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the table."""

    pid: int
    parent: int
    group: int
    session: int
    threads: int
    started: int
    """Clock ticks from the machine's start to the process's: with the pid it names a process for good."""
    memory: int
    """Resident bytes."""
    zombie: bool


def read_process(pid: int) -> Process | None:
    """The process of that number, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name, in parentheses, may hold blanks and parentheses itself.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        threads=int(fields[17]),
        started=int(fields[19]),
        memory=int(fields[21]) * _PAGE,
        zombie=fields[0] in (b"Z", b"X"),
    )


def all_processes() -> list[Process]:
    """Every process there is at this moment."""
    return [
        process for name in os.listdir("/proc") if name.isdecimal() and (process := read_process(int(name))) is not None
    ]


def members(leader: int | None, processes: Iterable[Process], others: Iterable[int] = ()) -> list[Process]:
    """The processes of the session that ``leader`` began, those numbered in ``others``, and all that descend from
    them."""
    also = {leader, *others}
    children: dict[int, list[Process]] = {}
    found: dict[int, Process] = {}
    pending = [leader] if leader is not None else []
    for process in processes:
        children.setdefault(process.parent, []).append(process)
        if process.session == leader or process.pid in also:
            found[process.pid] = process
            pending.append(process.pid)
    while pending:
        for child in children.get(pending.pop(), []):
            if child.pid not in found:
                found[child.pid] = child
                pending.append(child.pid)
    return [process for process in found.values() if not process.zombie]


def marked(prefix: str, processes: Iterable[Process]) -> list[Process]:
    """The processes whose marker begins with ``prefix``; those of other users are not readable, and not ours."""
    wanted = f"{MARKER}={prefix}".encode()
    found = []
    for process in processes:
        with suppress(OSError), open(f"/proc/{process.pid}/environ", "rb") as file:
            environ = file.read()
            if not process.zombie and (environ.startswith(wanted) or b"\0" + wanted in environ):
                found.append(process)
    return found


def marker_of(process: Process) -> str | None:
    """The marker that the process carries; None, too, when it is another user's."""
    wanted = f"{MARKER}=".encode()
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return None
    return next((os.fsdecode(entry[len(wanted) :]) for entry in entries if entry.startswith(wanted)), None)


def charged_memory(process: Process) -> int:
    """Bytes of memory that only swapping could take from the process, its share of what it shares with others.

    What memory limits count. Files that are mapped are not in it, since the kernel can drop them. Slow with big
    processes.
    """
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            kib = {name: int(value.split()[0]) for name, _, value in (line.partition(b":") for line in file) if value}
        return (kib[b"Pss_Anon"] + kib[b"Pss_Shmem"]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return process.memory


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process: one that took over its number meanwhile is spared."""
    now = read_process(process.pid)
    if now is not None and now.started == process.started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
