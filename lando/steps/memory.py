"""How much memory a step's program takes with all that it started, told ahead: who is killed for it says nothing more.

The kubelet reads the termination message however a container ended, so the highest measure stands there while the
program runs. What the cgroup's own peak would add is little: at a kill it is the limit, and it names no process.
"""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

MEASURE_S = 0.5
"""Seconds between two measures."""
_MESSAGE_BYTES = 256
"""One length for all, so that one write replaces the last one whole."""
_NAME = re.compile(rb"^Name:\t(.*)$", re.MULTILINE)
_PARENT = re.compile(rb"^PPid:\t(\d+)$", re.MULTILINE)
_HELD = re.compile(rb"^Rss(?:Anon|Shmem):\s*(\d+) kB$", re.MULTILINE)
_CGROUP = (Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"))
"""Bytes charged to the container, under version 2 and 1; what processes share is counted once."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a program and all that descends from it hold at a moment; files that the kernel can drop do not count."""

    total: int
    """Bytes, together."""
    largest: str
    """The name of the process that holds most."""
    largest_bytes: int

    def told(self) -> dict[str, Any]:
        """As the termination message has it."""
        return {"memory": {"peak": self.total, "largest": self.largest, "largest_bytes": self.largest_bytes}}


def measure(root: int) -> Measure | None:
    """Process ``root`` with its descendants, from ``/proc``; None when it can't be read."""
    held: dict[int, tuple[int, str]] = {}
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        with suppress(OSError):
            status = Path("/proc", entry, "status").read_bytes()
            name, parent = _NAME.search(status), _PARENT.search(status)
            if name and parent:
                size = sum(int(found) for found in _HELD.findall(status)) * 1024
                held[int(entry)] = size, name[1].decode("utf-8", "replace")
                children.setdefault(int(parent[1]), []).append(int(entry))
    ours, pending = [], [root]
    while pending:
        pid = pending.pop()
        if pid in held:
            ours.append(held[pid])
        pending += children.get(pid, [])
    if not ours:
        return None
    size, name_of_largest = max(ours)
    total = min([sum(one for one, _ in ours), *_charged()])
    return Measure(total=total, largest=name_of_largest, largest_bytes=min(size, total))


def _charged() -> list[int]:
    """What the cgroup says, where there is one; it may hold more than our processes, never less."""
    for file in _CGROUP:
        with suppress(OSError, ValueError):
            return [int(file.read_text())]
    return []


class MemoryWatch:
    """Measures from entry to exit, and keeps the highest measure in ``file`` if that is there."""

    def __init__(self, file: Path, *, interval_s: float | None = None) -> None:
        self._file = file
        self._interval_s = interval_s or MEASURE_S
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.peak: Measure | None = None

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._interval_s):
            with suppress(OSError):
                found = measure(os.getpid())
                if found is not None and (self.peak is None or found.total > self.peak.total):
                    self.peak = found
                    self._write(found)

    def _write(self, found: Measure) -> None:
        """Into the file as it is: a container's runtime made it, elsewhere nobody reads it."""
        text = json.dumps(found.told()).encode().ljust(_MESSAGE_BYTES)
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)
