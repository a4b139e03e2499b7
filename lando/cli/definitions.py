"""Jobs from the server's definitions: listed, made, followed to their end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from lando.cli.definition_following import awaited, follow, left_running
from lando.cli.options import connect
from lando.direct.events import Outcome
from lando.errors import Conflict, InputError, NotFound, Rejected
from lando.logs import plain


def show(url: str | None, token: str | None, *, as_json: bool) -> None:
    """Print the definitions."""
    with connect(url, token) as client:
        found = client.definitions.by_name()
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    width = max(map(len, found), default=0)
    for name, definition in sorted(found.items()):
        typer.echo(plain(f"{name:{width}}  {' '.join(_arguments(definition))}".rstrip()))
    if not found:
        typer.echo("no definitions")


def run(
    url: str | None,
    token: str | None,
    definition: str,
    arguments: Sequence[str],
    *,
    waiting: bool,
    following: bool,
    key: str | None,
    as_json: bool,
) -> int:
    """Make the Job, follow it; returns the exit code, one of those of ``lando phases run``."""
    with connect(url, token) as client:
        try:
            values = read_arguments(arguments, client.definitions.by_name().get(definition) or {})
            name = client.definitions.make_job(definition, values, key=key)
        except (InputError, NotFound, Conflict, Rejected) as error:
            said = str(error).removeprefix(f"{getattr(error, 'peer', '')}: ")
            typer.echo(f"lando: {plain(said)}", err=True)
            return Outcome.REFUSED.value
        if not waiting:
            typer.echo(json.dumps({"job_name": name}) if as_json else name)
            return Outcome.COMPLETE.value
        if not as_json:
            typer.echo(name, err=following)
        try:
            with left_running(name):
                if following:  # with --json standard output is for the one document
                    follow(client, name, out=sys.stderr if as_json else None)
                job = awaited(client, name, is_quiet=as_json or following)
        except NotFound:
            typer.echo(f"lando: The Job {plain(name)} was deleted before it had ended.", err=True)
            return Outcome.FAILED.value
    is_complete = job["state"] == "Complete"
    if as_json:
        typer.echo(json.dumps(job, ensure_ascii=False))
    else:
        for line in _ending(job, log_was_shown=following):
            typer.echo(plain(line), err=following or not is_complete)
    return Outcome.COMPLETE.value if is_complete else Outcome.FAILED.value


def read_arguments(texts: Sequence[str], definition: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``KEY=VALUE`` and ``KEY:=JSON``, of the types that the definition declares.

    Raises InputError for what is neither.
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
        try:
            values[name] = json.loads(value) if is_json or not _is_text(value, properties.get(name)) else value
        except ValueError as error:
            if is_json:
                raise InputError(f"{text!r}: what comes after := is no JSON.") from error
            values[name] = value  # the server says what it should have been
    return values


def _is_text(value: str, schema: Any) -> bool:
    """Whether ``KEY=VALUE`` means the text itself; else what it is as JSON."""
    if not isinstance(schema, Mapping):
        return True
    if isinstance(choices := schema.get("enum"), list):
        return value in choices
    kinds = schema.get("type")
    return kinds is None or "string" in ([kinds] if isinstance(kinds, str) else kinds)


def _arguments(definition: Mapping[str, Any]) -> Iterator[str]:
    schema = definition.get("arguments")
    if schema is None:
        yield f"can't be used: {definition.get('error')}"
        return
    required = schema.get("required") or ()
    for name, about in (schema.get("properties") or {}).items():
        about = about if isinstance(about, Mapping) else {}
        kinds = about.get("type", "")
        kind = kinds if isinstance(kinds, str) else "|".join(kinds)
        default = f"={json.dumps(about['default'], ensure_ascii=False)}" if "default" in about else ""
        yield f"{name}{'*' if name in required else ''}{':' if kind else ''}{kind}{default}"


def _ending(job: Mapping[str, Any], *, log_was_shown: bool) -> Iterator[str]:
    cause = job.get("cause") or {}
    yield " ".join(filter(None, [f"{job['state']}:" if cause else job["state"], cause.get("sentence")]))
    if cause.get("advice"):
        yield str(cause["advice"])
    if cause.get("log_tail") and not log_was_shown:
        yield from (f"  {line}" for line in str(cause["log_tail"]).rstrip("\n").split("\n"))
