"""What is in the image that `make image` built, run as a cluster runs it; everything stays on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer
from tests.services.image import SOMEBODY, Container, Image, built_image
from tests.services.providing import end_group, free_port, start_group, wait_until

pytestmark = [pytest.mark.service("buildah"), pytest.mark.timeout(300)]

SAMPLE = Path(__file__).parents[2] / "k8s.config.sample"
STEPS = ("stage_data", "run_workflow", "organize_output", "save_output")
WORKFLOW = """\
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {number: int}
outputs: {doubled: int}
expression: "${ return {'doubled': 2 * inputs.number}; }"
"""
KEEP_A_LOG = """
import s3fs
from lando.archive import Archive

s3fs.S3FileSystem().mkdir("bucket")
archive = Archive("s3://bucket/logs")
archive.store(7, "stage_data", 1, "main", "said")
print(archive.read(7))
"""


@pytest.fixture
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image() as built:
        yield built


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Container:
    """One with a folder for steps mounted at /bespin."""
    bespin = tmp_path / "bespin"
    bespin.mkdir()
    os.chown(bespin, SOMEBODY, 0)
    made = image.container()
    made.mount(bespin, "/bespin")
    return made


def test_its_user_is_no_root_and_may_be_any(image: Image) -> None:
    assert image.settings["User"] == "1000:1000"
    assert image.container().run("id", "-u").stdout.strip() == str(SOMEBODY)


def test_nothing_but_tmp_can_be_written(image: Image) -> None:
    assert "Read-only" in image.container().run("touch", "/opt/lando/x").stderr
    assert image.container().run("touch", "/tmp/x").returncode == 0


def test_no_compiler_and_no_package_cache_is_left(image: Image) -> None:
    found = image.container().run(
        "sh", "-c", "command -v cc gcc c++ make strip pip; ls -A /var/cache/apt /var/lib/apt/lists /root"
    )
    assert [line for line in found.stdout.splitlines() if line and not line.endswith(":")] in (
        [],
        [".bashrc", ".profile"],
    )
    assert not list((image.root / "opt/lando").rglob("pip"))


def test_no_program_gives_rights_and_nothing_tells_where_it_was_built(image: Image) -> None:
    assert image.container().run("find", "/", "-xdev", "-type", "f", "-perm", "/6000").stdout == ""
    told = [image.root / "etc" / name for name in ("hostname", "resolv.conf")]
    assert [file for file in told if file.exists() and file.stat().st_size] == []
    assert not (image.root / "run" / "pip-certificates.crt").exists()


@pytest.mark.parametrize(
    "words", [("lando", "--help"), *(("python", "-m", f"lando.steps.{step}", "--help") for step in STEPS)]
)
def test_every_program_says_how_it_is_used(image: Image, words: Sequence[str]) -> None:
    said = image.container().run(*words)
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
    (container.mounts["/bespin"][0] / "k8s.config").write_text(filled_in)
    checked = container.run("lando", "config", "check", "/bespin/k8s.config")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for daemon in ("lando", "watcher"):
        told = container.run("python", "-m", f"lando.k8s.{daemon}", "/bespin/none.config")
        assert (told.returncode, "none.config" in told.stderr) == (2, True), told.stdout + told.stderr


def test_data_is_staged_and_a_workflow_with_javascript_is_run(container: Container) -> None:
    bespin = container.mounts["/bespin"][0]
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


def test_results_go_to_s3_by_what_is_left_of_its_library(container: Container, s3_url: str) -> None:
    container.environment.update(
        AWS_ENDPOINT_URL=s3_url, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="us-east-1"
    )
    kept = container.run("python", "-c", KEEP_A_LOG)
    assert kept.stdout.strip() == "said", kept.stdout + kept.stderr
