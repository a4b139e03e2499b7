"""The commands about runs; each prints for people, or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import typer

from lando.cli import FAILED, rendering
from lando.cli.following import follow
from lando.cli.options import connect, is_embedded
from lando.cli.printing import print_json, print_lines
from lando.client import LandoClient
from lando.client.views import RunView
from lando.errors import InputError


def submit(
    url: str | None,
    token: str | None,
    workflow: Path,
    job_order: Path,
    *,
    name: str | None,
    priority: int,
    wait: bool,
    as_json: bool,
) -> int:
    """Check, upload, start; returns the exit code."""
    from lando import submission

    with connect(url, token) as client:
        prepared = submission.prepare(workflow, job_order, name=name, runs_here=is_embedded(client))
        run_id = submission.send(client, prepared, priority=priority, progress=lambda line: typer.echo(line, err=True))
        if not as_json:
            typer.echo(f'run {run_id} "{prepared.name}" is submitted; follow it with: lando status {run_id} --watch')
        run = _wait(client, run_id, quiet=as_json) if wait else client.run(run_id)
        if as_json:
            print_json(run.document)
        return _exit_code(run) if wait else 0


def jobs(url: str | None, token: str | None, states: tuple[str, ...], *, as_json: bool) -> None:
    """List the user's runs, newest last."""
    with connect(url, token) as client:
        found = client.runs(states)
    if as_json:
        print_json([run.document for run in found])
    elif not found:
        typer.echo("no runs" if not states else f"no runs in state {' or '.join(states)}")
    else:
        _print(rendering.runs_table(found, rendering.utc_now()))


def status(url: str | None, token: str | None, run_id: int, *, watch: bool, history: bool, as_json: bool) -> int:
    """Show one run or its history, or follow it; returns the exit code."""
    with connect(url, token) as client:
        if not watch:
            run = client.run(run_id)
            if as_json:
                print_json(run.document)
            elif history:
                _print(rendering.history_table(run))
            else:
                print_lines(rendering.tree(run, rendering.utc_now()))
            return 0
        if as_json:
            for run in client.follow(run_id):
                typer.echo(json.dumps(run.document, ensure_ascii=False))
            return _exit_code(run)
        return _exit_code(_wait(client, run_id, quiet=False))


def logs(
    url: str | None, token: str | None, run_id: int, *, step: str | None, attempt: int | None, follow: bool
) -> None:
    """Copy the log to standard output as it comes."""
    with connect(url, token) as client:
        is_empty = True
        for piece in client.logs(run_id, step=step, attempt=attempt, follow=follow):
            sys.stdout.write(piece)
            sys.stdout.flush()
            is_empty = is_empty and not piece
        is_over = is_empty and client.run(run_id).over
    if is_empty:
        which = (f" of {step}" if step else "") + (f", attempt {attempt}" if attempt else "")
        when = ": none was written or kept, or it was pruned" if is_over else " yet"
        typer.echo(f"run {run_id} has no log{which}{when}", err=True)


def cancel(url: str | None, token: str | None, run_id: int) -> None:
    """Ask for a cancel."""
    with connect(url, token) as client:
        client.cancel(run_id)
    typer.echo(f"run {run_id} is being canceled")


def set_priority(url: str | None, token: str | None, run_id: int, priority: int) -> None:
    """Put a run before or behind others that wait for their turn."""
    with connect(url, token) as client:
        client.set_priority(run_id, priority)
    typer.echo(f"run {run_id} has priority {priority}")


def restart(url: str | None, token: str | None, run_id: int, *, wait: bool) -> int:
    """Ask for a restart; returns the exit code."""
    with connect(url, token) as client:
        client.restart(run_id)
        typer.echo(f"run {run_id} is being restarted")
        return _exit_code(_wait(client, run_id, quiet=False)) if wait else 0


def outputs(url: str | None, token: str | None, run_id: int, *, download: Path | None, as_json: bool) -> None:
    """List the results, or save them below ``download``, keeping their paths."""
    with connect(url, token) as client:
        files = client.outputs(run_id)
        if download is not None and files:
            download.mkdir(parents=True, exist_ok=True)
            targets = [(file.path, _target(download, file.path)) for file in files]
            for path, target in targets:
                client.download(run_id, path, target)
    if as_json:
        print_json([{"path": file.path, "size": file.size} for file in files])
    elif not files:
        typer.echo(f"run {run_id} has no results; 'lando status {run_id}' says how it stands")
    elif download is not None:
        typer.echo(f"{len(files)} files saved in {download}")
    else:
        _print(rendering.outputs_table(files))


def _target(folder: Path, path: str) -> Path:
    """Where a result is saved; a server that names a path outside the folder is not obeyed."""
    target = (folder / path).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise InputError(f"The server names a result outside of the folder: {path}.")
    return target


def _wait(client: LandoClient, run_id: int, *, quiet: bool) -> RunView:
    if not quiet:
        return follow(client, run_id)
    for run in client.follow(run_id):
        last = run
    return last


def _exit_code(run: RunView) -> int:
    return 0 if run.state == "Finished" else FAILED


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
