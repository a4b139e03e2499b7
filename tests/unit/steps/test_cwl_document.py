"""What Lando reads in a CWL document by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lando import cwl
from lando.cwl import ContainerNeed
from lando.errors import InputError


def tool(**more: Any) -> dict[str, Any]:
    return {"class": "CommandLineTool", "inputs": [], "outputs": [], **more}


def docker(image: str) -> dict[str, Any]:
    return {"class": "DockerRequirement", "dockerPull": image}


def workflow(**more: Any) -> dict[str, Any]:
    return {"class": "Workflow", "inputs": [], "outputs": [], **more}


def test_the_main_process_is_the_document_or_main_in_its_graph() -> None:
    single = workflow()
    assert cwl.main_process(single) is single
    graph = {"$graph": [tool(id="#a.cwl"), workflow(id="#main", doc="It is me.")]}
    assert cwl.main_process(graph)["doc"] == "It is me."
    assert cwl.main_process(graph, "a.cwl")["class"] == "CommandLineTool"
    assert cwl.main_process({"id": "#main", "class": "Odd"})["class"] == "Odd"


@pytest.mark.parametrize("document", [[], "text", None, {}, {"$graph": [tool(id="#other")]}])
def test_a_document_without_main_process_is_refused(document: Any) -> None:
    with pytest.raises(InputError, match="no process called #main"):
        cwl.main_process(document)


def test_documentation_is_doc_then_label_then_id() -> None:
    assert cwl.documentation({"doc": ["One.", "Two."], "label": "l"}) == "One.\nTwo."
    assert cwl.documentation({"doc": " Text. \n"}) == "Text."
    assert cwl.documentation({"label": "l", "id": "i"}) == "l"
    assert cwl.documentation({"id": "#main"}) == "#main"
    assert cwl.documentation({}) == ""


def test_images_are_found_in_every_place_and_the_innermost_counts() -> None:
    packed = {
        "$graph": [
            workflow(
                id="#main",
                hints=[docker("workflow-hint")],
                steps=[
                    {"id": "#main/plain", "in": [], "out": [], "run": "#tool.cwl"},
                    {
                        "id": "#main/hinted",
                        "in": [],
                        "out": [],
                        "run": tool(hints={"DockerRequirement": {"dockerPull": "own"}}),
                    },
                    {"id": "#main/strict", "in": [], "out": [], "run": "#tool.cwl", "requirements": [docker("step")]},
                    {"id": "#main/sub", "in": [], "out": [], "run": "#sub.cwl"},
                ],
            ),
            tool(id="#tool.cwl"),
            workflow(
                id="#sub.cwl",
                requirements={"DockerRequirement": {"dockerImageId": "sub-image"}},
                steps={"inner": {"in": {}, "out": [], "run": "#tool.cwl"}},
            ),
        ]
    }
    assert cwl.check_container_requirements(packed) == [
        ContainerNeed(tool="strict", image="step", required=True),
        ContainerNeed(tool="sub/inner", image="sub-image", required=True),
        ContainerNeed(tool="plain", image="workflow-hint", required=False),
        ContainerNeed(tool="hinted", image="own", required=False),
    ]


def test_a_workflow_without_images_needs_none() -> None:
    assert cwl.check_container_requirements(workflow(steps={"a": {"run": tool()}})) == []


def test_a_single_tool_is_its_own_workflow() -> None:
    need = ContainerNeed(tool="align", image="built from its own Dockerfile", required=True)
    document = tool(id="#align", requirements=[{"class": "DockerRequirement", "dockerFile": "FROM x"}])
    assert cwl.check_container_requirements(document) == [need]


def test_a_required_image_without_an_engine_is_refused_by_name() -> None:
    needs = [ContainerNeed(tool=name, image="samtools:1.9", required=True) for name in ("a", "b")]
    refusal = cwl.refusal_without_engine(needs)
    assert refusal is not None
    assert refusal.startswith(
        "Tool a requires the container image samtools:1.9 (and 1 more tool its own), and there is no"
    )
    assert cwl.refusal_without_engine([ContainerNeed(tool="a", image="i", required=False)]) is None
    assert cwl.refusal_without_engine([]) is None


def test_tools_are_counted_with_the_lists_they_are_scattered_over() -> None:
    document = workflow(
        inputs={"reads": "File[]", "title": "string"},
        steps={
            "each": {"run": tool(), "scatter": "read", "in": {"read": "reads"}, "out": ["o"]},
            "after": {"run": tool(), "scatter": ["o"], "in": {"o": {"source": "each/o"}}, "out": []},
            "last": {"run": tool(), "in": {"title": "title"}, "out": []},
        },
    )
    assert cwl.count_tools(document, {"reads": [1, 2, 3, 4]}) == 6
    assert cwl.count_tools(document, {"reads": []}) == 3
    assert cwl.count_tools(document, None) == 3


def test_packed_ids_are_understood_in_scatters() -> None:
    document = workflow(
        id="#main",
        inputs=[{"id": "#main/reads", "type": "File"}],
        steps=[
            {
                "id": "#main/each",
                "run": tool(),
                "scatter": "#main/each/read",
                "in": [{"id": "#main/each/read", "source": "#main/reads"}],
            }
        ],
    )
    assert cwl.count_tools({"$graph": [document]}, {"reads": [1, 2]}) == 2


def test_a_workflow_that_contains_itself_is_refused() -> None:
    loop = {"$graph": [workflow(id="#main", steps={"again": {"run": "#main"}, "tool": {"run": tool()}})]}
    with pytest.raises(InputError, match="runs itself"):
        cwl.tools(loop)


def test_a_few_lines_that_name_a_billion_steps_are_refused_soon() -> None:
    levels = [workflow(id=f"#w{n}", steps={str(k): {"run": f"#w{n + 1}"} for k in range(9)}) for n in range(20)]
    levels.append(workflow(id="#w20", steps={}))
    with pytest.raises(InputError, match="more than 100000 steps"):
        cwl.tools({"$graph": levels}, "w0")


def test_files_that_run_each_other_are_refused_and_shared_ones_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.cwl").write_text("class: Workflow\nsteps: {x: {run: b.cwl}, y: {run: b.cwl}}\n")
    (tmp_path / "b.cwl").write_text("class: Workflow\nsteps: {x: {run: a.cwl}}\n")
    with pytest.raises(InputError, match="runs itself"):
        cwl.read_process(tmp_path / "a.cwl")
    for n in range(30):
        text = f"class: Workflow\nsteps: {{x: {{run: {n + 1}.cwl}}, y: {{run: {n + 1}.cwl}}}}\n"
        (tmp_path / f"{n}.cwl").write_text(text)
    (tmp_path / "30.cwl").write_text("class: CommandLineTool\n")
    assert cwl.read_process(tmp_path / "0.cwl")["steps"]["x"]["run"]["class"] == "Workflow"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "- " * 100_000])
def test_a_document_nested_beyond_reason_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "flow.cwl").write_text(text)
    with pytest.raises(InputError):
        cwl.read_document(tmp_path / "flow.cwl")


def test_files_that_steps_run_are_read_in(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/a.cwl").write_text("class: CommandLineTool\nhints: {DockerRequirement: {dockerPull: x}}\n")
    (tmp_path / "main.cwl").write_text("class: Workflow\nsteps: {a: {run: tools/a.cwl}, b: {run: missing.cwl}}\n")
    document = cwl.read_process(tmp_path / "main.cwl")
    assert cwl.check_container_requirements(document) == [ContainerNeed(tool="a", image="x", required=False)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("class: Workflow\nsteps: {\n  a: [\n", "flow.cwl, line 4: "),
        ('{"class": "Workflow",\n "steps": [}', "flow.cwl, line 2: "),
        ("class: Workflow\n\tsteps: x", "flow.cwl, line 2: "),
        ("\0", "flow.cwl is no YAML"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "flow.cwl").write_text(text)
    with pytest.raises(InputError) as refused:
        cwl.read_document(tmp_path / "flow.cwl")
    assert str(refused.value).startswith(sentence)


def test_yaml_in_braces_is_no_json_and_fine(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text("{threads: 4, reads: [a, b]}")
    assert cwl.read_document(tmp_path / "order.yaml") == {"threads": 4, "reads": ["a", "b"]}


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        cwl.read_document(tmp_path / "flow.cwl")
    (tmp_path / "flow.cwl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text in UTF-8"):
        cwl.read_document(tmp_path / "flow.cwl")
