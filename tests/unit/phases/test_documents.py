"""YAML and JSON are read as trees with lines, without surprises and within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.phases import documents
from lando.phases.documents import Block, parse, value_of


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML may have been built without its parser in C."""
    if request.param == "pure Python":
        monkeypatch.setattr(documents, "_LOADER", yaml.SafeLoader)


def values(text: str, *, as_json: bool = False) -> list[Any]:
    nodes, problems = parse(text, as_json=as_json)
    assert problems == []
    return [value_of(node) for node in nodes]


def problems(text: str, *, as_json: bool = False) -> list[tuple[int | None, str]]:
    nodes, found = parse(text, as_json=as_json)
    assert nodes == []
    return [(problem.line, problem.reason) for problem in found]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("'yes'", "yes"),
        ("12", 12),
        ("0644", 420),
        ("-0x1f", -31),
        ("0b11", 3),
        ("0b_", "0b_"),
        ("1_000", 1000),
        ("1.50", 1.5),
        ("1e3", "1e3"),
        ("12:30", "12:30"),
        ("12:30.5", "12:30.5"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("=", "="),
        ("<<", "<<"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("|\n a\n b\n", "a\nb\n"),
        ("9" * 30, 10**30 - 1),
        ("'\ufeff'", "\ufeff"),
        ("\ufeff1", 1),
    ],
)
def test_scalars_are_what_kubernetes_tools_take_them_for(text: str, value: Any) -> None:
    (found,) = values(text)

    assert found == value
    assert type(found) is type(value)


def test_keys_that_yaml_takes_for_something_else_are_text_as_written() -> None:
    assert values("{1: a, yes: b, 2024-01-31: c}") == [{"1": "a", "yes": "b", "2024-01-31": "c"}]


def test_anchors_and_merge_keys_are_resolved() -> None:
    text = """\
base: &base {image: a, env: [1]}
other: &other {image: b, extra: c}
one: {<<: *base, image: mine}
two: {<<: [*base, *other]}
three: *base
"""
    (found,) = values(text)

    assert found["one"] == {"image": "mine", "env": [1]}
    assert found["two"] == {"image": "a", "env": [1], "extra": "c"}
    assert found["three"] == {"image": "a", "env": [1]}
    assert values('{"<<": {a: 1}}') == [{"<<": {"a": 1}}]


@pytest.mark.parametrize("text", ["", "  \n", "# comment", "---\n", "---\n---\n# a\n", "null"])
def test_what_holds_nothing_holds_no_document(text: str) -> None:
    assert values(text) == []


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key a stands here and in line 1; keep one of the two"),
        ("a:\n\tb: 1\n", 2, "is not valid YAML: the line is indented with a tab; use spaces"),
        ("a: b: c", 1, "is not valid YAML: mapping values are not allowed"),
        ("a: [1,\n", 1, "is not valid YAML: it ends too early"),
        ("a: 'b\n", 1, "is not valid YAML: it ends too early"),
        ("a: *b", 1, "* names nothing that stands above with &; text that begins with * needs quotes"),
        ("a: &b [*b]", 1, "* stands inside of what it stands for"),
        ("a: &b\n  c: *b", 2, "* stands inside of what it stands for"),
        ("---\na: &b 1\n---\nc: *b\n", 4, "* names nothing that stands above"),
        ("a: !secret x", 1, "a tag (!) that means nothing to Kubernetes; text that begins with ! needs quotes"),
        ("a: !!python/object/apply:os.system [x]", 1, "a tag (!) that means nothing to Kubernetes"),
        ("a: !!binary aGk=", 1, "a tag (!) that means nothing to Kubernetes"),
        ("!!set {a, b}", 1, "a tag (!) that means nothing to Kubernetes"),
        ("a: .inf", 1, "holds a number that Kubernetes can't read; if it is text, put it in quotes"),
        ("a: -.INF", 1, "holds a number that Kubernetes can't read"),
        ("a:\n- .nan", 2, "holds a number that Kubernetes can't read"),
        ("a: 1" + "0" * 400 + ".0", 1, "holds a number that Kubernetes can't read"),
        ("a: " + "1" * 5000, 1, "holds a number that Kubernetes can't read"),
        ("? [a]\n: b", 1, "a key must be text, not a list"),
        ("? {a: b}\n: c", 1, "a key must be text, not a block of keys"),
        ("a:\n  b: {{ .Values.c }}", 2, "a key must be text, not a block of keys; text with braces needs quotes"),
        ("~: b", 1, "a key must be text, not nothing"),
        ("<<: text", 1, "<< must name blocks of keys, not text"),
        ("a: 1\n\x07: 2\n", 2, "is not valid YAML: it holds the character '\\x07'"),
        ("a: \x00", 1, "is not valid YAML: it holds the character '\\x00'"),
        ("a: \ud800", 1, "is not valid YAML: it holds the character '\\ud800'"),
        ("[" * 200, 1, "is nested more than 100 levels deep"),
        ("\n".join(f"{' ' * depth}a:" for depth in range(200)), 101, "is nested more than 100 levels deep"),
    ],
)
def test_what_nobody_means_is_told_with_its_line(text: str, line: int, reason: str) -> None:
    (found,) = problems(text)

    assert found[0] == line
    assert reason in found[1]


def test_all_that_is_wrong_is_told() -> None:
    assert [line for line, _ in problems("a: 1\na: 2\nb: .inf\nb: !x 1\nc: *d\n")] == [2, 3, 4, 4, 5]


def test_of_a_text_in_which_everything_is_wrong_the_beginning_is_told() -> None:
    found = problems("a: 1\n" * 5000)

    assert len(found) == documents.MAX_PROBLEMS + 1
    assert found[-1] == (102, "and perhaps more is wrong from here on; mend what is told first")


@pytest.mark.parametrize("text", ["0x" + "f" * 6000, "-0" + "7" * 9000, "0b" + "1" * 2000])
@pytest.mark.parametrize("form", ["a: {}", "[{}]"])
def test_a_number_without_end_is_told(text: str, form: str) -> None:
    ((_, reason),) = problems(form.format(text))

    assert reason == "holds a number that Kubernetes can't read; if it is text, put it in quotes"


def test_aliases_of_aliases_stay_within_bounds() -> None:
    laughs = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]

    ((_, reason),) = problems("\n".join(laughs))

    assert reason == "holds more than 16 MiB when what * names is put in its place"


def test_documents_count_together() -> None:
    document = "a: &a [" + "x, " * 1000 + "]\nb: [" + "*a, " * 200 + "]\n"

    ((line, reason),) = problems("---\n".join([document] * 20))

    assert line is not None
    assert line > 3
    assert reason == "holds more than 16 MiB when what * names is put in its place"


def test_a_long_text_counts_as_often_as_it_is_meant() -> None:
    ((_, reason),) = problems("a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 200 + "]\n")

    assert reason == "holds more than 16 MiB when what * names is put in its place"


def test_merges_of_merges_stay_within_bounds() -> None:
    laughs = ["a0: &a0 {x: [1, 2, 3, 4, 5, 6, 7, 8, 9]}"]
    laughs += [f"a{n}: &a{n} {{<<: *a{n - 1}, y{n}: *a{n - 1}}}" for n in range(1, 40)]

    ((_, reason),) = problems("\n".join(laughs))

    assert reason == "holds more than 16 MiB when what * names is put in its place"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{\n"a": 1,\n"a": 2}', 3, "the key a stands here and in line 2; keep one of the two"),
        ('{"a": 1,}', 1, "is not valid JSON: "),
        ('{\n"a": 1', 2, "is not valid JSON: it ends too early"),
        ("{'a': 1}", 1, "is not valid JSON: "),
        ("kind: Job", 1, "is not valid JSON: expecting value in column 1"),
        ("{} {}", 1, "is not valid JSON: something follows what it holds"),
        ("[1, NaN]", 1, "holds a number that Kubernetes can't read"),
        ("[\n-Infinity]", 2, "holds a number that Kubernetes can't read"),
        ("[1e999]", 1, "holds a number that Kubernetes can't read"),
        ("[" + "1" * 5000 + "]", 1, "holds a number that Kubernetes can't read"),
        ('["\\ud800"]', 1, "holds half of a character"),
        ("[" * 200 + "]" * 200, 1, "is nested more than 100 levels deep"),
        ("[" * 100_000, None, "is nested more than 100 levels deep"),
    ],
)
def test_json_is_held_to_the_same(text: str, line: int | None, reason: str) -> None:
    (found,) = problems(text, as_json=True)

    assert found[0] == line
    assert reason in found[1]


def test_json_in_a_yaml_file_may_be_indented_with_tabs_and_knows_all_escapes() -> None:
    value = {"a": ["\U0001f600", {"b": None}], "c": 'x\t"y"\\', "d": [], "e": {}, "f": -1.5e3, "g": "\u2028"}

    assert values(json.dumps(value, indent="\t")) == [value]


def test_every_node_knows_its_line() -> None:
    text = '{\n "a": [1,\n  {"b": "x\\n{"}],\n "c": 2\n}'

    for as_json in (True, False):
        (root,) = parse(text, as_json=as_json)[0]
        assert isinstance(root, Block)
        assert [(key, line) for key, (line, _) in root.entries.items()] == [("a", 2), ("c", 4)]


_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    _SCALARS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=15,
)


@given(_VALUES.filter(lambda value: value is not None), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=40)
def test_any_json_is_read_back_equal(value: Any, indent: Any) -> None:
    assert values(json.dumps(value, indent=indent, ensure_ascii=indent is None), as_json=True) == [value]


@given(_VALUES.filter(lambda value: value is not None), st.booleans())
@settings(max_examples=40)
def test_any_value_that_pyyaml_writes_is_read_as_pyyaml_reads_it(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    nodes, found = parse(text, as_json=False)

    if found:  # what YAML can't hold unquoted, or at all
        assert all(problem.reason for problem in found)
    else:
        assert [value_of(node) for node in nodes] == [yaml.load(text, Loader=documents._LOADER)]
