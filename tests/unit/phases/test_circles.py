"""Circles of dependencies are found wherever they are, and nowhere else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from lando.phases.checks import cycles

NODES = "abcdefgh"
GRAPHS = st.fixed_dictionaries(
    {node: st.lists(st.sampled_from(NODES.replace(node, "")), unique=True, max_size=3) for node in NODES}
)


def reached(graph: dict[str, list[str]], start: str) -> set[str]:
    """Every node that ``start`` leads to, itself only through others."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(graph[node])
    return found


@given(GRAPHS)
@settings(max_examples=150)
def test_every_knot_is_told_by_a_circle_that_is_one(graph: dict[str, list[str]]) -> None:
    reach = {node: reached(graph, node) for node in graph}
    knots = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph if node in reach[node]}

    found = list(cycles(graph))

    for cycle in found:
        assert len(set(cycle)) == len(cycle) > 1
        assert all(after in graph[node] for node, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    assert {knot for knot in knots if any(set(cycle) <= knot for cycle in found)} == knots
    assert all(any(set(cycle) <= knot for knot in knots) for cycle in found)
