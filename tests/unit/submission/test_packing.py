"""A workflow is packed into one document, or refused with the file and the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest
from lando.errors import InputError
from lando.submission import workflow


class Folder(Protocol):
    path: Path

    def write(self, name: str, text: str = "") -> Path: ...
    def workflow(self, text: str = ...) -> Path: ...


TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [python3]
inputs:
  script:
    type: File
    default: {class: File, location: count.py}
    inputBinding: {position: 1}
outputs: []
"""


def test_inputs_are_told_with_types_defaults_and_secondary_files(folder: Folder) -> None:
    packed = workflow.pack(folder.workflow())
    by_name = {field.name: field for field in packed.inputs}
    assert packed.name == "qc"
    assert set(by_name) == {"threads", "reads", "mode", "ratio", "sample", "folder"}
    assert by_name["mode"].has_default
    assert [one["pattern"] for one in by_name["reads"].secondary_files] == ["^.idx", ".md5"]


def test_the_packed_document_is_one_json_text_whose_main_process_is_called_main(folder: Folder) -> None:
    document = json.loads(json.dumps(workflow.pack(folder.workflow()).document))
    assert [process["id"] for process in document["$graph"]] == ["#main"]


def test_a_script_that_the_workflow_brings_along_becomes_part_of_the_document(folder: Folder) -> None:
    folder.write("count.py", "print(3)\n")
    document = workflow.pack(folder.write("tool.cwl", TOOL)).document
    [field] = document["$graph"][0]["inputs"]
    assert field["default"] == {"class": "File", "basename": "count.py", "contents": "print(3)\n"}


@pytest.mark.parametrize(
    ("content", "reason"), [("x" * 65537, "over 64 KiB"), ("\udcff", "not text")], ids=["large", "binary"]
)
def test_a_file_that_can_not_become_part_of_it_is_refused(folder: Folder, content: str, reason: str) -> None:
    (folder.path / "count.py").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=rf"count\.py, which is {reason} and can't be packed; make it an input"):
        workflow.pack(folder.write("tool.cwl", TOOL))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("baseCommand: [python3]", "baseCommand: [python3", r"tool\.cwl:4: .*expected ',' or '\]'"),
        ("type: File", "type: Fiel", r"tool\.cwl:6: Field 'type' references unknown identifier 'Fiel'\."),
        ("outputs: []\n", "", r"valid CWL: tool\.cwl:1: \"outputs\" section is not valid\."),
        ("cwlVersion: v1.2\n", "", r"cwlVersion"),
    ],
)
def test_a_mistake_in_the_workflow_is_told_with_its_line(folder: Folder, old: str, new: str, expected: str) -> None:
    folder.write("count.py", "")
    with pytest.raises(InputError, match=expected) as caught:
        workflow.pack(folder.write("tool.cwl", TOOL.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_a_tool_that_is_not_there_is_named(folder: Folder) -> None:
    text = "cwlVersion: v1.2\nclass: Workflow\ninputs: []\noutputs: []\nsteps:\n  a: {run: none.cwl, in: [], out: []}\n"
    with pytest.raises(InputError, match=r"none\.cwl"):
        workflow.pack(folder.write("flow.cwl", text))


def test_a_missing_workflow_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^There is no workflow file .*none\.cwl\.$"):
        workflow.pack(tmp_path / "none.cwl")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "qc.cwl is no CWL: it is empty."),
        (b"# only a comment\n", "qc.cwl is no CWL: it is empty."),
        (b"\x8f\x00\xff", "qc.cwl is no CWL: it is not UTF-8 text."),
        (b"a\x00b: c", "qc.cwl is no CWL: it is not UTF-8 text."),
        (b"just words", "qc.cwl is no CWL: it must hold fields such as cwlVersion, class and inputs."),
        (b"[1, 2]", "qc.cwl is no CWL: it must hold fields such as cwlVersion, class and inputs."),
        (b"cwlVersion: v9.9", "qc.cwl says cwlVersion v9.9; Lando runs v1.0, v1.1 and v1.2."),
        (b"class: Workflow", "qc.cwl has no cwlVersion; Lando runs v1.0, v1.1 and v1.2."),
    ],
)
def test_what_is_no_cwl_at_all_is_said_in_one_sentence(folder: Folder, content: bytes, sentence: str) -> None:
    path = folder.write("qc.cwl")
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        workflow.pack(path)
    assert str(refused.value) == sentence


def test_a_folder_is_no_workflow(folder: Folder) -> None:
    with pytest.raises(InputError, match="is a folder; name the workflow file in it"):
        workflow.pack(folder.path)
