"""The real program: ``lando`` as a process of its own, in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.services.providing import rest, start_group

ROOT = Path(__file__).parents[2]
STOP_S = 60.0


@dataclass(frozen=True)
class Lando:
    """Runs commands in one home."""

    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without what could lead elsewhere."""
        rest = {name: value for name, value in os.environ.items() if not name.startswith("LANDO_")}
        return {**rest, "LANDO_HOME": str(self.home)}

    def __call__(self, *arguments: object, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        command = [sys.executable, "-m", "lando", *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=self.home
        )

    def json(self, *arguments: object) -> Any:
        """What a command prints as JSON."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def submit(self, workflow: Path, order: Path, *options: str) -> int:
        """Submit, and return the run's number."""
        return int(self.json("submit", workflow, order, *options)["id"])

    def until(self, run_id: int, reached: Callable[[dict[str, Any]], bool], timeout_s: float = 60.0) -> dict[str, Any]:
        """The run as soon as ``reached`` holds of it."""
        asked = time.monotonic()
        deadline = asked + timeout_s
        while True:
            run: dict[str, Any] = self.json("status", run_id)
            if reached(run):
                return run
            assert time.monotonic() < deadline, run
            asked = rest(asked)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command that goes on until it is told to stop; its standard output can be read."""
        command = [sys.executable, "-m", "lando", *map(str, arguments)]
        process = start_group(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=self.home
        )
        self.started.append(process)
        return process

    def end_all(self) -> None:
        """Kill what a failed test has left, so that it reaches no other test."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def up(self) -> subprocess.Popen[str]:
        """Start the stack; returns when it answers."""
        process = self.start("up")
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Lando is up at"):
                return process
        process.wait(STOP_S)
        raise AssertionError("lando up ended")


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal, and return the exit status."""
    process.send_signal(number)
    return process.wait(STOP_S)


@pytest.fixture
def lando(tmp_path: Path) -> Iterator[Lando]:
    """Commands in a home where nothing runs yet."""
    home = tmp_path / "home"
    home.mkdir()
    runner = Lando(home)
    yield runner
    runner.end_all()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lando]:
    """Commands in a home whose stack is up."""
    home = tmp_path_factory.mktemp("home")
    runner = Lando(home)
    process = runner.up()
    yield runner
    code = end(process)
    runner.end_all()
    assert code == 0
