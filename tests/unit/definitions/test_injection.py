"""No string argument adds, removes or replaces keys, documents, tags or anchors of a manifest."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2.filters import FILTERS
from lando.definitions.exceptions import ArgumentError, MissingArgument
from lando.definitions.templating.templates import Template

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


FRAGMENTS = r"""
- {{ a }}
- {{ a }}  # {{ b }}
# {{ a }}
- k: 1  # {{ a }}
- "{{ a }}"
- '{{ a }}{{ b }}'
- "K {{ a }}: {{ b }}"
- [{{ a }}, K, {{ b }}]
- {k: {{ a }}, l: [{{ b }}], m: 1e3}
- {<<: {k: 012}, l: {{ a }}}
- &n {{ a }}
- &x {{ a }}\n- *x
- !!str {{ a }}
- ! {{ a }}
- K{{ a }}
- {{ a }} K {{ b }}
- |\n  {{ a }}\n  K: {{ b }}
- |-\n  {{ a | indent(2) }}
- >\n  {{ a }}\n  {{ b }}
- >+\n  {{ a }}\n\n- K
- k: {{ a }}\n  l: {{ b }}\n  yes: no
- k:\n    - {{ a }}\n    - {l: {{ b }}}
- {{ ('x' ~ b) | replace('x', a) }}
- {{ 'K: x' | replace('x', a) }}
- {{ 'x'.replace('x', a) }}
- {{ a | format(b) }}
- {{ '%s: %s' | format(a, b) }}
- {{ '{}: {}'.format(a, b) }}
- {{ '"%s" %02d 1%%' | format(a, 3) }}
- {{ '[%s, %s]' % (a, b) }}
- {{ '%s' % {a: b} }}
- {{ '%%(%s)' % {a: b} }}
- {{ '{k: %(x)s}' % {'x': a, 'y': b} }}
- {{ '%(x)s' | format(x=a, y=b) }}
- {{ '%s' | format(x=a) }}
- {{ '%s' % [a, b] }}
- {{ '{{{x}}}'.format(x=a) }}
- {{ '{{{}}}'.format({a: b}) }}
- {{ '{0!r}'.format(a) }}
- {{ '{x}{}'.format(a, x=b) }}
- {{ ('%s' ~ a) % b }}
- {{ ('{}' ~ a).format(b) }}
- {{ '{0.x}'.format(a) }}
- {{ a.format(b) }}
- {{ a % b }}
- {{ a | center(9) }}
- {{ a | wordwrap(3) }}
- {{ a | wordwrap(3, True, b) }}
- {{ {'k': a} | xmlattr }}
- {{ a | urlize }}
- {{ a | urlencode }}
- {{ [a, b] | tojson }}
- '{{ a | tojson }}'
- {{ a | tojson | indent(3) }}
- {{ a | tojson | safe }}
- {{ a | tojson | replace('"', b) }}
- {{ {'k': [a, 1]} | tojson(indent=2) }}
- {{ a | indent(2, True) }}
- {{ a | indent(b) }}
- {{ a | escape }}
- {{ a | forceescape }}
- {{ a | safe }}
- {{ a | e | safe | string }}
- {{ a | string | trim }}
- {{ a | trim(b) }}
- {{ a | striptags }}
- {{ a | pprint }}
- {{ a | truncate(5, True, b) }}
- {{ a | upper }}{{ a | lower }}{{ b | capitalize }}{{ b | title }}
- {{ a | list }}
- {{ a | batch(2) | list }}
- {{ a | reverse }}
- {{ a | first | default('K') }}
- {{ (a | int(b)) is defined }}
- {{ a | float is number }}
- {{ a | default('[K]') }}
- {{ c | default(a) }}
- {{ c | default('[K, 1]') }}
- [{{ [a, b] | join(', ') }}]
- [{{ [a, b] | map('upper') | join(', ') }}]
- [{{ [a, b, a] | sort | join(', ') }}]
- [{{ a | join(', ') }}]
- {{ ['K: ', a] | join }}
- {{ [a, 'K'] | join(b) }}
- {{ a.join([b, 'K: x']) }}
- {{ a ~ b }}
- {{ a ~ ': ' ~ b }}
- {{ '"' ~ a ~ '"' }}
- {{ '[' ~ a ~ ', ' ~ b ~ ']' }}
- {{ 'k: ' ~ a }}
- {{ ('k: ' ~ a ~ '\nl: ' ~ b) | indent(2) }}
- {{ ('{k: ' ~ a ~ '} ') | trim }}
- {{ ('{k: ' ~ a ~ '}') | indent(b) }}
- {{ ('{k: ' ~ a ~ '}') | trim(b) }}
- {{ ('{k: ' ~ a ~ '}') | upper }}
- {{ ('{k: ' ~ a ~ '}') | safe | string }}
- {{ [('{k: ' ~ a ~ '}')] | first }}
- {{ a + b }}
- {{ '{k: ' + a + '}' }}
- {{ a * 2 }}
- {{ a[1:] }}
- {{ (a ~ b)[1:] }}
- {{ (a, b) }}
- {{ dict(k=a) }}
- {{ {'k': a, 'l': [b, None]} }}
- {{ namespace(k=a).k }}
- {{ cycler(a, b).next() }}
- {{ joiner(a)() }}{{ b }}
- {{ a if a else b }}
- {{ a is string }}
- {{ a | length }}
- {% if a == b %}{{ a }}{% else %}{{ b }}{% endif %}
{% for one in a %}- {{ one }}\n{% endfor %}
{% for one in [a, b] %}- K{{ loop.index }}: {{ one }}\n{% endfor %}
{% macro m(x, y) %}- {k: {{ x }}, l: {{ y }}}{% endmacro %}{{ m(a, b) }}
{% macro m(x) %}- {k: {{ x }}, l: {{ caller() }}}{% endmacro %}{% call m(a) %}{{ b }}{% endcall %}
{% macro m(x) %}- {{ x }}{% endmacro %}{{ m(a) | upper }}
{% macro m(x) %}k: {{ x }}{% endmacro %}- {{ m(a) | indent(2) }}
{% macro m(x) %}{k: {{ x }}}{% endmacro %}- {{ m(a) ~ '' }}
{% macro m(x) %}{k: {{ x }}}{% endmacro %}- {{ m(a)[1:] }}
{% macro m(x) %}{k: {{ x }}}{% endmacro %}- {{ m(a) | replace('}', b) }}
{% set s %}{k: {{ a }}}{% endset %}- {{ s }}
{% set s %}{k: {{ a }}}{% endset %}- {{ s + s }}
{% set s %}{k: {{ a }}}{% endset %}- {{ [s, s] }}
{% set s %}[{{ a }}, {{ b }}]{% endset %}- {{ s | trim }}
{% set s | upper %}[{{ a }}]{% endset %}- {{ s }}
{% set s = a ~ ': ' %}- {{ s }}{{ b }}
{% filter trim %}- {{ a }}{% endfilter %}
{% filter indent(2) %}- k: {{ a }}\nl: {{ b }}{% endfilter %}
{% autoescape true %}- {{ a }}{% endautoescape %}
{% autoescape true %}- {{ a ~ '<' }}{% endautoescape %}
{% raw %}- "{{ a }}"{% endraw %}
{% block part %}- {{ a }}{% endblock %}
- |{{ a }}\n  K
- *{{ a }}
- &{{ a }} K
- !{{ a }} K
- "\x{{ a }}"
- ? {{ a }}\n  : K
{{ a }}- K
--- {{ a }}
""".strip().splitlines()


def same(hostile: Any, harmless: Any) -> bool:
    """Whether they have the same keys and items, and the same of what holds no argument (no w and no v)."""
    if isinstance(harmless, dict):
        known = [key for key in harmless if not set(str(key).lower()) & {"v", "w"}]
        return (
            isinstance(hostile, dict)
            and len(hostile) == len(harmless)
            and all(key in hostile and same(hostile[key], harmless[key]) for key in known)
        )
    if isinstance(harmless, list):
        return isinstance(hostile, list) and len(hostile) == len(harmless) and all(map(same, hostile, harmless))
    if isinstance(harmless, str) and set(harmless.lower()) & {"v", "w"}:
        return not isinstance(hostile, dict | list)
    return type(hostile) is type(harmless) and bool(hostile == harmless or hostile != hostile)


HOSTILE = st.one_of(
    TEXT,
    st.sampled_from(
        [
            *("yes", "no", "on", "~", "null", "1e3", "0o7", "012", "2024-01-01", "<<", "=", "!!binary aGk=", "\ufeff"),
            *("x]", "x}", "x, K: 1", "- x\n- y", "K: x", "'", '"', "\\", "\ud800", "*x", "*n", "&n x", "{0}", "%s"),
            *("\x85- x", "\u2029K: x", "|\n x", ">\n x", "? x\n: y", "...\n---\nK: x", "# x", " # x", "x" * 9000),
            *("\ue000\ue010\ue000\ue010\ue001", "{{ 7 * 7 }}", "{% for x in y %}", "{0.__class__}", "%(x)s"),
        ]
    ),
).filter(bool)  # of nothing nobody sees what comes of it


@settings(max_examples=80)
@given(fragments=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4), a=HOSTILE, b=HOSTILE)
def test_no_text_makes_of_a_random_template_what_harmless_text_does_not(fragments: list[str], a: str, b: str) -> None:
    try:
        template = Template("\n".join(fragment.replace("\\n", "\n") for fragment in fragments))
        harmless = template.render({"a": "w" * len(a), "b": "v" * len(b)})
    except (ValueError, MissingArgument):
        return  # no manifest can be made of it at all

    try:
        hostile = template.render({"a": a, "b": b})
    except (ValueError, MissingArgument):
        return  # refused
    assert same(hostile, harmless), (hostile, harmless)


def test_no_filter_that_an_argument_names_makes_another_the_template_s_own_words() -> None:
    template = Template("x: {{ [a] | map(b) | first }}\ny: 1")
    for name in ("own", *FILTERS):
        with suppress(ArgumentError):
            assert template.render({"a": "1\nz: K", "b": name}).keys() == {"x", "y"}, name


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
