"""Templates of manifests: Jinja2 in a sandbox, within limits (:mod:`lando.definitions.templating.limits`).

Its output is the template's own words — text between the tags, string literals, what macros and blocks made of these —
as part of the YAML, and marks of values (:mod:`lando.definitions.templating.printing`,
:mod:`lando.definitions.templating.filling`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Joiner, generate_lorem_ipsum
from jinja2.visitor import NodeTransformer
from yaml.nodes import Node

from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument, TemplateError
from lando.definitions.templating.filling import Filling
from lando.definitions.templating.limits import RENDERED, Characters, size_of_call, size_of_operation
from lando.definitions.templating.printing import (
    FILLING,
    formatted,
    join,
    joined,
    output,
    own,
    tojson,
    turns,
    with_origin,
)

_UNDEFINED = re.compile(r"'(.+)' is undefined")
"""How Jinja2 says that a variable was not given."""
_OWN, _TURNS, _JOINED = (secrets.token_hex() for _ in range(3))
"""Filters of our own, by names that neither a template nor an argument (``map(name)``) can know."""
_LINE = re.compile("\ue002([0-9]+)\ue003")  # characters of the private use area, as the marks of values


@jinja2.pass_context  # so that constants are not finalized when the template is compiled
def _finalize(_context: Context, value: Any) -> str:
    return output(value)


@jinja2.pass_context
def _literal(_context: Context, value: str) -> str:
    return own(value)


class _Joiner(Joiner):
    """As the built-in one; the nothing before the first item is the template's own, so that it leaves no mark."""

    def __call__(self) -> str:
        return super().__call__() or own("")


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
    return own("".join(kept))


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Generator
    concat = staticmethod(_concat)
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Marked().visit(super()._parse(source, name, filename))
        return parsed

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        FILLING.get().budget.work(size_of_operation(operator, left, right))
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return joined([left, right])
        made = super().call_binop(context, operator, left, right)
        if operator == "%" and isinstance(left, str):
            if isinstance(right, Mapping):
                return formatted(left, "%", made, (), right)
            return formatted(left, "%", made, right if isinstance(right, tuple) else (right,), {})
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
        FILLING.get().budget.work(size)
        made = super().call(context, function, *args, **kwargs)
        return formatted(owner, "{", made, args, named) if name == "format" and isinstance(owner, str) else made


def _range(*args: int) -> range:
    numbers = safe_range(*args)
    FILLING.get().budget.work(len(numbers))
    return numbers


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    FILLING.get().budget.work(n * max * 10)
    return generate_lorem_ipsum(n, html, min, max)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, finalize=_finalize, loader=jinja2.DictLoader({}))
    for name, function in FILTERS.items():
        environment.filters[name] = with_origin(name, function)
    environment.globals |= {"joiner": _Joiner, "range": _range, "lipsum": _lipsum}
    environment.filters |= {"tojson": tojson, "join": join, _OWN: _literal, _TURNS: turns, _JOINED: joined}
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
            raise TemplateError(error.lineno, str(error.message).rstrip(".")) from error
        except RecursionError:
            raise TemplateError(None, "the template is nested too deeply") from None

    @property
    def variables(self) -> frozenset[str]:
        """The names that arguments are given by, those with a default among them."""
        return frozenset(self._variables)

    def required(self) -> list[str]:
        """The variables without which it can't be rendered, as far as can be told without knowing their values."""
        token = FILLING.set(Filling())
        try:
            self._text({})
        except MissingArgument as error:
            return list(error.names)
        except (ArgumentError, DefinitionError):
            pass
        finally:
            FILLING.reset(token)
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
        token = FILLING.set(filling)
        try:
            return filling.parse(self._text(given))
        finally:
            FILLING.reset(token)

    def compose(self, arguments: Mapping[str, Any]) -> tuple[Node | None, list[int]]:
        """The tree of the document and, for each of its lines, that of the template from which it came, from 1.

        Raises the same as :meth:`render`.
        """
        parsed = _LineMarks().visit(_ENVIRONMENT.parse(self.source))
        code = _ENVIRONMENT.compile(parsed)
        marked = jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))
        filling = Filling()
        token = FILLING.set(filling)
        try:
            text = self._text(arguments, marked)
        finally:
            FILLING.reset(token)
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
        except TemplateNotFound as error:
            raise DefinitionError(f"the template does what it may not: use another one, {error}") from error
        except SecurityError as error:
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
