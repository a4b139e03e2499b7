"""The page about Jobs from definitions: its commands do what it says they do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.providing import free_port, need_programs

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]


def test_every_command_of_the_page_ends_as_it_says(tmp_path: Path) -> None:
    need_programs("curl", "jq")
    port = str(free_port())
    text = (ROOT / "docs" / "definitions.md").read_text()
    page = tmp_path / "page.md"
    page.write_text(text.replace("localhost:5000", f"localhost:{port}"))

    command = [sys.executable, str(ROOT / "docs" / "transcript.py"), str(page)]
    environment = {**os.environ, "JOB_SERVER_PORT": port}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=290, check=False)

    assert done.returncode == 0, done.stderr
    written = page.read_text()
    for words in (
        "Hello Ada\nHello Ada\nComplete\n",
        "did you mean 'name'?",
        "JOB_SERVER_OPEN=true",
        '{"state":"Complete","cause":null}',
        ':{"greet":["Hello Ada",""]}}',
        "{'greet': ['Hello Grace', '']}} None",
        "has to be Never or OnFailure",
        "definitions.yaml can be used: ",
    ):
        assert words in written
