"""What is found in a workflow that somebody else made, and what it is refused for."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from lando.cwl_inputs import main_process
from lando.errors import InputError
from lando.steps.check_workflow import ANSWER_BYTES, _runs, check, written

TOOL = {"class": "CommandLineTool", "cwlVersion": "v1.2", "baseCommand": "true", "inputs": {}, "outputs": {}}
FLOW = {
    "class": "Workflow",
    "cwlVersion": "v1.2",
    "label": "Counts",
    "inputs": {"reads": "File[]"},
    "outputs": {},
    "steps": {"one": {"run": "tools/tool.cwl", "in": {}, "out": []}},
}


def examined(folder: Path, **changes: Any) -> dict[str, Any]:
    request = {
        "folder": str(folder),
        "file": str(folder / "given"),
        "name": "flow.cwl",
        "type": "packed",
        "workflow_path": None,
        "with_cwltool": False,
        "url": None,
        "max_bytes": 10_000,
        "timeout_s": 5,
        "allow_local_addresses": False,
    }
    return check({**request, **changes})


def archive(folder: Path, **documents: Any) -> None:
    with zipfile.ZipFile(folder / "given", "w") as opened:
        for name, document in documents.items():
            opened.writestr(name.replace("__", "/") + ".cwl", json.dumps(document))


def test_of_an_archive_the_workflow_is_what_no_other_document_runs(tmp_path: Path) -> None:
    outer = {**FLOW, "steps": {"one": {"run": "sub/inner.cwl", "in": {}, "out": []}}}
    archive(tmp_path, flows__outer=outer, flows__sub__inner=FLOW, flows__sub__tools__tool=TOOL)
    found = examined(tmp_path, type="zipped")
    assert found == {
        "workflow_path": "flows/outer.cwl",
        "fields": [{"name": "reads", "type": {"type": "array", "items": "File"}}],
        "description": "Counts",
        "label": "Counts",
        "checked": False,
    }


def test_of_several_workflows_the_usual_name_is_taken(tmp_path: Path) -> None:
    archive(tmp_path, a=FLOW, main=FLOW)
    assert examined(tmp_path, type="zipped")["workflow_path"] == "main.cwl"


@pytest.mark.parametrize(
    ("documents", "path", "words"),
    [
        ({"a": FLOW, "b": FLOW}, None, "holds 2 workflows (a.cwl, b.cwl); say by workflow_path"),
        ({}, None, "holds no workflow"),
        ({"a": FLOW}, "b.cwl", "holds no file 'b.cwl'"),
        ({"a": FLOW}, "../../given", "holds no file"),
        ({"a": FLOW}, "/etc/hostname", "holds no file"),
    ],
)
def test_an_archive_whose_workflow_is_not_clear_is_refused(
    tmp_path: Path, documents: dict[str, Any], path: str | None, words: str
) -> None:
    archive(tmp_path, **documents)
    with pytest.raises(InputError) as refusal:
        examined(tmp_path, type="zipped", workflow_path=path)
    assert words in str(refusal.value)
    assert refusal.value.field == "workflow_path"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it must hold fields such as cwlVersion"),
        ("a: [", "flow.cwl, line 1"),
        ("{}", "has no cwlVersion"),
        (json.dumps({"cwlVersion": "v1.2", "class": "Recipe"}), "'Recipe'"),
    ],
)
def test_what_is_no_workflow_is_refused_without_its_place_on_the_server(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "given").write_text(text)
    with pytest.raises(InputError) as refusal:
        examined(tmp_path)
    assert words in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://localhost:1/a", "http://[::1]/a"])
def test_a_workflow_is_not_fetched_from_the_servers_own_inside(tmp_path: Path, url: str) -> None:
    with pytest.raises(Exception, match="where staging does not go"):
        examined(tmp_path, url=url)
    with pytest.raises(InputError, match="https"):
        examined(tmp_path, url="file:///etc/passwd")


@pytest.mark.parametrize(
    "part",
    [
        {"doc": {"$include": "/etc/hostname"}},
        {"doc": {"$include": "https://x.org/a.txt"}},
        {"steps": {"one": {"run": "file:///etc/hostname", "in": {}, "out": []}}},
        {"steps": {"one": {"run": "../../outside.cwl", "in": {}, "out": []}}},
        {"steps": {"one": {"run": "https://x.org/a.cwl", "in": {}, "out": []}}},
    ],
    ids=str,
)
def test_cwltool_reads_nothing_but_what_belongs_to_the_workflow(tmp_path: Path, part: dict[str, Any]) -> None:
    (tmp_path / "outside.cwl").write_text(json.dumps(TOOL))
    (tmp_path / "given").write_text(json.dumps({**FLOW, "steps": {}, **part}))
    with pytest.raises(InputError, match=r"which is not part of it|undefined reference"):
        examined(tmp_path, with_cwltool=True)


def test_cwltool_finds_what_is_wrong_in_one_sentence_and_passes_what_is_right(tmp_path: Path) -> None:
    (tmp_path / "given").write_text(json.dumps({**TOOL, "inputs": {"a": "Integer"}}))
    with pytest.raises(InputError) as refusal:
        examined(tmp_path, with_cwltool=True)
    assert str(refusal.value).startswith("flow.cwl is not valid CWL: flow.cwl:1:")
    assert "\n" not in str(refusal.value)
    other = tmp_path / "other"
    other.mkdir()
    (other / "given").write_text(json.dumps(TOOL))
    assert examined(other, with_cwltool=True)["checked"] is True


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ("a: {type: {type: enum, symbols: [x], 'http://x.org/y': .nan}}", "can't be kept as JSON"),
        (r'"a\ud800": string', "can't be kept as JSON"),
        (f"a: {{type: [&long {'x' * 10_000}{', *long' * (ANSWER_BYTES // 10_000)}]}}", "more room than they may"),
    ],
    ids=["a number that JSON has not", "half a character", "a short text that stands for a long one"],
)
def test_what_nobody_could_read_again_is_not_told_of_a_workflow(tmp_path: Path, inputs: str, why: str) -> None:
    text = f"cwlVersion: v1.2\nclass: Workflow\noutputs: []\nsteps: []\ninputs:\n  {inputs}\n"
    (tmp_path / "given").write_text(text)
    with pytest.raises(InputError, match=why):
        written(examined(tmp_path))


def test_a_type_nested_without_end_is_refused() -> None:
    flow = {**FLOW, "inputs": {"a": "File" + "[]" * 5000}}
    with pytest.raises(InputError, match="nested too deeply"):
        main_process(flow)


def test_what_stands_in_many_places_of_a_document_is_looked_at_once() -> None:
    steps: Any = {"run": "tools/a%20b.cwl#x"}
    for _ in range(50):
        steps = {"one": steps, "other": [steps]}
    assert list(_runs(steps)) == ["tools/a b.cwl"]
    steps["itself"] = steps
    assert list(_runs(steps)) == ["tools/a b.cwl"]


def test_an_archive_is_called_as_its_owner_calls_it(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"^flows\.zip can't be unpacked"):
        examined(tmp_path, type="zipped", name="flows.zip")
    archive(tmp_path, x=FLOW, **{"..__y": FLOW})
    with pytest.raises(InputError, match=r"^flows\.zip is refused: its entry"):
        examined(tmp_path, type="zipped", name="flows.zip")
    archive(tmp_path, x={"class": "Workflow", "pad": "x" * 20_000})
    with pytest.raises(InputError, match=r"^flows\.zip is refused: unpacked"):
        examined(tmp_path, type="zipped", name="flows.zip")
