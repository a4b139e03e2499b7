"""What the starters of services share: who wins, and what happens when there is none."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import NoReturn

import pytest


def missing(service: str, how_to_get_it: str) -> NoReturn:
    """Skip with one line, or fail where ``LANDO_REQUIRE_SERVICES`` (comma separated) lists ``service``."""
    required = {name.strip() for name in os.environ.get("LANDO_REQUIRE_SERVICES", "").split(",")}
    if service in required:
        pytest.fail(f"{service} is required but not to be had: {how_to_get_it}", pytrace=False)
    pytest.skip(f"{service} is not to be had: {how_to_get_it}")


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now.

    From below the range that the kernel gives to outgoing connections (32768 and up), so that none of those takes
    it while a service that is to listen there is still starting.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of ended connections will do
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no TCP port is free on 127.0.0.1")


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0, *, what: str = "the condition") -> None:
    """Return as soon as ``condition`` holds; fail the test when it does not within ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what} did not come true within {timeout_s:g} s")
        time.sleep(0.01)


def docker_answers() -> bool:
    """Whether a docker engine can be used."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "version"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


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
