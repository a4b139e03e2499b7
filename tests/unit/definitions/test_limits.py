"""What arguments can't drive a template to do."""

from __future__ import annotations

from typing import Any

import pytest
from lando.definitions.exceptions import ArgumentError
from lando.definitions.templating.arguments import Arguments
from lando.definitions.templating.templates import Template

LONG = "x" * 500_000
HUGE = 10**10
NAMESPACE = "{% set ns = namespace(b=a) %}{% for i in range(n) %}"

BOMBS: list[tuple[str, dict[str, Any]]] = [
    # Loops and calls
    ("{% for i in range(n) %}{% for j in range(n) %}- 1\n{% endfor %}{% endfor %}", {"n": 99_999}),
    ("{% for one in a %}{% endfor %}b: 1", {"a": LONG}),
    ("{% for i in range(n) %}{% if range(n) | sum %}{% endif %}{% endfor %}b: 1", {"n": 99_999}),
    ("{% for i in range(n) %}{% if a | upper == 'b' %}{% endif %}{% endfor %}b: 1", {"n": 9999, "a": LONG}),
    ("{% for i in range(n) %}- K\n{% endfor %}", {"n": HUGE}),
    ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}b: {{ f(n) }}", {"n": 60}),
    ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}b: {{ f(n) }}", {"n": 1}),
    ("b: {{ lipsum(n) }}", {"n": HUGE}),
    # Operators
    ("b: {{ 'a' * n }}", {"n": HUGE}),
    ("b: {{ n * ['a'] }}", {"n": HUGE}),
    ("b: {{ [a] * n }}", {"n": 9999, "a": LONG}),
    ("b: {{ 2 ** n }}", {"n": HUGE}),
    ("b: {{ n * n * n * n * n * n * n * n }}", {"n": 10**4000}),
    ("b: {{ '%*d' % (n, 1) }}", {"n": HUGE}),
    ("b: {{ a % 3 }}", {"a": f"%{HUGE}d"}),
    ("b: {{ a % {'c': c} }}", {"a": "%(c)s" * 9999, "c": LONG}),
    (NAMESPACE + "{% set ns.b = ns.b ~ ns.b %}{% endfor %}b: {{ ns.b }}", {"n": 60, "a": "ab"}),
    (NAMESPACE + "{% set ns.b = ns.b + ns.b %}{% endfor %}b: {{ ns.b }}", {"n": 60, "a": "ab"}),
    (NAMESPACE + "{% set ns.b %}{{ ns.b }}{{ ns.b }}{% endset %}{% endfor %}b: {{ ns.b }}", {"n": 60, "a": "ab"}),
    (
        NAMESPACE + "{% set ns.b %}{{ ns.b[0:] }}{{ ns.b[0:] }}{% endset %}{% endfor %}b: {{ ns.b }}",
        {"n": 60, "a": "a"},
    ),
    # Filters and methods
    ("b: {{ 'x' | center(n) }}", {"n": HUGE}),
    ("b: {{ 'x' | center(width=n) }}", {"n": HUGE}),
    ("b: {{ ['x'] | map('center', n) | list }}", {"n": HUGE}),
    ("b: {{ ('x' | attr('ljust'))(n) }}", {"n": HUGE}),
    ("b: {{ 'x'.zfill(n) }}", {"n": HUGE}),
    ("b: {{ a.expandtabs(n) }}", {"n": HUGE, "a": "\t"}),
    ("b: {{ 'x\ny' | indent(n) }}", {"n": HUGE}),
    ("b: {{ a | indent(c) }}", {"a": "\n" * 9999, "c": LONG}),
    ("b: {{ a | wordwrap(width=1, wrapstring=a) }}", {"a": LONG}),
    ("b: {{ a | replace('x', a) }}", {"a": LONG}),
    ("b: {{ a.replace('', a) }}", {"a": LONG}),
    ("b: {{ a.translate({120: a}) }}", {"a": LONG}),
    ("b: {{ c | join(a) }}", {"a": LONG, "c": ["x"] * 9999}),
    ("b: {{ a.join(c | map('upper')) }}", {"a": LONG, "c": ["x"] * 9999}),
    ("b: {{ '%*d' | format(n, 1) }}", {"n": HUGE}),
    ("b: {{ '{:>{}}'.format(1, n) }}", {"n": HUGE}),
    ("b: {{ a.format(3) }}", {"a": f"{{:>{HUGE}}}"}),
    ("b: {{ a.format_map({'c': c}) }}", {"a": "{c}" * 9999, "c": LONG}),
    ("b: {{ [1, 2] | tojson(indent=n) }}", {"n": HUGE}),
    ("b: {{ [1, 2] | batch(n, 'x') | list }}", {"n": HUGE}),
    ("b: {{ [1, 2] | slice(n) | list }}", {"n": HUGE}),
    ("b: {{ 1.5 | round(n, 'ceil') }}", {"n": HUGE}),
    ("b: {{ (5).to_bytes(n, 'big') }}", {"n": HUGE}),
    # What is put in
    ("{% for i in range(n) %}- {{ a }}\n{% endfor %}", {"n": 9999, "a": LONG}),
    ("{% set c %}{{ a }}{% endset %}{% for i in range(n) %}- {{ c }}\n{% endfor %}", {"n": 9999, "a": LONG}),
    ("b: {{ n }}", {"n": 10**5000}),
]


@pytest.mark.parametrize(("source", "arguments"), BOMBS, ids=[source for source, _ in BOMBS])
def test_an_argument_that_would_make_the_template_do_too_much_is_refused(
    source: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentError, match=r"the arguments make the|can't use these arguments"):
        Template(source).render(arguments)


def test_what_a_manifest_may_be_is_far_from_the_limits() -> None:
    items = [f"item {number}" for number in range(500)]
    source = """\
{% for item in items %}
- name: {{ item }}
  value: {{ item | replace("item", "x") | center(20) | tojson }}
  more: {{ "%s-%05d" | format(item, loop.index) }}
{% endfor %}
- {{ script | indent(4) }}
- {{ items | join(" ") }}
- {{ bytes * 1024 ** 3 }}
- {{ items | tojson }}
"""
    made = Template(source).render({"items": items, "script": "echo\n" * 2000, "bytes": 10**12})

    assert len(made) == 504
    assert made[0] == {"name": "item 0", "value": "        x 0         ", "more": "item 0-00001"}
    assert made[-2] == 10**12 * 1024**3
    assert made[-1] == items


def test_a_loop_knows_where_it_is() -> None:
    source = (
        "{% for one in v %}- {{ loop.index }}/{{ loop.length }}{{ '.' if loop.last }}\n{% else %}[none]{% endfor %}"
    )

    assert Template(source).render({"v": ["a", "b"]}) == ["1/2", "2/2."]
    assert Template(source).render({"v": []}) == ["none"]
    tree = [{"n": 1, "c": [{"n": 2, "c": []}]}]
    nested = "[{% for one in v recursive %}{{ one.n }}, {{ loop(one.c) }}{% endfor %}]"
    assert Template(nested).render({"v": tree}) == [1, 2]


class Counted(dict[str, Any]):
    looks = 0

    def items(self) -> Any:
        Counted.looks += 1
        return super().items()


def test_a_list_of_unlike_values_is_looked_at_once() -> None:
    arguments = Arguments({"c": {"type": "array", "uniqueItems": True}})
    unlike = [*(Counted(n=number) for number in range(50)), 0, 1, "1", True, None, [1], [True]]

    assert arguments.complete({"c": unlike}) == {"c": unlike}
    assert Counted.looks <= 50

    for twice in ([1, 1.0], [[{"a": 1, "b": [2]}], [{"b": [2], "a": 1}]]):
        with pytest.raises(ArgumentError, match="non-unique"):
            arguments.complete({"c": twice})


def test_not_every_mistake_is_weighed_against_the_others() -> None:
    arguments = Arguments({"c": {"type": "array", "items": {"type": "string"}}})

    with pytest.raises(ArgumentError, match=r"argument c\[[0-9]{1,2}\]: 0 is not of type"):
        arguments.complete({"c": [0] * 200})
