"""All processes of one container, however they hide: counted, measured and ended as one.

They are those of the session that the container's first process leads, what descends from it, and what carries the
container's marker in its environment, which finds daemons that left session and parents behind.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from lando.local.node.process_table import (
    Process,
    all_processes,
    charged_memory,
    marker_of,
    members,
    send,
)

log = logging.getLogger(__name__)

KILL_S = 5.0
"""How long processes are hunted that start others faster than they are found."""
ROUND_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a container's processes take at a moment."""

    tasks: int
    """Processes and threads."""
    memory: int
    """Resident bytes; what several share counts for each, so that this is never too little."""


class Snapshots:
    """The machine's processes, read at most every so often however many containers are looked after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = float("-inf")
        self._processes: list[Process] = []
        self._markers: dict[tuple[int, int], str] = {}
        """By pid and start: a process that has been seen with a marker keeps it, whatever it becomes."""

    def members(self, leader: int, started: int, marker: str, max_age_s: float = 0.0) -> list[Process]:
        """The container's processes as they were at most ``max_age_s`` seconds ago.

        ``started`` tells its first process from a later one of the same number, which is none of them.
        """
        with self._lock:
            if time.monotonic() - self._taken >= max_age_s:
                self._take()
            carriers = [pid for (pid, _), found in self._markers.items() if found == marker]
            replaced = any(each.pid == leader and each.started != started for each in self._processes)
            return members(None if replaced else leader, self._processes, carriers)

    def _take(self) -> None:
        self._processes = all_processes()
        known, self._markers = self._markers, {}
        for process in self._processes:
            key = process.pid, process.started
            marker = known.get(key) or (None if process.zombie else marker_of(process))
            if marker is not None:
                self._markers[key] = marker
        self._taken = time.monotonic()


class ProcessTree:
    """The processes of the container whose first one is ``leader``, begun at ``started``."""

    def __init__(self, leader: int, started: int, marker: str, snapshots: Snapshots) -> None:
        self._leader = leader
        self._started = started
        self._marker = marker
        self._snapshots = snapshots

    def members(self, max_age_s: float = 0.0) -> list[Process]:
        """All that are alive."""
        return self._snapshots.members(self._leader, self._started, self._marker, max_age_s)

    def usage(self, max_age_s: float) -> Usage:
        """What they take together, as of at most ``max_age_s`` seconds ago."""
        found = self.members(max_age_s)
        return Usage(tasks=sum(each.threads for each in found), memory=sum(each.memory for each in found))

    def charged_memory(self) -> int:
        """The bytes that count against a memory limit; slower to find out than :meth:`usage`."""
        return sum(charged_memory(process) for process in self.members())

    def kill(self) -> bool:
        """End them all; False when some are left after 5 s."""
        until = time.monotonic() + KILL_S
        while found := self.members():
            kill(found)
            if time.monotonic() > until:
                log.error("processes of container %s can't be ended: %s", self._marker, [each.pid for each in found])
                return False
            time.sleep(ROUND_S)  # nothing tells when they are gone
        return True


def kill(found: list[Process]) -> None:
    """Kill processes that were alive a moment ago, and whoever is in a group with them.

    A group is signalled at once, and the kernel lets none of it slip out by starting another, as single processes do
    between being seen and being signalled. The number of a group is not given anew as long as it has a member.
    """
    for group in {process.group for process in found} - {os.getpgrp(), 0}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for process in found:
        send(process, signal.SIGKILL)
