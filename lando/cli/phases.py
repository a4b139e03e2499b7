"""``lando phases run``, ``check``, ``graph`` and ``cleanup``."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer

from lando.cli.phases_json import JsonLines
from lando.cli.phases_live import LiveTree, asking, show_cursor
from lando.cli.rendering import finding_line
from lando.direct import preflight
from lando.direct.cleaning import cleanup
from lando.direct.connecting import connect
from lando.direct.events import Event, Listener, Outcome, Problem
from lando.errors import LandoError, Unavailable
from lando.jobernetes import lines, setup_logging
from lando.jobernetes.running import execute, read_here, refused
from lando.logs import plain
from lando.phases.files import Folder
from lando.phases.graph import mermaid, svg
from lando.phases.model import Finding, Model
from lando.phases.reading import read
from lando.stopping import told_to_stop
from lando.units import count


def run(path: str, kubeconfig: Path | None, context: str | None, *, changed: bool, as_json: bool, plain: bool) -> int:
    """Run a model, told in one of three ways; returns the exit code."""
    if as_json:
        return _run_json(path, kubeconfig, context, changed=changed)
    if plain or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return _run_lines(path, kubeconfig, context, changed=changed)
    return _run_live(path, kubeconfig, context, changed=changed)


def _run_json(path: str, kubeconfig: Path | None, context: str | None, *, changed: bool) -> int:
    with json_lines() as listener:
        model = _read(path, listener)
        if model is None:
            return Outcome.REFUSED.value
        return execute(model, listener, kubeconfig=kubeconfig, context=context, changed=changed)


def _run_lines(path: str, kubeconfig: Path | None, context: str | None, *, changed: bool) -> int:
    with in_sentences():
        setup_logging()
    model, findings = read_here(path)
    lines.problems(path, findings)
    if model is None:
        return Outcome.REFUSED.value
    lines.loaded(model)
    return execute(model, lines.Lines(), kubeconfig=kubeconfig, context=context, changed=changed)


def _run_live(path: str, kubeconfig: Path | None, context: str | None, *, changed: bool) -> int:
    from rich.console import Console

    quiet()
    model, findings = read_here(path)
    if model is None:
        return refusal(path, findings)
    with LiveTree(model, Console(highlight=False), is_changed_remade=changed) as live:
        for finding in findings:
            live.tell(Problem(finding=finding))
        return execute(
            model,
            live,
            kubeconfig=kubeconfig,
            context=context,
            changed=changed,
            on_call=live.called,
            at_once=show_cursor,
        )


def check(path: str, kubeconfig: Path | None, context: str | None, *, offline: bool, as_json: bool) -> int:
    """Print all that is wrong with a model; returns the exit code."""
    quiet()
    model, findings = read_here(path)
    is_asked = model is not None and not offline
    if model is not None and is_asked:
        with (
            in_sentences(),
            asking(model) as on_call,
            connect(model.settings, kubeconfig=kubeconfig, context=context, on_call=on_call) as cluster,
        ):
            findings = [*findings, *preflight.check(model, cluster)]
    if as_json:
        found = [asdict(finding) for finding in findings]
        jobs = sum(1 for _ in model.jobs()) if model is not None else None
        document = {"model": path, "cluster_asked": is_asked, "jobs": jobs, "findings": found}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return Outcome.REFUSED.value if any(finding.is_error for finding in findings) else 0
    if model is None or any(finding.is_error for finding in findings):
        return refusal(path, findings)
    _print(findings)
    whole = f"{count(len(model.phases), 'phase')}, {count(sum(1 for _ in model.jobs()), 'Job')}"
    namespace = model.settings.kubernetes_namespace
    where = f"nothing in namespace {namespace} is in the way" if is_asked else "the cluster was not asked"
    typer.echo(f"{path} can be run: {whole}; {where}.")
    return 0


def graph(path: str, output: Path | None, *, as_svg: bool) -> int:
    """Draw a model; returns the exit code."""
    model, findings = read_here(path)
    if model is None:
        return refusal(path, findings, left="drawn")
    drawn = svg(model) if as_svg else mermaid(model)
    if output is None:
        typer.echo(drawn.rstrip("\n"))
    else:
        try:
            output.write_text(drawn, encoding="utf-8")
        except OSError as error:
            typer.echo(f"lando: {output}: {error.strerror}.", err=True)
            return Outcome.REFUSED.value
    return 0


def clean_up(path: str, kubeconfig: Path | None, context: str | None, *, as_json: bool) -> int:
    """Delete what a model has in the cluster; returns the exit code."""
    if as_json:
        with json_lines() as listener:
            return _clean_up(_read(path, listener, left="removed"), kubeconfig, context, listener)
    quiet()
    model, findings = read_here(path)
    if model is None:
        return refusal(path, findings, left="removed")
    return _clean_up(model, kubeconfig, context, _Said())


def _clean_up(model: Model | None, kubeconfig: Path | None, context: str | None, listener: Listener) -> int:
    if model is None:
        return Outcome.REFUSED.value
    with (
        told_to_stop(tells_signal=True) as stop,
        in_sentences(),
        connect(model.settings, kubeconfig=kubeconfig, context=context) as cluster,
    ):
        return cleanup(model, cluster, listener=listener, stop=stop).value


class _Said:
    """Prints what is told, without the time and level that a log has."""

    def tell(self, event: Event) -> None:
        """As of :class:`lando.direct.events.Listener`."""
        for level, line in lines.said(event):
            typer.echo(line, err=level >= logging.WARNING)


@contextmanager
def json_lines() -> Iterator[JsonLines]:
    """Events on standard output, and nothing else anywhere; that nobody reads them is no error."""
    quiet()
    listener = JsonLines(sys.stdout)
    yield listener
    if not listener.is_read:  # what is still in the buffer has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def in_sentences() -> Iterator[None]:
    """What was foreseen ends the command in a sentence, with the exit codes of phased runs."""
    try:
        yield
    except LandoError as error:
        typer.echo(f"lando: {plain(error)}", err=True)
        outcome = Outcome.UNREACHABLE if isinstance(error, Unavailable) else Outcome.REFUSED
        raise typer.Exit(outcome.value) from error


def quiet() -> None:
    """Libraries log nothing: what they have to say comes as an event or a sentence."""
    logging.getLogger().addHandler(logging.NullHandler())


def _read(path: str, listener: Listener, *, left: str = "created") -> Model | None:
    """The model, its warnings told; None where that refuses it, which is told as well."""
    model, findings = read_here(path)
    if model is None:
        refused(path, findings, listener, left=left)
        return None
    for finding in findings:
        listener.tell(Problem(finding=finding))
    return model


def refusal(path: str, findings: Sequence[Finding], *, left: str = "created") -> int:
    """Print what is wrong with a model that can't be used, and so was not ``left``; returns the exit code."""
    _print(findings)
    typer.echo(lines.refusal(path, sum(finding.is_error for finding in findings), left=left), err=True)
    if (folder := _fitting_folder(Path(path))) is not None:
        typer.echo(f"Paths in a model count from the current folder: start it in {folder}.", err=True)
    return Outcome.REFUSED.value


def _fitting_folder(path: Path) -> Path | None:
    """Another folder, that of the model or the one above, from which all its files are there."""
    if path.is_absolute():
        return None
    places = ((path.parent, Path(path.name)), (Path.cwd().parent, Path(Path.cwd().name, path)))
    return next(
        (folder for folder, model in places if folder != Path() and read(Folder(folder), str(model))[0] is not None),
        None,
    )


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        typer.echo(finding_line(finding, is_error=finding.is_error))
