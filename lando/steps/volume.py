"""How full a run's output volume is: measured at the end of each step, and while the workflow runs, which fills it.

Where the claim is a file system of its own, that file system says it. Where it is a folder of a larger one (a file
server, one machine's disk), nothing else holds the claim's size, so that the files are summed up.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from lando.units import binary_size

PATH, SIZE = "LANDO_VOLUME", "LANDO_VOLUME_BYTES"
"""Environment variables with the volume's path and its claim's size; lando sets them (plans/cwl_objects.py)."""
NEARLY_FULL = 0.8
"""Share from which its owner is warned."""
MEASURE_S = 60.0
"""Seconds between two measures while the workflow runs."""
MOST_ENTRIES = 200_000
"""Files and folders that are summed up; beyond that the sum is a lower bound."""
_OWN = 1.25
"""A file system is the claim's own unless it is larger than the claim by more than this: some round up."""
_BLOCK = 512  # bytes, of st_blocks


@dataclass(frozen=True, kw_only=True)
class Use:
    """How much of the volume is in use."""

    used: int
    """Bytes."""
    size: int
    """Bytes."""
    largest: str = ""
    """The entry of the volume that holds most, where that was looked at."""

    @property
    def share(self) -> float:
        """0 to 1, or more where a claim's size is no limit."""
        return self.used / self.size

    def told(self) -> dict[str, Any]:
        """As the termination message has it."""
        return {"volume": {"used": self.used, "size": self.size}}

    def warning(self) -> str:
        """For the run's owner: what fills it, and what to do."""
        most = f", most of it in {self.largest}/" if self.largest else ""
        return (
            f"The output volume is {self.share:.0%} full ({binary_size(self.used)} of {binary_size(self.size)}){most}. "
            "A run with more data fails when it is full: ask the staff for a job strategy with a larger "
            "volume_size_factor."
        )


@dataclass
class _Sum:
    """Bytes below one folder, each file once."""

    by_entry: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[int, int]] = field(default_factory=set)
    entries: int = 0


def of_this_container() -> Use | None:
    """The use of the volume that the environment names; None where it names none, or it can't be looked at."""
    path, size = os.environ.get(PATH), os.environ.get(SIZE, "")
    if not path or not size.isdecimal() or int(size) == 0:
        return None
    with suppress(OSError):
        return measure(Path(path), int(size))
    return None


def measure(root: Path, claimed: int) -> Use:
    """How full the volume at ``root`` is, whose claim is for ``claimed`` bytes; raises OSError."""
    system = os.statvfs(root)
    size = system.f_blocks * system.f_frsize
    if 0 < size <= claimed * _OWN:
        used = size - system.f_bfree * system.f_frsize
        largest = _largest(_summed(root)) if used > size * NEARLY_FULL else ""
        return Use(used=used, size=size, largest=largest)
    found = _summed(root)
    return Use(used=sum(found.values()), size=claimed, largest=_largest(found))


def _largest(found: Counter[str]) -> str:
    return next((name for name, _ in found.most_common(1)), "")


def _summed(root: Path) -> Counter[str]:
    """Bytes by entry of ``root``; what goes meanwhile is left out."""
    total = _Sum()
    with os.scandir(root) as entries:
        for entry in entries:
            pending = [entry]
            while pending and total.entries < MOST_ENTRIES:
                pending += _added(total, entry.name, pending.pop())
    return total.by_entry


def _added(total: _Sum, name: str, entry: os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Count one entry; what is below it, if it is a folder."""
    with suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        total.entries += 1
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in total.seen:
                return []
            total.seen.add((found.st_dev, found.st_ino))
        total.by_entry[name] += found.st_blocks * _BLOCK
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(entry.path) as below:
                return list(islice(below, MOST_ENTRIES))
    return []


class VolumeWatch:
    """Measures from entry to exit, and says in the step's log when the volume gets nearly full."""

    def __init__(self, log: Callable[[str], None], *, interval_s: float = MEASURE_S) -> None:
        self._log = log
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="volume", daemon=True)

    def __enter__(self) -> VolumeWatch:
        if os.environ.get(PATH):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause, told = self._interval_s, NEARLY_FULL
        while not self._over.wait(pause):
            began = time.monotonic()
            use = of_this_container()
            if use is not None and use.share > told:
                self._log(f"warning: {use.warning()}")
                told = max(use.share + 0.05, told)
            # Summing up a hundred thousand files takes its time: at most a hundredth of the machine's.
            pause = max(self._interval_s, 100 * (time.monotonic() - began))
