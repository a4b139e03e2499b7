"""Workflows of many shapes, through the real cwltool: what runs elsewhere runs here, and its outputs are counted."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.steps.output_object import output_files
from lando.steps.program import run_program
from lando.steps.run_workflow import USAGE, parse, run_workflow
from lando.steps.runner_log import TOOLS_LOG_LIMIT
from tests.services.step_surroundings import Termination


class Runner:
    """Runs one document and tells what it left."""

    def __init__(self, root: Path, termination: Termination) -> None:
        self.root = root
        self.termination = termination
        self.results = root / "results"
        self.stdout = root / "output.json"
        self.stderr = root / "output.log"

    def run(self, document: Any, order: Any = None, *, fragment: str = "", name: str = "flow.cwl") -> int:
        workflow, job_order = self.root / name, self.root / "job-order.json"
        workflow.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
        job_order.write_text(json.dumps(order or {}))
        argv = [
            *("--cachedir", f"{self.root}/cache/", "--outdir", f"{self.results}/", "--max-ram", "1Gi"),
            *("--max-cores", "2", "--stdout", str(self.stdout), "--stderr", str(self.stderr)),
            *(f"{workflow}{fragment}", str(job_order)),
        ]
        return run_program("run_workflow", USAGE, lambda argv: run_workflow(parse(argv)), argv)

    def outputs(self) -> Any:
        return json.loads(self.stdout.read_text())

    def files(self) -> dict[str, bytes]:
        """By path below the results; the output object and the folder agree."""
        named = sorted(file.path for file in output_files(self.outputs(), self.results))
        found = {str(p.relative_to(self.results)): p.read_bytes() for p in self.results.rglob("*") if p.is_file()}
        assert named == sorted(found)
        return found


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    termination = Termination(path=tmp_path / "termination-log")
    monkeypatch.setenv("LANDO_TERMINATION_LOG", str(termination.path))
    return Runner(tmp_path, termination)


def tool(script: str, outputs: Any, **more: Any) -> dict[str, Any]:
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script],
        "inputs": more.pop("inputs", {}),
        "outputs": outputs,
        **more,
    }


def test_outputs_of_every_kind(runner: Runner) -> None:
    document = tool(
        "mkdir -p 'a folder/sub'; echo 1 > 'a folder/sub/x y.txt'; echo 2 > main.bam; echo 3 > main.bam.bai; "
        'touch "quote\'s \\"and\\" ü%#?.txt"; printf out; head -c 3000000 /dev/zero > big',
        {
            "folder": {"type": "Directory", "outputBinding": {"glob": "a folder"}},
            "bam": {"type": "File", "secondaryFiles": [".bai"], "outputBinding": {"glob": "main.bam"}},
            "odd": {"type": "File[]", "outputBinding": {"glob": "quote*"}},
            "none": {"type": "File?", "outputBinding": {"glob": "nothing"}},
            "empty": {"type": "File[]", "outputBinding": {"glob": "nothing*"}},
            "out": {"type": "stdout"},
            "big": {"type": "File", "outputBinding": {"glob": "big"}},
            "number": {"type": "int", "outputBinding": {"outputEval": "$(1+1)"}},
            "pair": {
                "type": {
                    "type": "record",
                    "name": "pair",
                    "fields": {"left": {"type": "File", "outputBinding": {"glob": "main.bam"}}, "right": "null"},
                }
            },
        },
        requirements={"InlineJavascriptRequirement": {}},
        stdout="said.txt",
    )
    assert runner.run(document) == 0
    outputs = runner.outputs()
    assert (outputs["none"], outputs["empty"], outputs["number"]) == (None, [], 2)
    names = {file.path for file in output_files(outputs, runner.results)}
    assert {"a folder/sub/x y.txt", "main.bam", "main.bam.bai", "said.txt", "big"} <= names
    assert 'quote\'s "and" ü%#?.txt' in names
    assert all((runner.results / name).is_file() for name in names)


PACKED = """
$graph:
- id: main
  class: Workflow
  doc: Counts.
  requirements: [{class: ScatterFeatureRequirement}, {class: SubworkflowFeatureRequirement},
                 {class: StepInputExpressionRequirement}, {class: InlineJavascriptRequirement}]
  inputs: {words: "string[]"}
  outputs:
    all: {type: "File[]", outputSource: each/made}
    total: {type: int, outputSource: count/total}
  steps:
    each:
      run: "#inner"
      scatter: word
      in: {word: words, shout: {valueFrom: "$(inputs.word.toUpperCase())"}}
      out: [made]
    count:
      run: "#count"
      in: {files: each/made}
      out: [total]
- id: inner
  class: Workflow
  inputs: {word: string, shout: string}
  outputs: {made: {type: File, outputSource: write/file}}
  steps:
    write: {run: "#write", in: {word: word, shout: shout}, out: [file]}
- id: write
  class: CommandLineTool
  requirements:
    InlineJavascriptRequirement: {}
    InitialWorkDirRequirement:
      listing: [{entryname: in.txt, entry: "$(inputs.shout)\\n"}]
  baseCommand: cat
  arguments: [in.txt]
  stdout: $(inputs.word).txt
  inputs: {word: string, shout: string}
  outputs: {file: stdout}
- id: count
  class: ExpressionTool
  requirements: {InlineJavascriptRequirement: {}}
  inputs: {files: "File[]"}
  outputs: {total: int}
  expression: "${return {total: inputs.files.length};}"
cwlVersion: VERSION
$namespaces: {s: "https://schema.org/"}
$schemas: ["https://schema.org/version/latest/schemaorg-current-https.rdf"]
s:license: "MIT"
"""


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2"])
def test_a_packed_workflow_of_each_version(runner: Runner, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = PACKED.replace("VERSION", version)
    order = {"words": ["a b", "c'd", "ü"]}
    assert runner.run(document, order, fragment="#main", name="my flow #1 100%.cwl") == 0
    assert runner.outputs()["total"] == 3
    assert runner.files() == {"a b.txt": b"A B\n", "c'd.txt": b"C'D\n", "ü.txt": "Ü\n".encode()}
    assert "(3 of 3 done)" in capsys.readouterr().out


def test_equal_jobs_side_by_side_end_and_are_taken_from_the_cache_the_next_time(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    document, order = PACKED.replace("VERSION", "v1.2"), {"words": ["same", "same", "other"]}
    assert runner.run(document, order, fragment="#main") == 0
    assert len(runner.outputs()["all"]) == 3
    assert set(runner.files().values()) == {b"SAME\n", b"OTHER\n"}
    capsys.readouterr()
    assert runner.run(document, order, fragment="#main") == 0
    assert capsys.readouterr().out.count("taken from the cache") == 3
    assert set(runner.files().values()) == {b"SAME\n", b"OTHER\n"}


def test_a_scatter_over_nothing(runner: Runner) -> None:
    document = PACKED.replace("VERSION", "v1.2")
    assert runner.run(document, {"words": []}, fragment="#main") == 0
    assert runner.outputs() == {"all": [], "total": 0}


def sh(script: str, **more: Any) -> dict[str, Any]:
    return tool(script, {}, **more)


@pytest.mark.parametrize(
    ("document", "category", "sentence", "exit_code"),
    [
        (sh("kill -SEGV $$"), "user", "SIGSEGV", None),
        (sh("kill -KILL $$"), "resources", "memory ran out", 137),
        (sh("printf 'no line break' >&2; exit 3"), "user", "exited with 3", 3),
        (sh("exec /etc/passwd"), "user", "exited with 126", 126),
        (sh("echo 'No space left on device' >&2; exit 1"), "resources", "full", 1),
        (
            sh("sleep 60", requirements={"ToolTimeLimit": {"timelimit": 1}}),
            "user",
            "time limit of 1 s",
            None,
        ),
        (
            tool("true", {"x": {"type": "File", "outputBinding": {"glob": "nothing"}}}),
            "user",
            "Did not find output file",
            None,
        ),
    ],
    ids=["signal", "killed", "words", "denied", "full", "time", "output"],
)
def test_how_a_tool_failed_is_told(
    runner: Runner, document: Any, category: str, sentence: str, exit_code: int | None
) -> None:
    assert runner.run(document) != 0
    cause = runner.termination.cause()
    assert sentence in cause["sentence"]
    assert (cause["category"], cause.get("exit_code")) == (category, exit_code)


def test_a_process_that_a_tool_left_behind_does_not_hold_up_the_end(runner: Runner) -> None:
    started = time.monotonic()
    try:
        assert runner.run(sh(f"sleep 100 & echo $! > {runner.root}/pid")) == 0
        assert time.monotonic() - started < 60
    finally:
        os.kill(int((runner.root / "pid").read_text()), signal.SIGKILL)


def test_a_tool_that_babbles_fills_no_memory_and_a_bounded_log(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "head -c 9000000 /dev/urandom >&2; yes 'a line of some length, again and again' | head -c 9000000 >&2"
    assert runner.run(sh(script)) == 0
    out = capsys.readouterr().out
    assert len(out.encode()) < TOOLS_LOG_LIMIT + 20_000
    assert "more than" in out
    assert "(1 of 1 done)" in out  # what matters is still said
