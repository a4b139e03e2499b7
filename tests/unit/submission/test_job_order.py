"""A job order is checked against the workflow's inputs, and each fault names its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest
from lando.errors import InputError
from lando.submission import joborder, prepare, workflow


class Folder(Protocol):
    path: Path

    def write(self, name: str, text: str = "") -> Path: ...
    def workflow(self, text: str = ...) -> Path: ...
    def order(self, text: str) -> Path: ...


@pytest.fixture
def packed(folder: Folder) -> workflow.PackedWorkflow:
    return workflow.pack(folder.workflow())


FILE = {"class": "File", "path": "a.fastq"}
GOOD: dict[str, Any] = {"threads": 4, "reads": [FILE]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"mode": "slow", "ratio": 1},
        {"ratio": None},
        {"sample": {"id": "x", "reads": FILE}},
        {"folder": {"class": "Directory", "path": "d"}},
        {"cwl:requirements": []},
    ],
)
def test_what_fits_is_accepted(packed: workflow.PackedWorkflow, more: dict[str, Any]) -> None:
    assert joborder.check({**GOOD, **more}, packed) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"threads": None}, "threads: is required (an int)."),
        ({"threads": "4"}, "threads: must be an int, not the text '4'."),
        ({"threads": True}, "threads: must be an int, not true."),
        ({"threads": 2**31}, "threads: must be an int, not 2147483648."),
        ({"reads": FILE}, "reads: must be a list, each item a File (class: File, path: …), not a File."),
        ({"reads": [FILE, "b.fastq"]}, "reads[1]: must be a File (class: File, path: …), not the text 'b.fastq'."),
        ({"reads": [{"class": "File"}]}, "reads[0]: names no file; give path, location or contents."),
        ({"mode": "medium"}, "mode: must be one of fast, slow, not the text 'medium'."),
        ({"ratio": "x"}, "ratio: must be a float, not the text 'x'."),
        ({"sample": {"reads": FILE}}, "sample.id: is required (a string)."),
        ({"sample": "x"}, "sample: must be a record, not the text 'x'."),
        ({"thread": 4}, "thread: the workflow has no such input; did you mean threads?"),
    ],
)
def test_each_fault_names_its_field(packed: workflow.PackedWorkflow, change: dict[str, Any], expected: str) -> None:
    assert [str(fault) for fault in joborder.check({**GOOD, **change}, packed)] == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threads: [1\nb: 2\n", r"order\.yml:2 is not valid YAML or JSON"),
        ("threads: 1\nthreads: 2\n", r"order\.yml:2 is not valid YAML or JSON: threads stands here twice\."),
        ("- 1\n", r"order\.yml must hold the workflow's inputs by name\."),
    ],
)
def test_a_file_that_is_no_job_order_is_refused(folder: Folder, text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        joborder.load(folder.order(text))


def test_all_faults_of_a_submission_are_told_at_once(folder: Folder) -> None:
    order = folder.order("threads: many\n")
    with pytest.raises(InputError) as caught:
        prepare(folder.workflow(), order)
    assert sorted(str(caught.value).splitlines()) == [
        "order.yml: reads: is required (a list, each item a File (class: File, path: …)).",
        "order.yml: threads: must be an int, not the text 'many'.",
    ]


def test_a_missing_job_order_is_one_sentence(folder: Folder) -> None:
    with pytest.raises(InputError, match=r"^There is no job order .*none\.yml\.$"):
        prepare(folder.workflow(), folder.path / "none.yml")


def test_a_required_image_is_refused_where_no_engine_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder.write(
        "tool.cwl",
        """\
        cwlVersion: v1.2
        class: CommandLineTool
        baseCommand: [samtools]
        requirements: {DockerRequirement: {dockerPull: "samtools:1"}}
        inputs: []
        outputs: []
        """,
    )
    order = folder.order("{}")
    monkeypatch.setattr("lando.steps.engines.find_engine", lambda: None)
    with pytest.raises(InputError, match="requires the container image samtools:1"):
        prepare(tool, order, runs_here=True)
    prepare(tool, order, runs_here=False)
