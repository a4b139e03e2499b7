"""``lando demo`` in each way of mounting, for root and for an ordinary user, in a home with an awkward name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.errors import ConfigError
from lando.local.node.sandbox import probe_bubblewrap
from tests.services.ordinary_user import as_ordinary_user, folder_of_ordinary_user
from tests.services.providing import missing

AWKWARD = "Zoë's läb 数据"


@pytest.fixture(params=["substitute", pytest.param("bwrap", marks=pytest.mark.service("bubblewrap"))])
def sandbox(request: pytest.FixtureRequest) -> str:
    if request.param == "bwrap":
        try:
            probe_bubblewrap()
        except ConfigError as error:
            missing("bubblewrap", str(error))
    return str(request.param)


@pytest.fixture
def home() -> Iterator[Path]:
    with folder_of_ordinary_user(AWKWARD) as folder:
        yield folder


def demo(command: list[str], home: Path, sandbox: str) -> None:
    """Run the demo to its end, and look at what it saved."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LANDO_HOME": str(home / "lando"),
        "LANDO_SANDBOX": sandbox,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=home.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = Path(done.stdout.splitlines()[-1].removeprefix("results: ")) / "results"
    assert results.is_relative_to(home)
    assert len(json.loads((results / "summary.json").read_text())["files"]) == 4
    logged = (home / "lando" / "lando.log").read_text()
    assert ("mount paths are substituted" in logged) == (sandbox == "substitute")


def test_the_demo_works_for_an_ordinary_user(home: Path, sandbox: str) -> None:
    demo(as_ordinary_user([sys.executable, "-m", "lando", "demo"]), home, sandbox)


@pytest.mark.skipif(os.getuid() != 0, reason="this is what root is to see")
def test_the_demo_works_for_root(home: Path, sandbox: str) -> None:
    demo([sys.executable, "-m", "lando", "demo"], home, sandbox)
