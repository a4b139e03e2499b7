"""What templates make of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.exceptions import UndefinedError
from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument
from lando.definitions.templating.templates import Template

HOSTILE = "X] # }"


def render(source: str, **arguments: Any) -> Any:
    return Template(source).render(arguments)


@pytest.mark.parametrize(
    ("source", "argument", "expected"),
    [
        ("{{ v }}", 3, 3),
        ("{{ v }}", True, True),
        ("{{ v }}", 2.5, 2.5),
        ("{{ v }}", 1e20, 1e20),
        ("{{ v }}", ["echo", "hi"], ["echo", "hi"]),
        ("{{ v }}", ["it's", 'a "b"\n', 3, False, None], ["it's", 'a "b"\n', 3, False, "None"]),
        ("{{ v }}", {"a": {"b": [1]}}, {"a": {"b": [1]}}),
        ("{{ v }}", [], []),
        ("{{ v }}", None, "None"),
        ("{{ v | tojson }}", None, None),
        ("{{ v | tojson }}", [{"name": "A", "value": "x: 'y'"}], [{"name": "A", "value": "x: 'y'"}]),
        ("{{ v | tojson | safe }}", {"a": 1}, {"a": 1}),
        ("{{ v | tojson }}", "3", "3"),
        ("'{{ v | tojson }}'", {"a": ["<"]}, '{"a": ["\\u003c"]}'),
        ("'{{ v }}'", ["a"], "['a']"),
        ("{{ v }}", "3", 3),
        ("{{ v }}", "true", True),
        ("{{ v }}", "", None),
        ("'{{ v }}'", "3", "3"),
        ("0.{{ v }}", "5", 0.5),
        ("{{ v }}Gi", 2, "2Gi"),
        ("{{ v }}", "2024-01-02", "2024-01-02"),
        ("{{ v }}", "0x_", "0x_"),
        ("{{ v }}", ".inf", ".inf"),
        ("{{ v | default(1) }}", "a", "a"),
        ("{{ v.name | upper }}", {"name": "x: y"}, "X: Y"),
        ("{{ v | length }}", [1, 2], 2),
        ("[{{ v | join(', ') }}]", ["a, b", "]"], ["a, b", "]"]),
        ("{{ v | int + 1 }}", "4", 5),
        ("{% if v %}yes-{{ v }}{% endif %}", "a", "yes-a"),
        ("{% for one in v %}\n  - {{ one }}{% endfor %}", ["a: b", "- c"], ["a: b", "- c"]),
    ],
)
def test_values_arrive_as_the_templates_of_the_original_rely_on(source: str, argument: Any, expected: Any) -> None:
    assert render(f"x: {source}", v=argument) == {"x": expected}


@pytest.mark.parametrize(
    "literal", ["default(['true', 1])", "default('[\"true\", 1]')", "default('[\"true\", 1]') | trim"]
)
def test_a_default_of_the_template_is_part_of_its_yaml(literal: str) -> None:
    assert render(f"x: {{{{ v | {literal} }}}}") == {"x": ["true", 1]}


def test_macros_and_blocks_make_structure_of_their_own_words_only() -> None:
    source = """\
{% macro variable(name, value) %}- name: {{ name }}
  value: {{ value }}
{% endmacro -%}
{% set labels %}{team: {{ value }}}{% endset -%}
env:
  {{ variable("A", value) | indent(2) }}
labels: {{ labels }}
{% filter trim %}
more: {{ value }}
{% endfilter %}
"""
    hostile = "x}\n- name: B"

    made = render(source, value=hostile)

    assert made == {"env": [{"name": "A", "value": hostile}], "labels": {"team": hostile}, "more": hostile}


@pytest.mark.parametrize(
    "source",
    [
        "x: {{ '{}'.format(v) }}",
        "x: {{ 'a'.join([v]) }}",
        "x: {{ '%s' | format(v) }}",
        "x: {{ v ~ '' }}",
        "x: {{ v | trim }}",
    ],
)
def test_text_that_is_made_of_an_argument_stays_data(source: str) -> None:
    hostile = "1\nhostNetwork: true"

    assert render(source, v=hostile) == {"x": hostile}


def test_all_missing_arguments_are_named() -> None:
    with pytest.raises(UndefinedError, match="'a' is undefined") as caught:
        render("x: {{ a }} {{ b | default(1) }} {{ c.d }} {{ e }}", e=1)

    assert isinstance(caught.value, MissingArgument)
    assert caught.value.names == ("a", "c")


def test_surplus_arguments_are_ignored() -> None:
    assert render("x: 1", a=2) == {"x": 1}


def test_the_variables_are_those_with_a_default_too_but_not_jinja_s_own() -> None:
    assert Template("{{ a }}{% for i in range(b) %}{{ i }}{{ c | default(1) }}{% endfor %}").variables == {
        "a",
        "b",
        "c",
    }


@pytest.mark.parametrize(
    ("source", "argument"),
    [
        ("{{ v }}\na: 1", "b: 2"),
        ("a: {{ v }}: b", "1"),
        ("a: &{{ v }} 1", "x"),
        ("a: !{{ v }} 1", "x"),
        ("a: &x 1\nb: *{{ v }}", "x"),
        ("{{ v }}: 1\na: 2", "a"),
        ("b: &b {a: 1}\nc:\n  <<: *b\n  {{ v }}: 2", "a"),
        ("a: {{ v + 1 }}", "x"),
    ],
)
def test_an_argument_that_would_be_structure_is_refused(source: str, argument: str) -> None:
    with pytest.raises(ArgumentError):
        render(source, v=argument)


@pytest.mark.parametrize(
    "source", ["a: {{ v.__class__ }}", "a: {{ v", "a: 1\n---\nb: 2", "a: [", "a: {% include 'x' %}"]
)
def test_a_definition_that_is_broken_is_said_to_be(source: str) -> None:
    with pytest.raises(DefinitionError, match=r"template|manifest"):
        render(source, v="")


@pytest.mark.parametrize(
    "source",
    [
        "{{ v['__class__'] }}",
        "{{ v | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
        "{{ [v] | map(attribute='__class__') | list }}",
        "{{ [v] | map('attr', '__class__') | list }}",
        "{{ [v] | groupby('__class__') }}",
        "{{ '{0.__class__.__mro__}'.format(v) }}",
        "{{ '{x.__class__}'.format_map({'x': v}) }}",
        "{{ '{0.__class__}'.format(v | safe) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ v.upper.__self__ }}",
        "{{ [].append(1) }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{% for one in [1] %}{{ loop._iterable }}{% endfor %}",
        "{% from 'os' import system %}",
        "{% extends v %}",
    ],
)
def test_nothing_leads_out_of_the_sandbox(source: str) -> None:
    with pytest.raises(DefinitionError, match="the template does what it may not"):
        render(f"a: {source}", v="os")


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(DefinitionError, match="line 2 of the template"):
        Template("a: 1\nb: {{ c")


def test_a_separator_that_prints_nothing_leaves_a_value_whole() -> None:
    source = "x: [{% set comma = joiner(', ') %}{% for one in v %}{{ comma() }}{{ one | tojson }}{% endfor %}]"

    assert render(source, v=["a, b", "3", None, [1]]) == {"x": ["a, b", "3", None, [1]]}
    assert render("x: [a, {{ v }}]", v="") == {"x": ["a", None]}


def test_a_key_may_be_an_argument_and_stays_text() -> None:
    assert render("{{ v }}: 1", v="<<") == {"<<": 1}
    assert render("{{ v }}: 1", v="3") == {"3": 1}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '\"' ~ v ~ '\"' }}", HOSTILE),
        ("{{ '[' + v + ', 1]' }}", [HOSTILE, 1]),
        ("{{ ('\n- ' ~ v ~ '\n- 1') | indent(2) }}", [HOSTILE, 1]),
        ("{{ (' {b: ' ~ v ~ '}  ') | trim }}", {"b": HOSTILE}),
        ("{{ ('{b: ' ~ v ~ '}') | upper }}", "{B: X] # }}"),
        ("{{ ('{b: ' ~ v ~ '}') | indent(v) }}", "{b: X] # }}"),
        ("{{ '\"%s\"' | format(v) }}", HOSTILE),
        ("{{ '[%s, \"%02d\", 1%%]' % (v, 5) }}", [HOSTILE, "05", "1%"]),
        ("{{ '{b: %(c)s}' % {'c': v} }}", {"b": HOSTILE}),
        ("{{ '{{b: {0}, c: {1}}}'.format(v, 1) }}", {"b": HOSTILE, "c": 1}),
        ("{{ '{{b: {x}, c: {y}}}'.format(x=v, y=1) }}", {"b": HOSTILE, "c": 1}),
        ("{{ '%s' % [v, 1] }}", [HOSTILE, 1]),
        ("{{ '[%5s]' % 'x' }}", "[    x]"),
        ("{{ '[{:>3}]'.format('x') }}", "[  x]"),
        ("{{ {'b': v} | tojson(indent=2) | indent(4) }}", {"b": HOSTILE}),
    ],
)
def test_words_of_the_template_stay_its_own_where_they_are_put_together(source: str, expected: Any) -> None:
    assert render(f"a: {source}", v=HOSTILE) == {"a": expected}


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("a: |\n  {{ v | indent(2) }}\nb: 1", "echo 1\n  echo 2\n"),
        ("a: |-\n  {{ v | indent(2) }}\nb: 1", "echo 1\n  echo 2"),
        ("a: |+\n  {{ v | indent(2) }}\nb: 1", "echo 1\n  echo 2\n\n"),
        ("a: |\n{{ v | indent(4, first=True) }}\nb: 1", "echo 1\n  echo 2\n"),
        ("a: |\n  if x\n    {{ v | indent(4) }}\n  fi\nb: 1", "if x\n  echo 1\n    echo 2\n\nfi\n"),
        ("a: |\n  {{ v }}\nb: 1", "echo 1\n  echo 2\n"),
    ],
)
def test_lines_of_an_argument_stand_in_a_block_as_if_they_had_been_written_there(source: str, held: str) -> None:
    assert render(source, v="echo 1\n  echo 2\n") == {"a": held, "b": 1}
