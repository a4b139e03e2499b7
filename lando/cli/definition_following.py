"""A Job of a definition while it runs: what its containers write, and what it waits for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import typer

from lando.cli.definition_rendering import Prefix
from lando.client import LandoClient
from lando.client.definitions import is_over
from lando.errors import InputError, Rejected, Unavailable
from lando.logs import plain


def awaited(client: LandoClient, name: str, *, is_quiet: bool) -> dict[str, Any]:
    """The Job when it has ended; what it waits for meanwhile is told as often as that changes, unless ``is_quiet``."""
    told = ""
    for job in client.definitions.await_job(name):
        waits_for = str((job.get("cause") or {}).get("sentence") or "")
        if not is_quiet and not is_over(job) and waits_for not in ("", told):
            _say_wait(waits_for)
            told = waits_for
    return job


def follow(
    client: LandoClient,
    name: str,
    *,
    pod: str | None = None,
    container: str | None = None,
    out: TextIO | None = None,
    as_json: bool = False,
) -> None:
    """Copy to ``out`` (standard output unless given) what the Job's containers write, until it has ended.

    With several containers each line begins with its source. ``as_json`` copies the API's entries, one on a line.
    Raises InputError for a ``pod`` or ``container`` that is none of the Job's, as soon as that is known.
    """
    out = out or sys.stdout
    has_pod = pod is None
    sources: set[tuple[str, str]] = set()
    prefix = Prefix(name, is_shown=False)
    for entry in client.definitions.follow_job(name, pod=pod, container=container):
        if "containers" in entry:
            has_pod = True
            if container is not None and not entry["containers"]:
                raise InputError(f"The pod {entry['pod']} has no container {container!r}.")
        if as_json:
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
        elif "line" in entry:
            sources.add((entry["pod"], entry["container"]))
            prefix.is_shown = len(sources) > 1
            out.write(f"{prefix(entry['pod'], entry['container'])}{entry['line']}\n")
        elif "containers" in entry:
            sources |= {(entry["pod"], one) for one in entry["containers"]}
        elif "waits" in entry:
            _say_wait(entry["waits"])
        elif "lost" in entry:
            where = plain(f"{entry['pod']}/{entry['container']}")
            typer.echo(f"The log of {where} can't be had: {plain(entry['lost'])}", err=True)
        out.flush()
    if not has_pod:
        raise InputError(f"The Job {name} had no pod {pod!r}.")


@contextmanager
def left_running(name: str) -> Iterator[None]:
    """Around what ends by Ctrl-C, or with the server out of reach, but not with the Job: how to go on is said."""
    go_on = f"follow it with: lando definitions logs {plain(name)} --follow"
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"The Job goes on; {go_on}", err=True)
        raise
    except (Unavailable, Rejected):
        typer.echo(f"How the Job goes on is not known; {go_on}", err=True)
        raise


def _say_wait(sentence: str) -> None:
    typer.echo(f"waits for: {plain(sentence)}", err=True)
