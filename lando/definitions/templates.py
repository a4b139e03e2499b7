"""Templates of manifests: Jinja2 in a sandbox, whose output is the template's own words and marks of values.

What a template prints is one of three things. Its own words (text between the tags, string literals, what its macros
and blocks made of these) become part of the YAML. Whole numbers and booleans can't change any structure and are printed
as they are. Everything else leaves a mark (:mod:`lando.definitions.filling`).
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Context, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Joiner, generate_lorem_ipsum
from jinja2.visitor import NodeTransformer
from yaml.nodes import Node

from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument, TemplateError
from lando.definitions.filling import Filling, plain
from lando.definitions.limits import RENDERED, Characters, Turns, size_of, size_of_call, size_of_operation

_FILLING: ContextVar[Filling] = ContextVar("filling")
"""Of the rendering that is under way."""
_UNDEFINED = re.compile(r"'(.+)' is undefined")
"""How Jinja2 says that a variable was not given."""
_OWN, _TURNS, _JOINED = (secrets.token_hex() for _ in range(3))
"""Filters of our own, by names that neither a template nor an argument (``map(name)``) can know."""
_LINE = re.compile("\ue002([0-9]+)\ue003")  # characters of the private use area, as the marks of values
_BY_PLACE = {"%": re.compile(r"(?:[^%]|%%|%(?:s|0?\d*d))*"), "{": re.compile(r"(?:[^{}]|{{|}}|{\d*})*")}
_BY_NAME = {"%": re.compile(r"(?:[^%]|%%|%\(\w+\)(?:s|0?\d*d))*"), "{": re.compile(r"(?:[^{}]|{{|}}|{[^\W\d]\w*})*")}
"""Texts for ``%`` and ``str.format`` that put values in as they are."""
_SHAPING = frozenset({"indent", "trim"})
"""Filters that leave the marks in a text whole."""
_UNCHANGING = frozenset({"safe", "string"})
"""Filters that leave any text as it is."""


class _Own(str):
    """The template's own words, perhaps with marks in them.

    Made by :func:`_own` only: what a template derives from one (``str.format`` of the sandbox calls the type of its
    string) is ordinary text again.
    """

    def __new__(cls, *args: Any) -> str:  # type: ignore[misc]
        return str(*args)


class _Printed(str):
    """Text that is printed in another form: as ``printed``, its marks or own words."""

    printed: str


def _own(text: str) -> str:
    return str.__new__(_Own, text)


def _printed(text: str, printed: str) -> str:
    made = _Printed(text)
    made.printed = printed
    return made


@jinja2.pass_context  # so that constants are not finalized when the template is compiled
def _finalize(_context: Context, value: Any) -> str:
    return _print(value)


def _print(value: Any) -> str:
    filling = _FILLING.get()
    if isinstance(value, _Printed):
        return value.printed
    if isinstance(value, _Own):
        return value
    if isinstance(value, Undefined) or value is None:
        return str(value)  # the undefined raises; None is the word, as it always was
    if type(value) in (bool, int):
        return str(value)
    filling.budget.work(size_of(value))
    if isinstance(value, float | list | dict):
        return filling.mark_value(plain(value, filling, null="None"), filling.text(str(value)))
    return filling.mark_text(str(value))


def _tojson(value: Any, indent: int | None = None) -> str:
    if isinstance(value, Undefined):
        str(value)
    filling = _FILLING.get()
    filling.budget.work(size_of_call("tojson", value, (indent,), {}))
    whole = plain(value, filling, null=None)
    text = str(jinja2.utils.htmlsafe_json_dumps(whole, indent=indent, sort_keys=True))
    return _printed(text, filling.mark_value(whole, text))


@jinja2.pass_environment
def _join(
    environment: jinja2.Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None
) -> str:
    """As the built-in one; a separator of the template's own stays part of the YAML."""
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    items = list(value)
    _FILLING.get().budget.work(size_of_call("join", d, (items,), {}))
    text = str(d).join(map(str, items))
    if d and not isinstance(d, _Own):
        return text
    return _printed(text, str(d).join(map(_print, items)))


def _joined(items: list[Any]) -> str:
    """What ``~`` makes; what is the template's own of it stays part of the YAML."""
    _FILLING.get().budget.work(size_of(items))
    return _printed("".join(map(str, items)), "".join(map(_print, items)))


def _formatted(text: str, kind: str, made: str, args: Sequence[Any], named: Mapping[str, Any]) -> str:
    """``made`` of a text and values; where the text is the template's own and puts them in as they are, it stays so."""
    if not isinstance(text, _Own) or _FILLING.get().has_marks(text):
        return made
    form = str(text)
    if not named and _BY_PLACE[kind].fullmatch(form):
        parts = [value if isinstance(value, int) else _print(value) for value in args]
        return _printed(made, form.format(*parts) if kind == "{" else form % tuple(parts))
    if named and _BY_NAME[kind].fullmatch(form):
        by_name = {key: value if isinstance(value, int) else _print(value) for key, value in named.items()}
        return _printed(made, form.format(**by_name) if kind == "{" else form % by_name)
    return made


def _turns(items: Any) -> Turns:
    return Turns(items, _FILLING.get().budget)


def _with_origin(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, whose result is the template's own words where all that goes into it is."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def with_origin(*args: Any, **kwargs: Any) -> Any:
        value = args[skipped] if len(args) > skipped else None
        _FILLING.get().budget.work(size_of_call(name, value, args[skipped + 1 :], kwargs))
        if isinstance(value, _Own | _Printed) and name in _UNCHANGING:
            return value
        before, inputs = args[:skipped], args[skipped + 1 :]
        is_own = all(item is None or isinstance(item, _Own | bool | int) for item in (*inputs, *kwargs.values()))
        if isinstance(value, _Printed) and name in _SHAPING and is_own:
            return _printed(function(*args, **kwargs), function(*before, value.printed, *inputs, **kwargs))
        if isinstance(value, str) and not isinstance(value, _Own) and name == "indent" and is_own:
            return _indented(str(function(*args, **kwargs)), *inputs, **kwargs)
        if not isinstance(value, _Own):
            return function(*args, **kwargs)
        if name == "format":
            return _formatted(value, "%", str(function(*args, **kwargs)), inputs, kwargs)
        filling = _FILLING.get()
        if filling.has_marks(value) and name not in _SHAPING:
            is_own = False
            args = (*before, filling.text(value), *inputs)
        result = function(*args, **kwargs)
        return _own(result) if is_own and type(result) is str else result

    return with_origin


def _indented(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """An argument, which the filter ``indent`` has made ``text``: in a block of YAML the spaces are the block's own."""
    spaces = " " * width if isinstance(width, int) else width
    begin = spaces if first else ""
    return _printed(text, begin + _FILLING.get().mark_text(text.removeprefix(begin), len(spaces)))


@jinja2.pass_context
def _literal(_context: Context, value: str) -> str:
    return _own(value)


class _Joiner(Joiner):
    """As the built-in one; the nothing before the first item is the template's own, so that it leaves no mark."""

    def __call__(self) -> str:
        return super().__call__() or _own("")


class _Marked(NodeTransformer):
    """Marks string literals as the template's own words, and what loops go through as turns that are counted."""

    def visit_Const(self, node: nodes.Const) -> nodes.Expr:  # noqa: N802
        return _filtered(node, _OWN) if isinstance(node.value, str) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _JOINED)

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(cast(nodes.Expr, node.iter), _TURNS)
        return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _LineMarks(NodeTransformer):
    """Writes into the template's own text, where a line begins, which one that is."""

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.TemplateData:  # noqa: N802
        first, *others = node.data.split("\n")
        marked = "".join(f"\n\ue002{node.lineno + at}\ue003{text}" for at, text in enumerate(others, 1))
        return nodes.TemplateData(first + marked, lineno=node.lineno)


class _Generator(CodeGenerator):
    """Prints what ``call`` and ``filter`` blocks give like any other value; Jinja2 itself lets it through."""

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:  # noqa: N802
        call_frame, macro = self.macro_body(node, frame)
        self.writeline("caller = ")
        self.macro_def(macro, call_frame)
        self.start_write(frame, node)
        self.write("environment.finalize(context, ")
        self.visit_Call(node.call, frame, forward_caller=True)
        self.write(")")
        self.end_write(frame)

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> None:  # noqa: N802
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.start_write(frame, node)
        self.write("environment.finalize(context, ")
        self.visit_Filter(node.filter, inner)
        self.write(")")
        self.end_write(frame)
        self.leave_frame(inner)


def _concat(parts: Iterable[str]) -> str:
    """The output of a macro, a block, or all."""
    written, kept = Characters(RENDERED), []
    for part in parts:
        written.take(len(part))
        kept.append(part)
    return _own("".join(kept))


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Generator
    concat = staticmethod(_concat)
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Marked().visit(super()._parse(source, name, filename))
        return parsed

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _FILLING.get().budget.work(size_of_operation(operator, left, right))
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return _joined([left, right])
        made = super().call_binop(context, operator, left, right)
        if operator == "%" and isinstance(left, str):
            if isinstance(right, Mapping):
                return _formatted(left, "%", made, (), right)
            return _formatted(left, "%", made, right if isinstance(right, tuple) else (right,), {})
        return made

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        method = getattr(function, "__wrapped__", function)  # str.format comes wrapped by the sandbox
        name, owner = getattr(method, "__name__", ""), getattr(method, "__self__", None)
        size = 0
        named = {
            key: value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars")
        }  # Jinja2's own
        if isinstance(owner, str | bytes | int):
            if name == "join" and args:
                args = (list(args[0]), *args[1:])
            size = size_of_call(name, owner, args, named)
        _FILLING.get().budget.work(size)
        made = super().call(context, function, *args, **kwargs)
        return _formatted(owner, "{", made, args, named) if name == "format" and isinstance(owner, str) else made


def _range(*args: int) -> range:
    numbers = safe_range(*args)
    _FILLING.get().budget.work(len(numbers))
    return numbers


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    _FILLING.get().budget.work(n * max * 10)
    return generate_lorem_ipsum(n, html, min, max)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, finalize=_finalize, loader=jinja2.DictLoader({}))
    for name, function in FILTERS.items():
        environment.filters[name] = _with_origin(name, function)
    environment.globals |= {"joiner": _Joiner, "range": _range, "lipsum": _lipsum}
    environment.filters |= {"tojson": _tojson, "join": _join, _OWN: _literal, _TURNS: _turns, _JOINED: _joined}
    return environment


_ENVIRONMENT = _environment()


class Template:
    """One template of a manifest; safe to use from several threads.

    Raises:
        TemplateError: its syntax is wrong.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            parsed = _ENVIRONMENT.parse(source)
            self._variables = meta.find_undeclared_variables(parsed) - _ENVIRONMENT.globals.keys()
            self.has_branches = any(parsed.find(kind) is not None for kind in (nodes.If, nodes.For, nodes.CondExpr))
            """Whether what it gives may be another thing for other arguments."""
            code = _ENVIRONMENT.compile(parsed)
            self._template = jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))
        except TemplateSyntaxError as error:
            raise TemplateError(error.lineno, str(error.message)) from error
        except RecursionError:
            raise TemplateError(None, "the template is nested too deeply") from None

    @property
    def variables(self) -> frozenset[str]:
        """The names that arguments are given by, those with a default among them."""
        return frozenset(self._variables)

    def required(self) -> list[str]:
        """The variables without which it can't be rendered, as far as can be told without knowing their values."""
        token = _FILLING.set(Filling())
        try:
            self._text({})
        except MissingArgument as error:
            return list(error.names)
        except (ArgumentError, DefinitionError):
            pass
        finally:
            _FILLING.reset(token)
        return []

    def render(self, arguments: Mapping[str, Any] | None = None) -> Any:
        """The YAML document that the template and the arguments make.

        Raises:
            MissingArgument: an argument without a default was not given.
            ArgumentError: an argument does not fit where it is used.
            DefinitionError: the result is not one YAML document, or the template does what it may not.
        """
        given = dict(arguments or {})
        filling = Filling()
        token = _FILLING.set(filling)
        try:
            return filling.parse(self._text(given))
        finally:
            _FILLING.reset(token)

    def compose(self, arguments: Mapping[str, Any]) -> tuple[Node | None, list[int]]:
        """The tree of the document and, for each of its lines, that of the template from which it came, from 1.

        Raises the same as :meth:`render`.
        """
        parsed = _LineMarks().visit(_ENVIRONMENT.parse(self.source))
        code = _ENVIRONMENT.compile(parsed)
        marked = jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))
        filling = Filling()
        token = _FILLING.set(filling)
        try:
            text = self._text(arguments, marked)
        finally:
            _FILLING.reset(token)
        lines = [1]
        for line in text.split("\n")[1:]:
            found = _LINE.search(line)
            lines.append(int(found[1]) if found is not None else lines[-1])
        return filling.compose(_LINE.sub("", text)), lines

    def _text(self, given: Mapping[str, Any], template: jinja2.Template | None = None) -> str:
        try:
            return (template or self._template).render(given)
        except UndefinedError as error:
            raise MissingArgument(str(error), self._missing(given, error)) from error
        except (SecurityError, TemplateNotFound) as error:
            raise DefinitionError(f"the template does what it may not: {error}") from error
        except (DefinitionError, ArgumentError):
            raise
        except Exception as error:  # whatever an operation of the template raises for these arguments
            raise ArgumentError(f"the template can't use these arguments: {error}") from error

    def _missing(self, given: Mapping[str, Any], error: UndefinedError) -> list[str]:
        """All variables that the template asks for but that were not given, as far as it gets with a word for each."""
        missing: list[str] = []
        while (found := _UNDEFINED.fullmatch(str(error))) and found[1] not in missing:
            missing.append(found[1])
            try:
                self._template.render({**given, **dict.fromkeys(missing, "x")})
            except UndefinedError as next_error:
                error = next_error
            except Exception:  # noqa: BLE001 - a word is not what it needs there
                break
            else:
                break
        return missing
