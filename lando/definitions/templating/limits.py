"""How much one rendering may do and make.

A template is its operator's own, but an argument may drive it: the number of turns of a loop, a width, a text that is
put in for each character of another. What a template does costs *steps*: a call, a turn, or 256 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

from lando.definitions.exceptions import ArgumentError

STEPS = 50_000
CHARACTERS = 4 * 1024**2
"""Of one text, and of all values together; a cluster takes no object of more than 1.5 MiB."""
RENDERED = 1024**2
"""Characters of the manifest's text, without the values."""
BITS = 2**16
"""Of a whole number."""
_PER_STEP = 256


class Budget:
    """What one rendering has left."""

    def __init__(self) -> None:
        self._steps = STEPS

    def work(self, size: int = 0) -> None:
        """Go one step, and one for every 256 characters (items) of ``size``.

        Raises:
            ArgumentError: it is too many, now or with what was done before.
        """
        self._steps -= 1 + size // _PER_STEP
        if self._steps < 0 or size > CHARACTERS:
            raise ArgumentError(f"the arguments make the template do too much: more than {STEPS:,} steps")


class Characters:
    """Counts what is written, up to ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit

    def take(self, number: int) -> None:
        """Raises ArgumentError when it is more than there may be."""
        self._left -= number
        if self._left < 0:
            raise ArgumentError(f"the arguments make the manifest too large: more than {self._limit:,} characters")


class Turns:
    """What a loop goes through, a step each."""

    def __init__(self, items: Any, budget: Budget) -> None:
        self._items = items
        self._budget = budget

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._budget.work()
            yield item

    def __len__(self) -> int:
        return len(self._items)


def size_of_call(name: str, value: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """What a filter or a method of ``value`` goes through and makes at most, in characters or items."""
    grown = _GROWTH.get(name)
    made = 0 if grown is None else grown(value, *args, **named)
    return size_of(value) + made


def size_of_operation(operator: str, left: Any, right: Any) -> int:
    """What the operator makes of them."""
    match operator:
        case "+":
            return size_of(left) + size_of(right)
        case "%" if isinstance(left, str):
            return _formatted(left, right)
        case "*" if isinstance(left, int) and isinstance(right, int):
            return _too_long(left.bit_length() + right.bit_length())
        case "*":
            return size_of(left) * _number(right) + size_of(right) * _number(left)
        case "**" if isinstance(left, int) and isinstance(right, int):
            return _too_long(left.bit_length() * max(right, 0) if left not in (-1, 0, 1) else 0)
    return 0


def _too_long(bits: int) -> int:
    return 0 if bits <= BITS else CHARACTERS + 1


def size_of(value: Any) -> int:
    """About how many characters ``value`` has as text; no further than there may be."""
    size, inner = 0, [value]
    while inner and size <= CHARACTERS:
        found = inner.pop()
        size += 1
        if isinstance(found, str | bytes):
            size += len(found)
        elif isinstance(found, Mapping):
            inner += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple | set | frozenset):
            inner += found
        elif isinstance(found, int):
            size += found.bit_length() // 3
    return size


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else 0


def _number(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0


def _width(_: Any, width: Any = 80, *__: Any, **___: Any) -> int:
    return _number(width)


def _decimals(_: Any, precision: Any = 0, *__: Any, **___: Any) -> int:
    return _too_long(4 * abs(precision)) if isinstance(precision, int) else 0


def _indented(s: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    return (str(s).count("\n") + 1) * (size_of(width) if isinstance(width, str) else _number(width))


def _wrapped(s: Any, width: Any = 79, break_long_words: Any = True, wrapstring: Any = None, *_: Any, **__: Any) -> int:
    lines = len(str(s)) // max(_number(width), 1) + str(s).count("\n") + 1
    return lines * (size_of(wrapstring) + 1)


def _replaced(s: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> int:
    return str(s).count(str(old)) * len(str(new))


def _joined(value: Any, other: Any = "", *_: Any, **__: Any) -> int:
    """As a filter of what is joined, and as a method of the separator."""
    return size_of(value) + size_of(other) + max(_length(value) * size_of(other), _length(other) * size_of(value))


def _translated(value: Any, table: Any = None, *_: Any, **__: Any) -> int:
    return size_of(value) * max([1, *map(size_of, table.values())]) if isinstance(table, Mapping) else 0


def _json(_: Any, indent: Any = None, *__: Any, **___: Any) -> int:
    return CHARACTERS + 1 if _number(indent) > 100 or size_of(indent) > 100 else 0


_WIDTHS = re.compile(r"\d+")
_ASKED = re.compile(r"%(?:\(.*?\))?[#0\- +]*[\d*]*(?:\.[\d*]+)?|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", re.DOTALL)


def _formatted(text: Any, *values: Any, **named: Any) -> int:
    """All widths that ``text`` asks for, and the longest value for each of its places."""
    places: list[str] = _ASKED.findall(str(text))
    given = [item for value in (*values, *named.values()) for item in _items(value)]
    longest = max([0, *(len(item) if isinstance(item, str) else len(repr(item)) for item in given)])
    widths = sum(int(width[:9]) for place in places for width in _WIDTHS.findall(place))
    if any("*" in place or "{" in place[1:] for place in places):
        widths += len(places) * max([0, *map(_number, given)])
    return widths + len(places) * longest


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, tuple | list) else [value]


_GROWTH: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "batch", "slice", "to_bytes"), _width),
    **dict.fromkeys(("format", "format_map"), _formatted),
    "expandtabs": lambda text, tabsize=8: text.count("\t") * _number(tabsize),
    "indent": _indented,
    "join": _joined,
    "replace": _replaced,
    "round": _decimals,
    "tojson": _json,
    "translate": _translated,
    "wordwrap": _wrapped,
}
"""Of the filters and the methods of strings that may make more than they are given."""
