"""A node of the embedded cluster, for each way of mounting."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.errors import ConfigError
from lando.local.node import local_node
from lando.local.node.sandbox import Bubblewrap, SandboxMode, probe_bubblewrap
from tests.services.local_node import Cluster
from tests.services.providing import missing


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A node that substitutes mount paths: works everywhere."""
    running = Cluster(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture
def bubblewrap() -> None:
    """Skips where bubblewrap does not work."""
    try:
        probe_bubblewrap()
    except ConfigError as error:
        missing("bubblewrap", str(error))


WITH_BUBBLEWRAP = pytest.mark.service("bubblewrap")


PLAIN = "home"
AWKWARD = "Zoë's läb 数据"
"""A folder's name that no script quotes in vain."""


@pytest.fixture(
    params=[
        pytest.param(("substitute", PLAIN), id="substitute"),
        pytest.param(("substitute", AWKWARD), id="substitute-awkward-home"),
        pytest.param(("bwrap", PLAIN), id="bwrap", marks=WITH_BUBBLEWRAP),
        pytest.param(("bwrap", AWKWARD), id="bwrap-awkward-home", marks=WITH_BUBBLEWRAP),
        pytest.param(("bwrap without a process namespace", PLAIN), id="bwrap-shared-pids", marks=WITH_BUBBLEWRAP),
    ]
)
def sandboxed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A node for each way of mounting; the last one is what bubblewrap offers inside of many containers."""
    way, folder = request.param
    mode: SandboxMode = "substitute" if way == "substitute" else "bwrap"
    if mode == "bwrap":
        request.getfixturevalue("bubblewrap")
    if way == "bwrap without a process namespace":
        plain = Bubblewrap(shutil.which("bwrap") or "", own_processes=False)
        monkeypatch.setattr(local_node, "choose_sandbox", lambda _mode, _home: plain)
    home = tmp_path / folder
    home.mkdir()
    running = Cluster(home, mode).start()
    yield running
    running.stop()
