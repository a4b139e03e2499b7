"""What the starters of services share: who wins, and what happens when there is none."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest


def missing(service: str, how_to_get_it: str) -> NoReturn:
    """Skip with one line, or fail where ``LANDO_REQUIRE_SERVICES`` (comma separated) lists ``service``."""
    required = {name.strip() for name in os.environ.get("LANDO_REQUIRE_SERVICES", "").split(",")}
    if service in required:
        pytest.fail(f"{service} is required but not to be had: {how_to_get_it}", pytrace=False)
    pytest.skip(f"{service} is not to be had: {how_to_get_it}")


def need_programs(*programs: str) -> None:
    """What the commands of a page of the docs call; :func:`missing` where one is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            missing(program, f"apt-get install {program}")


WORKERS = 16
"""Of pytest, at most, among which the ports are divided."""
_given: set[int] = set()


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now.

    From below the range that the kernel gives to outgoing connections (32768 and up), so that none of those takes
    it while a service that is to listen there is still starting; and of those, from the part that belongs to this
    worker of pytest, so that two workers never find the same one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(20_000 + worker % WORKERS, 32_000, WORKERS), 100):
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of ended connections will do
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    pytest.fail("no TCP port is free on 127.0.0.1")


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, *, what: str = "the condition") -> None:
    """Return as soon as ``condition`` holds; fail the test when it does not within ``timeout_s``."""
    until = time.monotonic() + timeout_s
    asked = time.monotonic()
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what} did not come true within {timeout_s:g} s")
        asked = rest(asked)


def rest(asked: float, *, at_least_s: float = 0.01) -> float:
    """Pause after a look that began at ``asked``, three times as long as that took, up to half a second; the time then.

    So whoever waits for others leaves them the machine, however dear a look is.
    """
    time.sleep(max(at_least_s, min(3 * (time.monotonic() - asked), 0.5)))
    return time.monotonic()


def docker_answers() -> bool:
    """Whether a docker engine can be used."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "version"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


LAST_RITES = """
import os, signal, sys, time
def born(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
leaders = {pid: born(pid) for pid in map(int, sys.stdin)}
def end(number):
    left = [pid for pid, when in leaders.items() if when is not None and born(pid) == when]
    for pid in left:
        os.killpg(pid, number)
    return left
until = time.monotonic() + 10
left = end(signal.SIGTERM)
while left and time.monotonic() < until:
    time.sleep(0.1)
    left = end(0)
end(signal.SIGKILL)
"""
"""Reads process ids until its input ends, then ends those groups whose leader still lives."""


@cache
def _survivor() -> int:
    """The pipe to a process that ends what this one leaves behind; pytest may kill its workers before they do."""
    read, write = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", LAST_RITES]
    os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)], setsid=True)
    os.close(read)
    return write


def start_group(command: Sequence[str | Path], **how: Any) -> subprocess.Popen[Any]:
    """Start a process as the leader of a group of its own that does not outlive this process; ``how`` is Popen's."""
    process = subprocess.Popen(command, start_new_session=True, **how)
    os.write(_survivor(), f"{process.pid}\n".encode())
    return process


def end_group(
    process: subprocess.Popen[bytes], *, first: signal.Signals = signal.SIGTERM, timeout_s: float = 20
) -> None:
    """End a process that leads its own group, and what it started; killed when it does not end by itself."""
    for number in (first, signal.SIGKILL):
        if process.poll() is not None and number is not signal.SIGKILL:
            continue
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            continue
