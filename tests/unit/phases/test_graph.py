"""A model as a drawing: everything is in it, nothing overlaps, and it is safe to show anywhere."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.phases.graph import mermaid, svg
from lando.phases.layout import Box, lay_out
from lando.phases.model import Entry, JobFile, Model, Phase, Settings
from tests.unit.phases.models import document, entry, manifest, sound

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def model() -> Model:
    files = {f"many/{name}.json": json.dumps(manifest(name)) for name in ("one", "two", "three")}
    many = {"name": "many", "type": "directory", "job_path": "many"}
    return sound(document(("prepare", [entry("schema")]), ("load", [many, entry("merge", "many")])), files)


def test_mermaid_shows_phases_in_order_entries_their_jobs_and_dependencies(model: Model) -> None:
    assert mermaid(model) == (
        "flowchart TB\n"
        '  subgraph p0["phase 0 · prepare"]\n'
        "    direction LR\n"
        '    p0e0["schema"]\n'
        "  end\n"
        '  subgraph p1["phase 1 · load"]\n'
        "    direction LR\n"
        '    p1e0["many<br/>3 Jobs"]\n'
        '    p1e1["merge"]\n'
        "    p1e0 --> p1e1\n"
        "  end\n"
        "  p0 ==> p1\n"
    )


def test_the_picture_holds_every_phase_entry_and_dependency(model: Model) -> None:
    root = ET.fromstring(svg(model))

    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["phase 0 · prepare", "schema", "phase 1 · load", "many", "3 Jobs", "merge"]
    assert len(root.findall(f".//{SVG}path[@class='head']")) == 1
    assert len(root.findall(f".//{SVG}path[@class='order']")) == 1


def test_a_model_is_drawn_alike_every_time(model: Model) -> None:
    assert svg(model) == svg(model)


def test_names_are_escaped_and_cut_and_the_tooltip_has_them_whole() -> None:
    name = "<script>alert(1)</script>&\"'\x00" + "x" * 5000
    model = Model(path=name, settings=Settings(), phases=(Phase(index=0, name=name, entries=(_entry(name),)),))

    root = ET.fromstring(svg(model))

    assert not list(root.iter(f"{SVG}script"))
    assert max(len(text.text or "") for text in root.iter(f"{SVG}text")) < 40
    assert any("x" * 5000 in (title.text or "") for title in root.iter(f"{SVG}title"))
    assert float(root.attrib["width"]) < 1000
    assert not re.search(r'[<>"\']', mermaid(model).replace('["', "").replace('"]', "").replace("<br/>", ""))


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    names = [f"n{number}" for number in range(draw(st.integers(0, 14)))]
    follows = {}
    for place, name in enumerate(names):
        follows[name] = tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4)) if place else ())
    order = draw(st.permutations(names))
    return {name: follows[name] for name in order}


@given(graphs(), st.data())
@settings(max_examples=60)
def test_no_boxes_overlap_and_every_arrow_points_right(follows: dict[str, tuple[str, ...]], data: Any) -> None:
    sizes = {name: (data.draw(st.floats(20, 200), label=name), 40.0) for name in follows}

    drawing = lay_out(sizes, follows, wide=3)

    assert set(drawing.boxes) == set(follows)
    for one, other in itertools.combinations(drawing.boxes.values(), 2):
        assert _apart(one, other)
    for box in drawing.boxes.values():
        assert -0.01 <= box.x <= drawing.width - box.width + 0.01
        assert -0.01 <= box.y <= drawing.height - box.height + 0.01
    assert len(drawing.edges) == sum(len(ones) for ones in follows.values())
    for points in drawing.edges:
        assert [x for x, _ in points] == sorted(x for x, _ in points)
    for name, ones in follows.items():
        for before in ones:
            assert drawing.boxes[before].x + drawing.boxes[before].width < drawing.boxes[name].x


def test_a_long_chain_and_a_dense_graph_are_drawn_all_the_same() -> None:
    names = [f"n{number}" for number in range(200)]
    dense = {name: tuple(names[:place]) for place, name in enumerate(names)}

    drawing = lay_out(dict.fromkeys(names, (100.0, 40.0)), dense, wide=5)

    assert len(drawing.edges) == 199 * 200 // 2


def _entry(name: str) -> Entry:
    return Entry(name=name, job_path=name, jobs=(JobFile(path=name, manifest=manifest("one"), entry=name, phase=0),))


def _apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y + 0.01
        or other.y + other.height <= one.y + 0.01
    )
