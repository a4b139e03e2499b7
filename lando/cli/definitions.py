"""Jobs from the server's definitions: listed, made, followed to their end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from lando.cli.definition_arguments import read_arguments
from lando.cli.definition_following import awaited, follow, left_running
from lando.cli.definition_jobs import closest
from lando.cli.options import connect
from lando.direct.events import Outcome
from lando.errors import ConfigError, Conflict, InputError, NotFound, Rejected
from lando.logs import plain


def show(url: str | None, token: str | None, *, as_json: bool) -> None:
    """Print the definitions."""
    with connect(url, token) as client:
        found = client.definitions.by_name()
        problems = client.definitions.problems()
    for problem in problems:
        typer.echo(f"warning  {plain(problem)}", err=True)
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
    dry_run: bool,
    as_json: bool,
) -> int:
    """Make the Job, follow it; returns the exit code, one of those of ``lando phases run``."""
    try:
        client = connect(url, token)
    except ConfigError as error:
        typer.echo(f"lando: {plain(error)}", err=True)
        return Outcome.REFUSED.value
    with client:
        try:
            if dry_run and waiting:
                raise InputError("--dry-run makes no Job that could be waited for.")
            known = client.definitions.by_name()
            values = read_arguments(arguments, known.get(definition) or {})
            with _suggesting(definition, known):
                name = client.definitions.make_job(definition, values, key=key, dry_run=dry_run)
        except (InputError, NotFound, Conflict, Rejected) as error:
            said = str(error).removeprefix(f"{getattr(error, 'peer', '')}: ")
            typer.echo(f"lando: {plain(said)}", err=True)
            return Outcome.REFUSED.value
        if dry_run:
            typer.echo(json.dumps({"dry_run": True}) if as_json else "The cluster takes it; nothing was made.")
            return Outcome.COMPLETE.value
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
        except Rejected as error:  # a token that ends meanwhile: nobody tells how the Job does
            typer.echo(f"lando: {plain(str(error).removeprefix(f'{error.peer}: '))}", err=True)
            return Outcome.UNREACHABLE.value
    is_complete = job["state"] == "Complete"
    if as_json:
        typer.echo(json.dumps(job, ensure_ascii=False))
    else:
        for line in _ending(job, log_was_shown=following):
            typer.echo(plain(line), err=following or not is_complete)
    return Outcome.COMPLETE.value if is_complete else Outcome.FAILED.value


@contextmanager
def _suggesting(name: str, known: Collection[str]) -> Iterator[None]:
    """Around what may find no definition of that name: then the one is told that may have been meant."""
    try:
        yield
    except NotFound as error:
        meant = closest(name, sorted(known))
        if name in known or meant is None:
            raise
        raise InputError(f"There is no definition {name!r}; did you mean {meant!r}?") from error


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
