"""The original's way: ``jobernetes`` in a folder with a model, stopped midway and started again."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lando.local.cluster import LocalCluster
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import start_group

EXAMPLES = Path(__file__).parents[2] / "examples" / "phases"
END_S = 100.0
HELD = "phase-two-sleep-15b"
"""The Job that goes on until the test lets it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The first example with its log set-up, in a moment instead of half a minute, its Jobs kept."""
    folder = tmp_path / "jobernetes"
    folder.mkdir()
    shutil.copytree(EXAMPLES / "test-dir", folder / "test-dir")
    shutil.copy(EXAMPLES / "logging.yaml", folder)
    model = (EXAMPLES / "jobermodel.yaml").read_text()
    (folder / "jobermodel.yaml").write_text(model.replace("cleanup: true", "cleanup: false"))
    for file in folder.glob("test-dir/*/*.yaml"):
        job = yaml.safe_load(file.read_text())
        (container,) = job["spec"]["template"]["spec"]["containers"]
        wait = f"until [ -e {folder}/go ]; do sleep 0.1; done"
        container["command"] = ["sh", "-c", wait] if file.stem == HELD else ["sleep", "0"]
        file.write_text(yaml.safe_dump(job))
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster, and a home with its kubeconfig where kubectl looks for it."""
    with LocalCluster(tmp_path / "cluster", sandbox="substitute") as cluster:
        (tmp_path / ".kube").mkdir()
        shutil.copy(cluster.kubeconfig_file, tmp_path / ".kube" / "config")
        yield cluster


def started(folder: Path) -> subprocess.Popen[str]:
    return start_group(
        [sys.executable, "-m", "lando.jobernetes"],
        cwd=folder,
        env={"HOME": str(folder.parent), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and the rest of its output."""
    output, _ = process.communicate(timeout=END_S)
    return process.returncode, output


def test_a_run_that_was_stopped_goes_on_and_one_that_is_complete_runs_nothing(
    folder: Path, cluster: LocalCluster
) -> None:
    api = KubernetesApi(cluster.url, cluster.ca_file, cluster.token, "default")

    def uids() -> dict[str, str]:
        jobs = api.list("jobs").body["items"]
        return {job["metadata"]["name"]: job["metadata"]["uid"] for job in jobs}

    first = started(folder)
    assert first.stdout is not None
    for line in first.stdout:
        if f"Created Job {HELD}" in line:
            break
    first.send_signal(signal.SIGTERM)
    code, output = ended(first)
    assert code == 143, output
    before = uids()
    assert HELD in before

    (folder / "go").touch()
    code, output = ended(started(folder))
    assert code == 0, output
    assert f"Created Job {HELD}" not in output
    assert "Phase 2 (end_sleep) begins" in output
    assert re.fullmatch(r"Total: \d+:\d\d:\d\d", output.splitlines()[-1].split(" - ")[-1])
    after = uids()
    assert set(after) == {file.stem for file in folder.glob("test-dir/*/*.yaml")} - {
        "phase-two-sleep-5a",
        "phase-two-sleep-10a",
    }
    assert before.items() <= after.items()

    code, output = ended(started(folder))
    assert code == 0, output
    assert "Created" not in output
    assert uids() == after
    assert "begins" in (folder / "info.log").read_text()
    assert (folder / "errors.log").read_text() == ""
