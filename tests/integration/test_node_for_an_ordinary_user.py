"""The node's own tests of mounts and processes once more, as a user without any privilege."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.ordinary_user import as_ordinary_user, folder_of_ordinary_user

ROOT = Path(__file__).parents[2]
TESTS = (
    "test_mounting_volumes.py",
    "test_running_pods.py",
    "test_restarting_the_node.py",
    "test_unruly_programs.py",
    "test_full_disks.py",
)


@pytest.mark.skipif(os.getuid() != 0, reason="the tests run as an ordinary user already")
@pytest.mark.parametrize("tests", TESTS)
def test_the_nodes_tests_pass_for_an_ordinary_user(tests: str) -> None:
    with folder_of_ordinary_user("of a user") as home:
        command = [sys.executable, "-m", "pytest", f"tests/integration/node/{tests}", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            as_ordinary_user([*command, f"--basetemp={home / 'tests'}"]),
            env={**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
