"""The reference of all settings, written from the dataclasses and the texts under their fields.

``python -m lando.config > docs/configuration.md`` renews the page; a test holds page and code together.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

from lando.config import rules
from lando.config.settings import Config

_INTRODUCTION = """\
# Configuration

<!-- Written by `python -m lando.config`; change lando/config/settings.py instead. -->

The daemons `lando` and `watcher` read one YAML file. `lando config check FILE` says, with file, line and key, what is
wrong with it; with `--strict` it also refuses keys that it does not know (otherwise they are warned of and have no
effect). `k8s.config.sample` is a file to begin with.

A **secret** `x` may stand in the file as `x`, in a file of its own named by `x_file`, or in the environment as
`LANDO_<SECTION>_<KEY>`, which wins. None is ever logged. A file may be replaced while the daemons run, as a mounted
Secret is when a token or password rotates: it is read again when the old one is refused, or for a new connection.
"""

_HEAD = ("| Key | Type | Default | Meaning |", "|---|---|---|---|")


def pages() -> Iterator[str]:
    """The lines of the page."""
    yield from _INTRODUCTION.splitlines()
    yield from _section(Config, "")


def _section(cls: type[Any], prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(cls)
    texts = field_texts(cls)
    fields = dataclasses.fields(cls)
    inner = [(field, _dataclass_in(hints[field.name])) for field in fields]
    yield ""
    yield f"## `{prefix.rstrip('.')}`" if prefix else "## At the top"
    yield ""
    yield _prose(inspect.getdoc(cls) or "")
    rows = [
        _row(field, hints[field.name], texts[field.name], prefix)
        for field, nested in inner
        if nested is None or typing.get_origin(hints[field.name]) is dict
    ]
    if rows:
        yield from ("", *_HEAD, *rows)
    for field, nested in inner:
        if nested is not None:
            yield from _section(nested, f"{prefix}{field.name}{'.<step type>' if field.name == 'steps' else ''}.")


def table(cls: type[Any]) -> Iterator[str]:
    """The keys of one settings class that holds plain values only, as a table of Markdown."""
    hints, texts = typing.get_type_hints(cls), field_texts(cls)
    yield from _HEAD
    for field in dataclasses.fields(cls):
        yield _row(field, hints[field.name], texts[field.name], "")


def _row(field: dataclasses.Field[Any], hint: Any, text: str, prefix: str) -> str:
    notes = [text]
    if "choices" in field.metadata:
        notes.append(f"One of {', '.join(f'`{choice}`' for choice in field.metadata['choices'])}.")
    if "minimum" in field.metadata:
        maximum = field.metadata["maximum"]
        notes.append(f"At least {field.metadata['minimum']}{f', at most {maximum}' if maximum is not None else ''}.")
    if field.metadata.get("secret"):
        notes.append(f"Secret: also `{field.name}_file` or `{rules.environment_name(prefix + field.name)}`.")
    meaning = _prose(" ".join(notes)).replace("|", "\\|")
    return f"| `{field.name}` | {_type(hint)} | {_default(field)} | {meaning} |"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        if field.default_factory is dataclasses.MISSING:
            return "required"
        value = field.default_factory()
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(value)}`" if isinstance(value, list) else f"`{value}`"


def _type(hint: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[1])} by name"
    if dataclasses.is_dataclass(hint):
        return "block"
    return names.get(hint, "value")


def _dataclass_in(hint: Any) -> type[Any] | None:
    for one in (hint, *typing.get_args(hint)):
        if dataclasses.is_dataclass(one):
            return typing.cast("type[Any]", one)
    return None


def _prose(text: str) -> str:
    """Docstring text as one line of Markdown."""
    return " ".join(text.split()).replace("``", "`")


def field_texts(cls: type[Any]) -> dict[str, str]:
    """The text under each field of a settings class."""
    module = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    [body] = [node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__]
    texts: dict[str, str] = {}
    for before, after in itertools.pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            value = after.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts[before.target.id] = value.value
    return texts
