"""``lando phases submit``: a model and its files to a server, which runs it; then followed to its end."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lando.cli.following import follow
from lando.cli.options import connect
from lando.direct.events import Outcome
from lando.errors import Rejected
from lando.jobernetes import lines
from lando.logs import plain
from lando.submission import phases


def submit(url: str | None, token: str | None, model: str, *, name: str | None, following: bool, as_json: bool) -> int:
    """Pack, send, follow; returns the exit code, one of those of ``lando phases run``."""
    packed, findings = phases.pack(Path.cwd(), model)
    for finding in findings:
        typer.echo(f"{'error  ' if finding.is_error else 'warning'}  {plain(finding)}", err=True)
    if packed is None:
        typer.echo(lines.refusal(model, sum(finding.is_error for finding in findings)), err=True)
        return Outcome.REFUSED.value
    with connect(url, token) as client:
        try:
            made = client.submit_phases(packed.model, packed.files, name=name)
        except Rejected as error:
            said = str(error).removeprefix(f"{error.peer}: ").splitlines()
            typer.echo("\n".join(["lando: " + plain(said[0]), *map(plain, said[1:])]), err=True)
            return Outcome.REFUSED.value
        run = made
        if as_json:
            for run in client.follow(made.id) if following else [made]:
                typer.echo(json.dumps(run.document, ensure_ascii=False))
        else:
            typer.echo(f'run {made.id} "{made.name}" is submitted; follow it with: lando status {made.id} --watch')
            try:
                run = follow(client, made.id) if following else made
            except KeyboardInterrupt:
                typer.echo(
                    f"Run {made.id} goes on: lando status {made.id} --watch; to end it: lando cancel {made.id}.",
                    err=True,
                )
                raise
    return 0 if run.state == "Finished" or not following else Outcome.FAILED.value
