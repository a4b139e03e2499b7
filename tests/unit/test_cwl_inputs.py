"""What a packed CWL document asks for."""

from __future__ import annotations

from typing import Any

import pytest
from lando.cwl_inputs import main_process, spelled_out
from lando.errors import InputError


def tool(inputs: Any, **more: Any) -> dict[str, Any]:
    return {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": inputs, "outputs": [], **more}


def test_the_main_process_of_a_graph_is_found_by_its_id() -> None:
    packed = {
        "cwlVersion": "v1.2",
        "$graph": [
            {"class": "CommandLineTool", "id": "#tool.cwl", "inputs": [], "outputs": []},
            {"class": "Workflow", "id": "#main", "inputs": [{"id": "#main/n", "type": "int"}], "doc": ["a", "b"]},
        ],
    }
    main = main_process(packed)
    assert (main.path, main.fields, main.description) == ("#main", [{"name": "n", "type": "int"}], "a\nb")


def test_a_single_process_needs_no_path() -> None:
    main = main_process(tool({"n": "int", "m": {"type": "string"}}, label="x"))
    assert main.path == ""
    assert main.fields == [{"name": "n", "type": "int"}, {"name": "m", "type": "string"}]
    assert main.description == "x"


def test_an_input_with_a_default_is_optional() -> None:
    main = main_process(tool([{"id": "n", "type": "int", "default": 3}, {"id": "m", "type": "int", "default": None}]))
    assert main.fields == [{"name": "n", "type": ["null", "int"]}, {"name": "m", "type": "int"}]


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("int?", ["null", "int"]),
        ("File[]", {"type": "array", "items": "File"}),
        ("File[]?", ["null", {"type": "array", "items": "File"}]),
        (["int", "null"], ["null", "int"]),
        ({"type": "array", "items": "int?"}, {"type": "array", "items": ["null", "int"]}),
        ({"type": "enum", "symbols": ["a"]}, {"type": "enum", "symbols": ["a"]}),
        (
            {"type": "record", "fields": [{"name": "a", "type": "File?"}]},
            {"type": "record", "fields": [{"name": "a", "type": ["null", "File"]}]},
        ),
        (
            {"type": "record", "fields": {"a": "int[]", "b": {"type": "string?"}}},
            {
                "type": "record",
                "fields": [
                    {"name": "a", "type": {"type": "array", "items": "int"}},
                    {"name": "b", "type": ["null", "string"]},
                ],
            },
        ),
    ],
)
def test_abbreviated_types_are_spelled_out(kind: Any, meaning: Any) -> None:
    assert spelled_out(kind) == meaning


@pytest.mark.parametrize(
    "packed",
    [
        {},
        {"class": "Workflow", "inputs": []},
        {"cwlVersion": "v1.2", "class": "Operation", "inputs": []},
        {"cwlVersion": "v1.2", "$graph": []},
        {"cwlVersion": "v1.2", "$graph": "x"},
        {"cwlVersion": "v1.2", "$graph": [{"id": "#other", "class": "Workflow"}]},
        tool("x"),
        tool([1]),
        tool([{"id": "n"}]),
        tool({"n": None}),
        tool({"": "int"}),
        tool([{"id": "#n", "type": "int"}, {"id": "#main/n", "type": "int"}]),
    ],
)
def test_what_can_not_be_run_is_refused_naming_the_field(packed: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refusal:
        main_process(packed)
    assert refusal.value.field == "packed"


def test_a_type_that_stands_in_many_places_is_spelled_out_once() -> None:
    kind: Any = {"type": "array", "items": "int?"}
    for _ in range(50):  # as YAML's aliases make it of a short text
        kind = {"type": "record", "fields": [{"name": "a", "type": kind}, {"name": "b", "type": [kind, "null"]}]}
    found = spelled_out(kind)
    for _ in range(50):
        one, other = (field["type"] for field in found["fields"])
        assert other == ["null", one] or other[1] is one
        assert other[1] is one
        found = one
    assert found == {"type": "array", "items": ["null", "int"]}


def test_a_description_is_made_of_texts_only() -> None:
    lines: list[Any] = ["x"]
    for _ in range(50):
        lines = [lines, lines]
    tool = {"class": "CommandLineTool", "cwlVersion": "v1.2", "inputs": [], "doc": ["a", *lines, "b"], "label": lines}
    found = main_process(tool)
    assert (found.description, found.label) == ("a\nb", "")
