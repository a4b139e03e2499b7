"""``lando resync``: through the server, or straight from the daemons' file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from lando import config as daemons
from lando.cli.options import connect
from lando.cli.rendering import plain, table
from lando.k8s import upkeep


def resync(file: Path | None, url: str | None, token: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Print what does not fit between runs and objects; unless ``dry_run`` the daemon is asked to mend it."""
    if file is None:
        with connect(url, token) as client:
            found = client.resync(dry_run=dry_run)
    else:
        with upkeep.connected(daemons.load(file)) as here:
            found = [finding.document() for finding in here.resync(dry_run=dry_run)]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in _findings(found, dry_run=dry_run):
        typer.echo(line)


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
