"""``lando definitions jobs``, ``show``, ``logs``, ``delete``: what became of Jobs that were made."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer

from lando.cli import USAGE, definition_rendering, rendering
from lando.cli.definition_following import follow, left_running
from lando.cli.options import connect
from lando.cli.printing import print_json, print_lines
from lando.client import LandoClient
from lando.errors import InputError, NotFound
from lando.logs import plain

MAX_JOBS = 10_000
"""That are listed at most."""


def jobs(url: str | None, token: str | None, definition: str | None, *, limit: int, as_json: bool) -> None:
    """List the newest ``limit`` Jobs, the newest last."""
    with connect(url, token) as client:
        found, is_more = client.definitions.jobs(definition, limit)
    found.reverse()
    if as_json:
        print_json(found)
    elif not found:
        typer.echo(f"no Jobs of {plain(definition)}" if definition else "no Jobs")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in definition_rendering.table(found, rendering.utc_now(), width):
            typer.echo(line)
    if is_more:
        hint = f"; --limit {min(limit * 10, MAX_JOBS)} shows more" if limit < MAX_JOBS else ""
        typer.echo(f"There are older ones{hint}.", err=True)


def show(url: str | None, token: str | None, name: str, *, as_json: bool) -> None:
    """All there is to say about one Job."""
    with connect(url, token) as client, suggesting(client, name):
        job = client.definitions.job(name)
        told = client.definitions.job_events(name)
    if as_json:
        print_json({**job, **told})
    else:
        print_lines(definition_rendering.job(job, told, rendering.utc_now()))


def logs(
    url: str | None,
    token: str | None,
    name: str,
    *,
    pod: str | None,
    container: str | None,
    limit: int,
    following: bool,
    as_json: bool,
) -> None:
    """The last lines of each container, or of those that are named; or all of them, to the Job's end."""
    with connect(url, token) as client, suggesting(client, name):
        if following:
            with left_running(name):
                follow(client, name, pod=pod, container=container, as_json=as_json)
            return
        found = _picked(client.definitions.job_logs(name, limit), name, pod, container)
    if as_json:
        print_json(found)
        return
    sources = [(pod, container, lines) for pod, logs in found.items() for container, lines in logs.items()]
    prefix = definition_rendering.Prefix(name, is_shown=len(sources) > 1)
    longest = 0
    for one, other, lines in sources:
        shown = lines[:-1] if lines[-1:] == [""] else lines
        longest = max(longest, len(shown))
        for line in shown:
            sys.stdout.write(f"{prefix(one, other)}{line}\n")
    sys.stdout.flush()
    if longest >= limit:
        typer.echo(f"There may be earlier lines than the last {limit}; --limit or --follow shows more.", err=True)
    if not any(lines != [""] for _, _, lines in sources):
        typer.echo(f"{plain(name)} has no log yet, or none was kept; 'lando definitions show' says more", err=True)


def delete(url: str | None, token: str | None, names: Sequence[str], *, as_json: bool) -> int:
    """Delete each that is there; returns the exit code."""
    deleted: list[str] = []
    with connect(url, token) as client:
        for name in dict.fromkeys(names):
            try:
                with suggesting(client, name):
                    client.definitions.delete_job(name)
            except InputError as error:
                typer.echo(f"lando: {error}", err=True)
                continue
            deleted.append(name)
            if not as_json:
                typer.echo(f"{plain(name)} is being deleted")
    if as_json:
        print_json(deleted)
    return 0 if len(deleted) == len(set(names)) else USAGE


@contextmanager
def suggesting(client: LandoClient, name: str) -> Iterator[None]:
    """Around calls about one Job: InputError where there is none, with the name that may have been meant."""
    try:
        yield
    except NotFound as error:
        meant = closest(name, client.definitions.names())
        hint = f"did you mean {meant!r}?" if meant is not None else "'lando definitions jobs' lists them."
        raise InputError(f"There is no Job {name!r}; {hint}") from error


def closest(name: str, known: Sequence[str]) -> str | None:
    """Which of those ``known`` was meant: one that begins so, or differs little."""
    beginning = [one for one in known if name and one.startswith(name)]
    return next(iter(beginning or difflib.get_close_matches(name, known, n=1)), None)


def _picked(
    found: Mapping[str, Mapping[str, list[str]]], job: str, pod: str | None, container: str | None
) -> dict[str, dict[str, list[str]]]:
    """Of ``pod``, by its name or what comes after the Job's, and of ``container``. Raises InputError for a name
    that is none of them."""
    pods = {one: logs for one, logs in found.items() if pod in (None, one, one.removeprefix(f"{job}-"))}
    if pod is not None and not pods:
        raise InputError(f"The Job {job} has no pod {pod!r}; it has {', '.join(found) or 'none yet'}.")
    picked = {
        one: {name: lines for name, lines in logs.items() if container in (None, name)} for one, logs in pods.items()
    }
    if container is not None and pods and not any(picked.values()):
        names = sorted({name for logs in pods.values() for name in logs})
        raise InputError(f"The Job {job} has no container {container!r}, but {', '.join(names)}.")
    return {one: logs for one, logs in picked.items() if logs}
