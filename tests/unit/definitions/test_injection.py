"""No string argument adds, removes or replaces keys, documents, tags or anchors of a manifest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lando.definitions.exceptions import ArgumentError
from lando.definitions.templates import Template

TEMPLATES = [
    """\
apiVersion: batch/v1
metadata:
  name: thumbs-{{ a }}
  labels: {team: {{ b }}, {{ c }}: "yes"}
spec:
  parallelism: {{ a }}
  template: &pod
    hostNetwork: false
    command: [sh, -c, {{ b }}, "{{ c }}", '{{ a }}', "{{ a }}{{ b }}"]
    script: |
      echo {{ a }}
      echo {{ b }}
    folded: >-
      {{ c }} and {{ a }}
    first: {{ a }} {{ b }}
    second: {{ b | upper }}
    third: {{ c | tojson }}
    # {{ a }}
  again: *pod
""",
    """\
{% macro entry(name, value) %}- name: {{ name }}
  value: {{ value }}
{% endmacro -%}
{{ entry(a, b) }}{{ entry(b ~ c, "x" ~ a) }}
{%- for one in [a, b, c] %}
- !!str {{ one }}
- {{ {"k": one} }}
- [{{ [one, a] | join(", ") }}]
{%- endfor %}
{% filter indent(2) %}- {{ c }}{% endfilter %}
{% set block %}{x: {{ a }}}{% endset %}
- {{ block }}
- {{ block | replace("x", b) }}
- {% if a == "x" %}{{ c }}{% else %}{{ "%s" | format(c) }}{% endif %}
- {{ "{}".format(a) }}{{ a | truncate(5) }}{{ a | list }}
""",
]
YAML = """: |- |#| #|'|"|{|}|[|]|,|&x|*pod|!!str |!!python/name:os.system |<<: *pod|>|%|@|`|\\|?|=|~|1|null|true|x"""
PIECES = [*YAML.split("|"), "|", "\n", "\r", "\u2028", "\x85", "\t", " ", "---\n", "...\n", "hostNetwork: true", "\x00"]
MARKS = ["\ue000", "\ue001", "\ue010", "{{ a }}", "{% raw %}"]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(PIECES + MARKS), max_size=8).map("".join))


def shape(value: Any) -> Any:
    """What may not change: which keys there are where, and how many items."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


@pytest.mark.parametrize("source", TEMPLATES, ids=["manifest", "statements"])
@settings(max_examples=60)
@given(a=TEXT, b=TEXT, c=TEXT)
@example(a='"', b='"\nhostNetwork: true\nx: "', c="x")
@example(a="x", b="y", c="team")
def test_the_structure_is_that_of_harmless_arguments(source: str, a: str, b: str, c: str) -> None:
    template = Template(source)
    try:
        made = template.render({"a": a, "b": b, "c": c})
    except ArgumentError:
        return

    harmless = template.render({"a": "word", "b": "other", "c": "third"})
    if isinstance(made, dict):
        labels = harmless["metadata"]["labels"]
        labels[str(c)] = labels.pop("third")  # the one key that is an argument
    assert shape(made) == shape(harmless)


@given(value=TEXT)
def test_text_in_quotes_arrives_as_it_was(value: str) -> None:
    assert Template("a: '{{ v }}'\nb: \"{{ v }}\"\nc: {{ v | tojson }}\nd: 1").render({"v": value}) == {
        "a": value,
        "b": value,
        "c": value,
        "d": 1,
    }


@given(value=TEXT)
def test_text_that_stands_alone_is_one_scalar(value: str) -> None:
    made = Template("a: {{ v }}\nb: 1").render({"v": value})

    assert made.keys() == {"a", "b"}
    assert made["a"] == value or (not isinstance(made["a"], str) and made["a"] == yaml.safe_load(value))


@settings(max_examples=40)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x)
    )
)
def test_any_value_arrives_by_tojson(value: Any) -> None:
    assert Template("a: {{ v | tojson }}").render({"v": value}) == {"a": value}
