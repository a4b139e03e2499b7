"""``lando resync`` on a site of processes: what was done by hand, or missed, is put right."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.services.providing import rest

if TYPE_CHECKING:
    from tests.services.stack import Stack
    from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(240)]


def test_a_run_that_nobody_was_told_about_goes_on_when_asked(stack: Stack, user: User) -> None:
    job = user.create_job("fastq-qc")
    user.act(job, "start")
    user.wait(job, lambda document: document["step"] == "S")
    stack.kill("watcher")  # from now on nobody tells of a step's end
    file = str(stack.config_file("lando"))

    def resync(*options: str) -> subprocess.CompletedProcess[str]:
        return stack.command("resync", *options, file)

    asked = time.monotonic()
    while not (found := json.loads(resync("--dry-run", "--json").stdout)):  # the test's own limit of time ends this
        asked = rest(asked)
    assert [(one["run"], one["trouble"]) for one in found] == [(job, "stalled")]
    assert user.job(job)["step"] == "S"
    assert "has ended, and the run has not gone on." in resync().stdout
    user.wait(job, lambda document: document["step"] == "R")
    stack.start_process("watcher")
    assert user.wait_for_end(job)["state"] == "F"
    assert resync().stdout == "Everything fits: no run needs anything.\n"
