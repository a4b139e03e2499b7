"""How much memory a step's program takes is told while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from lando.steps import memory
from lando.steps.memory import Measure, MemoryWatch, measure

WAIT_S = 30.0
HELD = 40 * 2**20
HOLDER = f"x = bytearray({HELD}); print(flush=True); input()"
"""Holds memory until its input ends."""


def holding(*, below: bool) -> subprocess.Popen[str]:
    """A child that holds memory, or whose own child does; it does by now."""
    argv = [sys.executable, "-c", HOLDER]
    if below:
        argv = ["sh", "-c", '"$@"; true', "sh", *argv]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "\n"
    return child


@pytest.mark.parametrize("below", [False, True], ids=["child", "grandchild"])
def test_what_a_program_started_counts_and_the_largest_is_named(below: bool) -> None:
    before = measure(os.getpid())
    with holding(below=below) as child:
        during = measure(os.getpid())
        of_it = measure(child.pid)
        child.communicate("")
    assert before is not None
    assert during is not None
    assert of_it is not None
    assert during.total >= before.total + HELD * 0.9
    assert HELD <= of_it.largest_bytes <= of_it.total
    assert of_it.largest.startswith("python")


def test_what_processes_share_counts_as_the_cgroup_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    charged = tmp_path / "memory.current"
    charged.write_text("4096\n")
    monkeypatch.setattr(memory, "_CGROUP", (tmp_path / "missing", charged))
    found = measure(os.getpid())
    assert found is not None
    assert (found.total, found.largest_bytes) == (4096, 4096)


def test_a_process_that_is_gone_has_no_measure() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert measure(child.pid) is None


def test_the_highest_measure_stands_in_the_file_while_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    seen = iter([Measure(total=size, largest="sort", largest_bytes=1) for size in (100, 3000, 20)])
    enough = threading.Event()

    def measured(_root: int) -> Measure | None:
        found = next(seen, None)
        if found is None:
            enough.set()
        return found

    monkeypatch.setattr(memory, "measure", measured)
    with MemoryWatch(file, interval_s=0.001) as watch:
        assert enough.wait(WAIT_S)
        assert json.loads(file.read_bytes()) == {"memory": {"peak": 3000, "largest": "sort", "largest_bytes": 1}}
    assert watch.peak is not None
    assert watch.peak.total == 3000


def test_without_a_file_of_the_runtime_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = threading.Event()

    def measured(_root: int) -> Measure | None:
        enough.set()
        return Measure(total=1, largest="sort", largest_bytes=1)

    monkeypatch.setattr(memory, "measure", measured)
    with MemoryWatch(tmp_path / "termination-log", interval_s=0.001):
        assert enough.wait(WAIT_S)
    assert not list(tmp_path.iterdir())
