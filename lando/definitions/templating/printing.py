"""What a template prints: its own words, as part of the YAML, and marks of values.

Whole numbers and booleans can't change any structure and are printed as they are. Text that a template puts together of
its own words and of values keeps both apart where that is possible; elsewhere it is a value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2.filters import make_attrgetter
from jinja2.runtime import Undefined

from lando.definitions.templating.filling import Filling, plain
from lando.definitions.templating.limits import Turns, size_of, size_of_call

FILLING: ContextVar[Filling] = ContextVar("filling")
"""Of the rendering that is under way."""
_BY_PLACE = {"%": re.compile(r"(?:[^%]|%%|%(?:s|0?\d*d))*"), "{": re.compile(r"(?:[^{}]|{{|}}|{\d*})*")}
_BY_NAME = {"%": re.compile(r"(?:[^%]|%%|%\(\w+\)(?:s|0?\d*d))*"), "{": re.compile(r"(?:[^{}]|{{|}}|{[^\W\d]\w*})*")}
"""Texts for ``%`` and ``str.format`` that put values in as they are."""
_SHAPING = frozenset({"indent", "trim"})
"""Filters that leave the marks in a text whole."""
_UNCHANGING = frozenset({"safe", "string"})
"""Filters that leave any text as it is."""


class Own(str):
    """The template's own words, perhaps with marks in them.

    Made by :func:`own` only: what a template derives from one (``str.format`` of the sandbox calls the type of its
    string) is ordinary text again.
    """

    def __new__(cls, *args: Any) -> str:  # type: ignore[misc]
        return str(*args)


class _Printed(str):
    """Text that is printed in another form: as ``printed``, its marks or own words."""

    printed: str


def own(text: str) -> str:
    """``text`` as the template's own words."""
    return str.__new__(Own, text)


def _printed(text: str, printed: str) -> str:
    made = _Printed(text)
    made.printed = printed
    return made


def output(value: Any) -> str:
    """What goes into the YAML for ``value``."""
    filling = FILLING.get()
    if isinstance(value, _Printed):
        return value.printed
    if isinstance(value, Own):
        return value
    if isinstance(value, Undefined) or value is None:
        return str(value)  # the undefined raises; None is the word, as it always was
    if type(value) in (bool, int):
        return str(value)
    filling.budget.work(size_of(value))
    if isinstance(value, float | list | dict):
        return filling.mark_value(plain(value, filling, null="None"), filling.text(str(value)))
    return filling.mark_text(str(value))


def tojson(value: Any, indent: int | None = None) -> str:
    """As the built-in one; where it stands alone, the value itself."""
    if isinstance(value, Undefined):
        str(value)
    filling = FILLING.get()
    filling.budget.work(size_of_call("tojson", value, (indent,), {}))
    whole = plain(value, filling, null=None)
    text = str(jinja2.utils.htmlsafe_json_dumps(whole, indent=indent, sort_keys=True))
    return _printed(text, filling.mark_value(whole, text))


@jinja2.pass_environment
def join(environment: jinja2.Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """As the built-in one; a separator of the template's own stays part of the YAML."""
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    items = list(value)
    FILLING.get().budget.work(size_of_call("join", d, (items,), {}))
    text = str(d).join(map(str, items))
    if d and not isinstance(d, Own):
        return text
    return _printed(text, str(d).join(map(output, items)))


def joined(items: list[Any]) -> str:
    """What ``~`` makes; what is the template's own of it stays part of the YAML."""
    FILLING.get().budget.work(size_of(items))
    return _printed("".join(map(str, items)), "".join(map(output, items)))


def formatted(text: str, kind: str, made: str, args: Sequence[Any], named: Mapping[str, Any]) -> str:
    """``made`` of a text and values; where the text is the template's own and puts them in as they are, it stays so."""
    if not isinstance(text, Own) or FILLING.get().has_marks(text):
        return made
    form = str(text)
    if not named and _BY_PLACE[kind].fullmatch(form):
        parts = [value if isinstance(value, int) else output(value) for value in args]
        return _printed(made, form.format(*parts) if kind == "{" else form % tuple(parts))
    if named and _BY_NAME[kind].fullmatch(form):
        by_name = {key: value if isinstance(value, int) else output(value) for key, value in named.items()}
        return _printed(made, form.format(**by_name) if kind == "{" else form % by_name)
    return made


def turns(items: Any) -> Turns:
    """What a loop goes through."""
    return Turns(items, FILLING.get().budget)


def with_origin(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, whose result is the template's own words where all that goes into it is."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        value = args[skipped] if len(args) > skipped else None
        FILLING.get().budget.work(size_of_call(name, value, args[skipped + 1 :], kwargs))
        if isinstance(value, Own | _Printed) and name in _UNCHANGING:
            return value
        before, inputs = args[:skipped], args[skipped + 1 :]
        is_own = all(item is None or isinstance(item, Own | bool | int) for item in (*inputs, *kwargs.values()))
        if isinstance(value, _Printed) and name in _SHAPING and is_own:
            return _printed(function(*args, **kwargs), function(*before, value.printed, *inputs, **kwargs))
        if isinstance(value, str) and not isinstance(value, Own) and name == "indent" and is_own:
            return _indented(str(function(*args, **kwargs)), *inputs, **kwargs)
        if not isinstance(value, Own):
            return function(*args, **kwargs)
        if name == "format":
            return formatted(value, "%", str(function(*args, **kwargs)), inputs, kwargs)
        filling = FILLING.get()
        if filling.has_marks(value) and name not in _SHAPING:
            is_own = False
            args = (*before, filling.text(value), *inputs)
        result = function(*args, **kwargs)
        return own(result) if is_own and type(result) is str else result

    return filtered


def _indented(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """An argument, which the filter ``indent`` has made ``text``: in a block of YAML the spaces are the block's own."""
    spaces = " " * width if isinstance(width, int) else width
    begin = spaces if first else ""
    return _printed(text, begin + FILLING.get().mark_text(text.removeprefix(begin), len(spaces)))
