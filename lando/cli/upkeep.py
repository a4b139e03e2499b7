"""``lando resync`` and ``lando prune``: through the server, or straight from the daemons' file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from lando import config as daemons
from lando.cli.options import asked_by, connect
from lando.cli.rendering import table
from lando.errors import InputError
from lando.k8s import upkeep
from lando.logs import plain
from lando.units import decimal_size, span


def resync(file: Path | None, url: str | None, token: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Print what does not fit between runs and objects; unless ``dry_run`` the daemon is asked to mend it."""
    if file is None:
        with connect(url, token) as client:
            found = client.upkeep.resync(dry_run=dry_run)
    else:
        with _named_in(file) as here:
            found = [finding.document() for finding in here.resync(dry_run=dry_run)]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in _findings(found, dry_run=dry_run):
        typer.echo(line)


@contextmanager
def _named_in(file: Path) -> Iterator[upkeep.Upkeep]:
    """Cluster, API, broker and archive of the daemons' file; which of them is away is told by its name."""
    with upkeep.connected(daemons.load(file)) as here, asked_by(file):
        yield here


def prune(
    file: Path | None,
    url: str | None,
    token: str | None,
    *,
    older_than: str | None,
    keep_logs: bool,
    unknown: Sequence[int],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Print what ended runs hold longer than they need to; unless ``dry_run`` it goes."""
    if unknown and (older_than or keep_logs):
        raise InputError("--unknown goes alone: it is about all that such a run holds, whatever its age.")
    age = span(older_than) if older_than else None
    found: Sequence[Mapping[str, Any]]
    if file is None:
        with connect(url, token) as client:
            found = client.upkeep.prune(older_than=age, logs=not keep_logs, unknown=unknown, dry_run=dry_run)
    else:
        with _named_in(file) as here:
            ours = (
                here.prune_unknown(unknown, dry_run=dry_run)
                if unknown
                else here.prune(older_than=age, with_logs=not keep_logs, dry_run=dry_run)
            )
            found = [one.document() for one in ours]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in _prunable(found, dry_run=dry_run):
        typer.echo(line)


def _prunable(found: Sequence[Mapping[str, Any]], *, dry_run: bool) -> list[str]:
    if not found:
        return ["Nothing is to be removed."]
    rows = [
        (
            str(one["run"]),
            plain(one["state"] or "unknown"),
            plain(one["ended"])[:16].replace("T", " "),
            plain(one["where"]),
            plain(one["what"]),
            decimal_size(one["bytes"]),
        )
        for one in found
    ]
    sizes = dict.fromkeys(("cluster", "archive"), 0)
    for one in found:
        sizes[one["where"]] += one["bytes"]
    runs = len({one["run"] for one in found})
    much = f"{decimal_size(sizes['cluster'])} of volumes and {decimal_size(sizes['archive'])} of logs"
    told = "nothing was removed." if dry_run else "removed, objects by the daemon in a moment."
    summary = f"{runs} run{'' if runs == 1 else 's'} with {much}: {told}"
    return [*table(("RUN", "STATE", "ENDED (UTC)", "WHERE", "WHAT", "SIZE"), rows), summary]


def _findings(found: Sequence[Mapping[str, Any]], *, dry_run: bool) -> list[str]:
    if not found:
        return ["Everything fits: no run needs anything."]
    rows = [
        (str(one["run"]), plain(one["state"] or "unknown"), plain(one["wrong"]), plain(one["remedy"])) for one in found
    ]
    looks = sum(one["mended_by_a_look"] for one in found)
    runs = f"{looks} run{'' if looks == 1 else 's'}"
    told = f"{runs} to be looked at; nothing was done." if dry_run else f"The daemon was asked to look at {runs}."
    return [*table(("RUN", "STATE", "WHAT IS WRONG", "WHAT WILL BE DONE"), rows), told]
