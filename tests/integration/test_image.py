"""The image that ``make image`` built, run as a cluster runs it: any user id, a root file system that is read-only, no
rights at all. bubblewrap stands in for the container engine; everything stays on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from tests.services.providing import end_group, free_port, missing, start_group, wait_until

pytestmark = [pytest.mark.service("buildah"), pytest.mark.timeout(300)]

SAMPLE = Path(__file__).parents[2] / "k8s.config.sample"
SOMEBODY = "1234567"  # as OpenShift assigns them: nobody in /etc/passwd
STEPS = ("stage_data", "run_workflow", "organize_output", "save_output")
WORKFLOW = """\
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {number: int}
outputs: {doubled: int}
expression: "${ return {'doubled': 2 * inputs.number}; }"
"""


@dataclass(frozen=True)
class Container:
    """A working container of the image."""

    root: Path
    environment: dict[str, str]
    folders: dict[str, Path] = field(default_factory=dict)
    """What is mounted, by its path inside."""

    def mount(self, folder: Path, path: str) -> None:
        """Have ``folder`` at ``path``, writable for the container's user; the mount point is made, as engines do."""
        os.chown(folder, int(SOMEBODY), 0)
        (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.folders[path] = folder

    def command(self, *words: str) -> list[str]:
        """``words`` as the container's process."""
        sandbox = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv"]
        sandbox += ["--ro-bind", str(self.root), "/", "--dev", "/dev", "--proc", "/proc", "--perms", "1777"]
        sandbox += ["--tmpfs", "/tmp", "--chdir", "/tmp"]
        for path, folder in self.folders.items():
            sandbox += ["--bind", str(folder), path]
        for name, value in self.environment.items():
            sandbox += ["--setenv", name, value]
        for needed in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            sandbox += ["--cap-add", needed]
        user = ["setpriv", "--reuid", SOMEBODY, "--regid", "0", "--clear-groups", "--no-new-privs"]
        return [*sandbox, *user, "--bounding-set=-all", "--inh-caps=-all", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run them to their end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=120, check=False)


def _buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], capture_output=True, text=True, timeout=120, check=True).stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[Container]:
    name = os.environ.get("LANDO_TEST_IMAGE")
    if not name or shutil.which("buildah") is None or os.geteuid() != 0:
        missing("buildah", "make image, as root")
    working = _buildah("from", "--pull-never", name)
    try:
        settings = json.loads(_buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        yield Container(Path(_buildah("mount", working)), dict(entry.split("=", 1) for entry in settings["Env"]))
    finally:
        _buildah("rm", working)


@pytest.fixture
def container(image: Container, tmp_path: Path) -> Container:
    """The image with a folder for steps mounted at /bespin."""
    fresh = Container(image.root, dict(image.environment))
    bespin = tmp_path / "bespin"
    bespin.mkdir()
    fresh.mount(bespin, "/bespin")
    return fresh


def test_its_user_is_no_root_and_may_be_any(image: Container) -> None:
    settings = json.loads(_buildah("inspect", "--type", "image", os.environ["LANDO_TEST_IMAGE"]))["OCIv1"]["config"]
    assert settings["User"] == "1000:1000"
    assert image.run("id", "-u").stdout.strip() == SOMEBODY


def test_nothing_but_tmp_can_be_written(image: Container) -> None:
    assert "Read-only" in image.run("touch", "/opt/lando/x").stderr
    assert image.run("touch", "/tmp/x").returncode == 0


def test_no_compiler_and_no_package_cache_is_left(image: Container) -> None:
    found = image.run("sh", "-c", "command -v cc gcc c++ make strip pip; ls -A /var/cache/apt /var/lib/apt/lists /root")
    assert [line for line in found.stdout.splitlines() if line and not line.endswith(":")] in (
        [],
        [".bashrc", ".profile"],
    )
    assert not list((image.root / "opt/lando").rglob("pip"))


@pytest.mark.parametrize(
    "words", [("lando", "--help"), *(("python", "-m", f"lando.steps.{step}", "--help") for step in STEPS)]
)
def test_every_program_says_how_it_is_used(image: Container, words: Sequence[str]) -> None:
    said = image.run(*words)
    assert (said.returncode, "Usage: " in said.stdout) == (0, True), said.stdout + said.stderr


def test_the_server_is_healthy_with_the_root_file_system_read_only(container: Container) -> None:
    container.environment["LANDO_HOME"] = "/bespin/home"
    port = free_port()
    server = start_group(container.command("lando", "serve", "--host", "127.0.0.1", "--port", str(port)))

    def healthy() -> bool:
        assert server.poll() is None, "the server ended"
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(healthy, 60, what="/healthz of the image's server")
    finally:
        end_group(server)


def test_a_configuration_of_the_daemons_is_checked(container: Container) -> None:
    filled_in = SAMPLE.read_text().replace("TODO", "https://127.0.0.1:1/api/v2")
    (container.folders["/bespin"] / "k8s.config").write_text(filled_in)
    checked = container.run("lando", "config", "check", "/bespin/k8s.config")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for daemon in ("lando", "watcher"):
        told = container.run("python", "-m", f"lando.k8s.{daemon}", "/bespin/none.config")
        assert (told.returncode, "none.config" in told.stderr) == (2, True), told.stdout + told.stderr


def test_data_is_staged_and_a_workflow_with_javascript_is_run(container: Container) -> None:
    bespin = container.folders["/bespin"]
    container.environment["LANDO_TERMINATION_LOG"] = "/bespin/termination"
    items = [
        {"type": "write", "source": WORKFLOW, "dest": "/bespin/job-data/workflow/double.cwl"},
        {"type": "write", "source": '{"number": 21}', "dest": "/bespin/job-data/job-order.json"},
    ]
    (bespin / "stagedata.json").write_text(json.dumps({"items": items}))

    staged = container.run("python", "-m", "lando.steps.stage_data", "/bespin/stagedata.json")
    assert staged.returncode == 0, staged.stdout + staged.stderr

    ran = container.run(
        *("python", "-m", "lando.steps.run_workflow", "--max-ram", "1Gi", "--max-cores", "1"),
        *("--outdir", "/bespin/results", "--stdout", "/bespin/output.json", "--stderr", "/bespin/log"),
        *("/bespin/job-data/workflow/double.cwl", "/bespin/job-data/job-order.json"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads((bespin / "output.json").read_text()) == {"doubled": 42}
