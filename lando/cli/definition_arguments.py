"""What is written for a definition's arguments: ``KEY=VALUE``, ``KEY:=JSON``, and either from a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lando.errors import InputError

MAX_BYTES = 1024 * 1024
"""Of a file; a server takes no larger request."""


def read_arguments(texts: Sequence[str], definition: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``KEY=VALUE`` and ``KEY:=JSON``, of the types that the definition declares.

    ``@FILE`` in the place of the value is what the file says, ``@-`` what standard input does; ``@@…`` is ``@…``.
    Raises InputError for what is neither, and for files that can't be read.
    """
    properties = (definition.get("arguments") or {}).get("properties") or {}
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.rstrip(":"):
            raise InputError(f"{text!r} is no argument; write KEY=VALUE, or KEY:=JSON.")
        is_json, name = name.endswith(":"), name.removesuffix(":")
        if name in values:
            raise InputError(f"The argument {name!r} is given twice.")
        source = value if value.startswith("@") and not value.startswith("@@") else None
        value = _read(text, source[1:]) if source is not None else value.removeprefix("@")
        try:
            values[name] = json.loads(value) if is_json or not _is_text(value, properties.get(name)) else value
        except (ValueError, RecursionError) as error:
            if is_json:
                where = f"what {source[1:]} says" if source is not None else "what comes after :="
                raise InputError(f"{text!r}: {where} is no JSON.") from error
            values[name] = value  # the server says what it should have been
    return values


def _read(text: str, file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).expanduser().open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"{text!r}: {file} has more than {MAX_BYTES} bytes; a Job takes no such argument.")
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{text!r}: {file} is no text in UTF-8.") from error
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        hint = "; write @@ for a value that begins with @"
        raise InputError(f"{text!r}: {file or 'a file without a name'} can't be read: {why}{hint}.") from error


def _is_text(value: str, schema: Any) -> bool:
    """Whether ``KEY=VALUE`` means the text itself; else what it is as JSON."""
    if not isinstance(schema, Mapping):
        return True
    if isinstance(choices := schema.get("enum"), list):
        return value in choices
    kinds = schema.get("type")
    return kinds is None or "string" in ([kinds] if isinstance(kinds, str) else kinds)
