"""The page about the embedded cluster: its commands do what it says they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.kubectl import find_kubectl

pytestmark = pytest.mark.service("kubectl")
ROOT = Path(__file__).parents[2]


def test_every_command_of_the_page_ends_as_it_says(tmp_path: Path) -> None:
    find_kubectl()
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "first-cluster.md").read_text())
    command = [sys.executable, str(ROOT / "docs" / "transcript.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    written = page.read_text()
    for words in (
        "job.batch/hello condition met",
        "no such input",
        'User "ada" cannot list',
        "The cluster has stopped.",
    ):
        assert words in written
