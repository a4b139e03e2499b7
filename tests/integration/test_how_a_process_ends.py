"""The exit status of a process that is told to stop: by one signal, by two, and when it can't end in time."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.services.providing import start_group

PROGRAM = """
import os, sys, threading
from lando.stopping import told_to_stop
grace_s, tells_signal, ends = float(sys.argv[1]), sys.argv[2] == "True", sys.argv[3] == "True"
with told_to_stop(grace_s, tells_signal=tells_signal, at_once=lambda: os.write(1, b"at once\\n")) as stop:
    print("ready", flush=True)
    stop.wait()
    print(stop.number, flush=True)
    if not ends:
        threading.Event().wait()
sys.exit(7)
"""


def told(*signals: signal.Signals, grace_s: float, tells_signal: bool, ends: bool) -> tuple[int, list[str]]:
    """Its exit status and what it printed."""
    arguments = [str(grace_s), str(tells_signal), str(ends)]
    process = start_group([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for number in signals:
        lines.append(process.stdout.readline().strip())  # it has got as far as the next signal is meant for
        process.send_signal(number)
    rest, _ = process.communicate(timeout=100)
    return process.returncode, [*lines, *rest.split("\n")[:-1]]


def test_the_first_signal_is_told_and_the_status_is_the_program_s() -> None:
    assert told(signal.SIGTERM, grace_s=60, tells_signal=True, ends=True) == (7, ["ready", "15"])


def test_the_second_signal_ends_it_at_once() -> None:
    ended = told(signal.SIGTERM, signal.SIGINT, grace_s=60, tells_signal=True, ends=False)
    assert ended == (130, ["ready", "15", "at once"])


@pytest.mark.parametrize(("tells_signal", "status"), [(True, 143), (False, 0)])
def test_what_does_not_end_in_time_is_ended(tells_signal: bool, status: int) -> None:
    ended, _ = told(signal.SIGTERM, grace_s=0.1, tells_signal=tells_signal, ends=False)
    assert ended == status
