"""Where the boxes of a graph go: in columns, each box to the right of what it follows, with few crossings.

The usual way in layers (Sugiyama): the longest path gives a box its column, bends carry edges past the columns between,
averages of the neighbours' places give the order in a column and then the heights.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GAP_X = 56.0
GAP_Y = 14.0
BEND_Y = 8.0
"""Height that an edge takes where it passes a column."""
MAX_BENDS = 5_000
"""With more of them, edges are drawn straight across."""
_SWEEPS = 8


@dataclass(frozen=True, kw_only=True)
class Box:
    """Upper left corner and size, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Drawing:
    boxes: Mapping[str, Box]
    edges: Sequence[Sequence[tuple[float, float]]]
    """Points by pairs, from the right side of a box to the left side of another; between two pairs it is straight."""
    width: float
    height: float


@dataclass(kw_only=True)
class _Item:
    """A box, or a bend of an edge, in its column."""

    width: float
    height: float
    before: list[_Item] = field(default_factory=list)
    after: list[_Item] = field(default_factory=list)
    rank: float = 0.0
    x: float = 0.0
    y: float = 0.0
    """Of its middle."""


def lay_out(sizes: Mapping[str, tuple[float, float]], follows: Mapping[str, Sequence[str]], *, wide: int) -> Drawing:
    """Place boxes of at least the given sizes; ``follows`` has no circles and says what each follows.

    Those of one column are equally wide. Boxes without any edge stand below the rest, ``wide`` of them in a row.
    """
    followed = {one for ones in follows.values() for one in ones}
    loose = [name for name in sizes if not follows.get(name) and name not in followed]
    bound = [name for name in sizes if name not in set(loose)]
    drawing = _layered({name: sizes[name] for name in bound}, follows)
    return _with_rows(drawing, {name: sizes[name] for name in loose}, wide)


def _layered(sizes: Mapping[str, tuple[float, float]], follows: Mapping[str, Sequence[str]]) -> Drawing:
    column_of = _columns_of(sizes, follows)
    items = {name: _Item(width=width, height=height) for name, (width, height) in sizes.items()}
    columns: list[list[_Item]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for name, item in items.items():
        columns[column_of[name]].append(item)
    pairs = [(before, name) for name in sizes for before in follows.get(name, ())]
    bends = sum(column_of[name] - column_of[before] - 1 for before, name in pairs)
    chains = []
    for before, name in pairs:
        chain = [items[before]]
        if bends <= MAX_BENDS:
            for column in range(column_of[before] + 1, column_of[name]):
                bend = _Item(width=0, height=BEND_Y)
                columns[column].append(bend)
                chain.append(bend)
        chain.append(items[name])
        for one, other in itertools.pairwise(chain):
            one.after.append(other)
            other.before.append(one)
        chains.append(chain)
    _order(columns)
    _set_heights(columns)
    return _drawn(items, columns, chains)


def _columns_of(sizes: Mapping[str, tuple[float, float]], follows: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest path that leads to each."""
    column_of: dict[str, int] = {}
    for root in sizes:
        stack = [root]
        while stack:
            if stack[-1] in column_of:
                stack.pop()
            elif missing := [one for one in follows.get(stack[-1], ()) if one not in column_of]:
                stack.extend(missing)
            else:
                name = stack.pop()
                column_of[name] = 1 + max((column_of[one] for one in follows.get(name, ())), default=-1)
    return column_of


def _order(columns: list[list[_Item]]) -> None:
    """Sort each column by where the neighbours stand, to and fro."""
    for column in columns:
        _rank(column)
    for sweep in range(_SWEEPS):
        rightward = sweep % 2 == 0
        for column in columns if rightward else reversed(columns):
            places = {id(item): _mean([one.rank for one in _side(item, rightward)], item.rank) for item in column}
            column.sort(key=lambda item: places[id(item)])
            _rank(column)


def _rank(column: list[_Item]) -> None:
    """Ranks from 0 to 1, so that columns of different lengths compare."""
    for place, item in enumerate(column):
        item.rank = (place + 0.5) / len(column)


def _set_heights(columns: list[list[_Item]]) -> None:
    for column in columns:
        _settle(column, [0.0] * len(column))
    for sweep in range(_SWEEPS):
        rightward = sweep % 2 == 0
        for column in columns if rightward else reversed(columns):
            _settle(column, [_mean([one.y for one in _side(item, rightward)], item.y) for item in column])


def _settle(column: list[_Item], wanted: list[float]) -> None:
    """Put each as near to where it is wanted as its neighbours in the column leave room."""
    down, up = list(wanted), list(wanted)
    for place in range(1, len(column)):
        down[place] = max(down[place], down[place - 1] + _apart(column[place - 1], column[place]))
    for place in reversed(range(len(column) - 1)):
        up[place] = min(up[place], up[place + 1] - _apart(column[place], column[place + 1]))
    for item, low, high in zip(column, down, up, strict=True):
        item.y = (low + high) / 2


def _apart(one: _Item, other: _Item) -> float:
    return (one.height + other.height) / 2 + GAP_Y


def _side(item: _Item, rightward: bool) -> list[_Item]:
    return item.before if rightward else item.after


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _drawn(items: Mapping[str, _Item], columns: list[list[_Item]], chains: list[list[_Item]]) -> Drawing:
    everything = [item for column in columns for item in column]
    top = min((item.y - item.height / 2 for item in everything), default=0.0)
    bottom = max((item.y + item.height / 2 for item in everything), default=0.0)
    x = 0.0
    for column in columns:
        width = max(item.width for item in column)
        for item in column:
            item.x, item.width = x, width
        x += width + GAP_X
    boxes = {
        name: Box(x=item.x, y=item.y - item.height / 2 - top, width=item.width, height=item.height)
        for name, item in items.items()
    }
    edges = []
    for chain in chains:
        points = []
        for item in chain:
            points += [(item.x, item.y - top), (item.x + item.width, item.y - top)]
        edges.append(points[1:-1])
    return Drawing(boxes=boxes, edges=edges, width=max(0.0, x - GAP_X), height=bottom - top)


def _with_rows(drawing: Drawing, sizes: Mapping[str, tuple[float, float]], wide: int) -> Drawing:
    """``drawing`` with rows of boxes below, in even columns."""
    boxes = dict(drawing.boxes)
    names = list(sizes)
    widths = [max(sizes[name][0] for name in names[place::wide]) for place in range(min(wide, len(names)))]
    lefts = list(itertools.accumulate((width + 2 * GAP_Y for width in widths), initial=0.0))
    y = drawing.height
    for start in range(0, len(names), wide):
        row = names[start : start + wide]
        y += GAP_Y if boxes else 0.0
        for place, name in enumerate(row):
            boxes[name] = Box(x=lefts[place], y=y, width=widths[place], height=sizes[name][1])
        y += max(sizes[name][1] for name in row)
    return Drawing(boxes=boxes, edges=drawing.edges, width=max(drawing.width, lefts[-1] - 2 * GAP_Y), height=y)
