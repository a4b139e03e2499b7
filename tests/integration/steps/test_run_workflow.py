"""The program run_workflow, with the real cwltool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.errors import InputError
from lando.runs import Category
from lando.steps import run_workflow as program
from lando.steps.cwl_log import CwlLog
from lando.steps.engines import Engine
from lando.steps.program import UsageError, run_program
from lando.steps.run_workflow import USAGE, cause_of_failure, parse, run_workflow
from tests.services.step_surroundings import Termination

FLAGS = ("--max-ram", "1Gi", "--max-cores", "2")


class Place:
    """A folder as the run step's pod sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "out/results"
        self.stdout = root / "out/output.json"
        self.stderr = root / "out/output.log"
        self.usage = root / "out/usage.json"

    def argv(self, document: Any, job_order: dict[str, Any] | None = None, *, fragment: str = "") -> list[str]:
        workflow, order = self.root / "flow.cwl", self.root / "job-order.json"
        workflow.write_text(yaml.safe_dump({"cwlVersion": "v1.2", **document}))
        order.write_text(json.dumps(job_order or {}))
        return [
            *("--cachedir", f"{self.root}/out/tmpout/", "--outdir", f"{self.results}/", *FLAGS),
            *("--usage-report", str(self.usage), "--stdout", str(self.stdout), "--stderr", str(self.stderr)),
            *(f"{workflow}{fragment}", str(order)),
        ]

    def run(self, document: Any, job_order: dict[str, Any] | None = None) -> int:
        argv = self.argv(document, job_order)
        return run_program("run_workflow", USAGE, lambda argv: run_workflow(parse(argv)), argv)


@pytest.fixture
def place(tmp_path: Path, termination: Termination) -> Place:
    return Place(tmp_path)


def shell(script: str, **more: Any) -> dict[str, Any]:
    """A workflow of one step, ``work``."""
    tool = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script],
        "inputs": {},
        "outputs": {"o": {"type": "File", "outputBinding": {"glob": "o.txt"}}},
        **more,
    }
    return {
        "class": "Workflow",
        "inputs": {},
        "outputs": {"o": {"type": "File", "outputSource": "work/o"}},
        "steps": {"work": {"run": tool, "in": {}, "out": ["o"]}},
    }


def test_a_workflow_leaves_outputs_object_log_and_report(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run(shell("echo hello > o.txt; echo on my way >&2")) == 0
    assert (place.results / "o.txt").read_text() == "hello\n"
    output = json.loads(place.stdout.read_text())
    assert output["o"]["location"] == (place.results / "o.txt").as_uri()
    assert output["o"]["size"] == 6
    assert "[job work] completed success" in place.stderr.read_text()
    assert "\x1e" not in place.stderr.read_text()
    usage = json.loads(place.usage.read_text())
    assert datetime.fromisoformat(usage["start_time"]) < datetime.fromisoformat(usage["finish_time"])
    assert [(child["name"], child["exit_code"]) for child in usage["children"]] == [("work", 0)]
    said = capsys.readouterr().out
    assert "tool 1 of 1 started: work" in said
    assert "  | on my way" in said


def test_partial_results_of_a_broken_attempt_are_removed_and_its_cache_used(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shell("echo hello > o.txt")
    assert place.run(document) == 0
    (place.results / "half").mkdir()
    (place.results / "half/part.bam").write_bytes(b"half")
    place.stdout.write_text("an old object")
    assert place.run(document) == 0
    assert [path.name for path in place.results.iterdir()] == ["o.txt"]
    assert json.loads(place.stdout.read_text())["o"]["size"] == 6
    assert "taken from the cache: work" in capsys.readouterr().out


def test_a_tool_that_exits_3_is_named_with_its_last_words(
    place: Place, termination: Termination, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run(shell("echo cannot read the reads >&2; exit 3")) == 1
    assert termination.cause() == {
        "category": "user",
        "sentence": "Tool work exited with 3.",
        "advice": "Its last words: cannot read the reads",
        "exit_code": 3,
    }
    assert "  | cannot read the reads" in capsys.readouterr().out
    assert json.loads(place.usage.read_text())["exit_code"] == 1


def test_the_words_of_a_tool_that_keeps_its_stderr_as_a_file_are_shown_too(
    place: Place, termination: Termination, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run(shell("echo sorry >&2; exit 4", stderr="err.txt")) == 1
    assert termination.cause()["advice"] == "Its last words: sorry"
    assert "  | sorry" in capsys.readouterr().out


def test_javascript_runs_without_a_node_of_the_system(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    document = {
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"n": "int"},
        "outputs": {"twice": "int"},
        "expression": "${ return {'twice': inputs.n * 2}; }",
    }
    assert place.run(document, {"n": 21}) == 0
    assert json.loads(place.stdout.read_text()) == {"twice": 42}


def test_a_workflow_that_is_no_cwl_is_refused_with_cwltools_words(place: Place, termination: Termination) -> None:
    assert place.run({"class": "CommandLineTool", "baseKommand": "x", "inputs": {}, "outputs": {}}) == 1
    assert termination.cause()["category"] == "user"
    assert "invalid field 'baseKommand'" in termination.cause()["sentence"]


def test_a_tool_that_asks_for_more_than_the_job_has_is_a_matter_of_resources(
    place: Place, termination: Termination
) -> None:
    assert place.run(shell("true", requirements={"ResourceRequirement": {"ramMin": 64000}})) == 1
    assert termination.cause()["category"] == "resources"
    assert "64000 MiB of memory, but the job has 2 cores and 1024 MiB" in termination.cause()["sentence"]


@pytest.fixture
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find_engine", lambda: None)


IMAGE = {"DockerRequirement": {"dockerPull": "biocontainers/samtools:1.9"}}


@pytest.mark.usefixtures("_no_engine")
def test_a_hinted_image_is_left_out_with_a_warning(place: Place, termination: Termination) -> None:
    assert place.run(shell("echo hello > o.txt", hints=IMAGE)) == 0
    warnings = ["work ran without its image biocontainers/samtools:1.9."]
    assert termination.read() == {"warnings": warnings}
    assert json.loads(place.usage.read_text())["warnings"] == warnings


@pytest.mark.usefixtures("_no_engine")
def test_a_required_image_is_refused_before_anything_runs(place: Place, termination: Termination) -> None:
    assert place.run(shell("echo hello > o.txt", requirements=IMAGE)) == 1
    assert termination.cause()["category"] == "image"
    assert "Tool work requires the container image biocontainers/samtools:1.9" in termination.cause()["sentence"]
    assert not place.results.exists()


@pytest.mark.usefixtures("_no_engine")
def test_a_program_that_is_not_there_is_named_with_the_image_that_was_left_out(
    place: Place, termination: Termination
) -> None:
    assert place.run(shell("", baseCommand=["samtools-of-nobody"], hints=IMAGE)) == 1
    cause = termination.cause()
    assert cause["exit_code"] == 127
    assert "its program 'samtools-of-nobody' is not installed here" in cause["sentence"]
    assert "It ran without its image biocontainers/samtools:1.9." in cause["sentence"]


def test_an_engine_gets_its_flag(place: Place) -> None:
    options = parse(place.argv(shell("true")))
    podman = Engine(name="podman", cwltool_flags=("--podman",), probe=())
    assert "--podman" in program._command(options, podman, True, place.root)
    assert "--no-container" in program._command(options, None, True, place.root)
    assert "--no-container" not in program._command(options, None, False, place.root)


def test_a_stopped_workflow_ends_its_tools_too(place: Place, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    argv = place.argv(shell(f"echo $$ > {marker}; exec sleep 300"))
    step = subprocess.Popen(
        [sys.executable, "-m", "lando.steps.run_workflow", *argv], stdout=subprocess.PIPE, text=True
    )
    assert step.stdout is not None
    for line in step.stdout:
        if "started: work" in line:
            break
    while not marker.exists() or not marker.read_text().strip():
        assert step.poll() is None
    tool = int(marker.read_text())
    step.send_signal(signal.SIGTERM)
    step.communicate(timeout=20)
    assert step.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(tool, 0)


def test_the_flags_are_those_of_the_contract_and_the_last_one_counts(tmp_path: Path) -> None:
    options = parse(
        [
            *("--max-ram", "1G", "--debug", "--max-ram", "16Gi", "--max-cores", "8", "--outdir", "/o/"),
            *("/bespin/job-data/workflow/exome-packed.cwl#main", "/bespin/job-data/job-order.json"),
        ]
    )
    assert (options.max_ram_mib, options.max_cores) == (16 * 1024, 8.0)
    assert options.others == ("--debug",)
    assert options.workflow_file == Path("/bespin/job-data/workflow/exome-packed.cwl")
    assert options.process_name == "main"


@pytest.mark.parametrize("argv", [[], ["flow.cwl"], ["--outdir", "--stdout"], ["--max-ram", "--x", "a", "b"]])
def test_too_few_arguments_are_an_error_of_usage(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv)


def test_a_quantity_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="'lots' is no amount of memory"):
        parse(["--max-ram", "lots", "a.cwl", "b.json"])


def failed_log(*messages: str) -> CwlLog:
    log = CwlLog(expected=1)
    for message in messages:
        list(log.feed(f"\x1eERROR {message}", datetime.now(UTC)))
    return log


def test_exit_127_names_tool_and_image() -> None:
    log = failed_log(
        "[job align_3] /t$ sh", "[job align_3] exited with status: 127", "[job align_3] completed permanentFail"
    )
    cause = cause_of_failure(log, 1, {"align": "bwa:0.7"})
    assert cause.sentence == (
        "Tool align_3 exited with 127: a program it calls is not installed here. It ran without its image bwa:0.7."
    )


def test_a_killed_tool_is_a_matter_of_resources() -> None:
    log = failed_log("[job a] /t$ x", "[job a] was terminated by signal: SIGKILL", "[job a] completed permanentFail")
    assert cause_of_failure(log, 1, {}).category is Category.RESOURCES


def test_a_killed_cwltool_says_so() -> None:
    cause = cause_of_failure(failed_log(), -9, {})
    assert cause.category is Category.RESOURCES
    assert cause.sentence == "cwltool was ended by signal 9 before the workflow was done."


def test_a_failure_without_a_reason_still_has_a_sentence() -> None:
    assert cause_of_failure(failed_log(), 1, {}).sentence == "cwltool could not run the workflow: it gave no reason"
