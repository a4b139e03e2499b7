"""The examples do what their README says."""

from __future__ import annotations

import gzip
import json
import statistics
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lando import cwl
from lando.steps.program import run_program
from lando.steps.run_workflow import USAGE, parse, run_workflow
from tests.services.step_surroundings import Termination

EXAMPLES = Path(__file__).parents[3] / "examples"
SCRIPTS = EXAMPLES / "fastq-qc/scripts"


def run(name: str, tmp_path: Path) -> int:
    folder = EXAMPLES / name
    argv = [
        *("--outdir", str(tmp_path / "results"), "--stdout", str(tmp_path / "out.json")),
        *("--stderr", str(tmp_path / "log"), str(folder / "workflow.cwl"), str(folder / "job-order.yaml")),
    ]
    return run_program("run_workflow", USAGE, lambda argv: run_workflow(parse(argv)), argv)


def test_quality_control_ends_in_numbers_and_a_figure(tmp_path: Path, termination: Termination) -> None:
    assert run("fastq-qc", tmp_path) == 0
    rows = (tmp_path / "results/summary.tsv").read_text().splitlines()
    assert [row.split("\t")[:3] for row in rows] == [
        ["file", "reads", "bases"],
        ["lambda_long_1.fastq.gz", "180", "58600"],
        ["lambda_long_2.fastq.gz", "180", "65015"],
        ["lambda_pair_1.fastq.gz", "650", "69852"],
        ["lambda_pair_2.fastq.gz", "650", "70045"],
    ]
    numbers = json.loads((tmp_path / "results/summary.json").read_text())
    assert all(0.48 < file["gc"] < 0.52 for file in numbers["files"])
    readme = (EXAMPLES / "fastq-qc/README.md").read_text()
    for file in numbers["files"]:
        shares = (f"{100 * file[key]:.1f} %" for key in ("q20", "gc", "n"))
        means = (f"{file[key]:.1f}" for key in ("mean_length", "mean_quality"))
        row = (f"`{file['file']}`", str(file["reads"]), str(file["bases"]), *means, *shares)
        assert f"| {' | '.join(row)} |" in readme
        reads = gzip.decompress((EXAMPLES / "fastq-qc/data" / file["file"]).read_bytes()).decode().splitlines()
        sequences, scores = "".join(reads[1::4]), [ord(letter) - 33 for letter in "".join(reads[3::4])]
        assert (file["reads"], file["bases"]) == (len(reads) // 4, len(sequences))
        assert file["longest"] == max(map(len, reads[1::4]))
        assert file["mean_quality"] == pytest.approx(statistics.fmean(scores))
        assert file["q20"] == pytest.approx(sum(score >= 20 for score in scores) / len(scores))
        assert file["n"] == pytest.approx(sequences.count("N") / len(sequences))
        known = [letter for letter in sequences if letter != "N"]
        assert file["gc"] == pytest.approx(sum(letter in "GC" for letter in known) / len(known))
    figure = ElementTree.parse(tmp_path / "results/quality.svg").getroot()
    assert figure.findtext("{http://www.w3.org/2000/svg}title") == "Lambda phage: simulated reads"


def test_quality_control_is_counted_file_by_file() -> None:
    folder = EXAMPLES / "fastq-qc"
    document = cwl.read_process(folder / "workflow.cwl")
    assert cwl.count_tools(document, cwl.read_document(folder / "job-order.yaml")) == 5
    assert cwl.check_container_requirements(document) == []


def test_the_failing_example_fails_as_it_says(tmp_path: Path, termination: Termination) -> None:
    assert run("failing", tmp_path) == 1
    assert termination.cause()["sentence"] == "Tool check exited with 3."
    assert "found a greeting" in termination.cause()["advice"]


def test_the_examples_fit_into_a_repository() -> None:
    assert sum(path.stat().st_size for path in (EXAMPLES / "fastq-qc/data").iterdir()) < 300_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello\n", "line 1: expected a header that starts with @, found 'hello"),
        ("@r1\nACGT\n+\nIII\n", "line 1: the record '@r1' is cut short or damaged"),
        ("@r1\nACGT\n+\nIIII\n@r2\nAC", "line 5: the record '@r2' is cut short"),
        ("", "no reads in it"),
    ],
)
def test_a_file_that_is_not_fastq_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.fastq").write_text(text)
    command = [sys.executable, str(SCRIPTS / "quality.py"), str(tmp_path / "x.fastq"), str(tmp_path / "out.json")]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    assert measured.returncode == 1
    assert sentence in measured.stderr


def test_the_numbers_of_a_tiny_file_are_right(tmp_path: Path) -> None:
    (tmp_path / "x.fastq").write_text("@r1\nACGN\n+\nIIII\n@r2\nGG\n+\n!!\n")
    subprocess.run(
        [sys.executable, str(SCRIPTS / "quality.py"), str(tmp_path / "x.fastq"), str(tmp_path / "out.json")], check=True
    )
    numbers = json.loads((tmp_path / "out.json").read_text())
    assert (numbers["reads"], numbers["bases"], numbers["mean_length"], numbers["longest"]) == (2, 6, 3.0, 4)
    assert numbers["mean_quality"] == pytest.approx(4 * 40 / 6)
    assert (numbers["gc"], numbers["n"]) == (pytest.approx(4 / 5), pytest.approx(1 / 6))
    assert numbers["lengths"] == [[2, 1], [4, 1]]
    assert [place["reads"] for place in numbers["positions"]] == [2, 2, 1, 1]
