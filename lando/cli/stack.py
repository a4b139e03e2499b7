"""``lando up`` and ``lando serve``: processes that run until they are told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lando import home as homes
from lando import logs
from lando.cli import FAILED, rendering
from lando.local.node.sandbox import SandboxMode
from lando.stopping import told_to_stop

if TYPE_CHECKING:
    from lando.embedded import EmbeddedStack

STOP_S = 60.0  # until the stack has ended in order
REDRAWS_PER_SECOND = 2.0
LATEST_RUNS = 15  # in the live view


@contextmanager
def told_to_stop_as_interrupt() -> Iterator[None]:
    """SIGTERM ends what is under way as Ctrl-C does, so that everything is cleaned up."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def up(home: Path | None, port: int | None, sandbox: SandboxMode, *, verbose: bool) -> None:
    """Run the stack until a signal, or until a part of it fails."""
    from lando.embedded import EmbeddedStack

    place = homes.find(home)
    place.prepare()
    is_live = sys.stdout.isatty() and not verbose
    with (
        logged_to(place.log if is_live else None),
        told_to_stop(STOP_S) as stop,
        EmbeddedStack(place, port=port, sandbox=sandbox) as stack,
    ):
        logs.configure(level="INFO", stream=sys.stderr, file=place.log if is_live else None, secrets=stack.secrets)
        typer.echo(f"Lando is up at {stack.client.url}; its home is {place.path}.")
        typer.echo("Submit with: lando submit WORKFLOW JOB-ORDER. Ctrl-C stops it; unfinished runs go on next time.")
        if is_live:
            _live_view(stack, stop)
        while not (stop.wait(0.5) or stack.failed.is_set()):
            pass
        failed = stack.failed.is_set()
        typer.echo("Stopping…")
    if failed:
        typer.echo(f"lando: A part of Lando ended by itself; {place.log if is_live else 'the log'} says why.", err=True)
        raise typer.Exit(FAILED)


def serve(config: Path | None, host: str | None, port: int | None, daemons: Path | None) -> None:
    """Run the API server alone until a signal."""
    with told_to_stop() as stop:  # before what takes a while, so that one that is still coming up ends in order, too
        from lando.api import settings as api_settings
        from lando.cli.serving import server_with

        options = {"host": host, "port": port, "daemons_config": str(daemons) if daemons else None}
        settings = api_settings.load(config, options=options)
        with server_with(settings) as server:
            typer.echo(f"The API server is up at {server.url}.", err=settings.log_format == "json")
            while not (stop.is_set() or server.wait(0.5)):
                pass
            ended = not stop.is_set()
    if ended:
        raise typer.Exit(FAILED)


@contextmanager
def logged_to(file: Path | None) -> Iterator[None]:
    """Log to ``file`` for as long as the context lasts, or to standard error without one."""
    logs.configure(level="INFO", stream=sys.stderr, file=file)
    try:
        yield
    finally:
        logs.configure(level="WARNING", stream=sys.stderr)


def _live_view(stack: EmbeddedStack, stop: threading.Event) -> None:
    """The latest runs, redrawn for their times and read when they change, until ``stop`` or a failure."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from lando.client import LandoClient
    from lando.client.views import RunView
    from lando.errors import LandoError

    latest: list[RunView] = []
    trouble: list[str] = []

    def read(client: LandoClient) -> None:
        while not (stop.is_set() or stack.failed.is_set()):
            try:
                for runs in client.follow_runs():
                    latest[:], trouble[:] = runs[-LATEST_RUNS:], []
                return
            except LandoError as error:
                trouble[:] = [str(error)]
                stop.wait(1)

    def picture() -> Text:
        return Text("\n".join([*rendering.runs_table(latest, rendering.utc_now()), *trouble]))

    with (
        LandoClient(stack.client.url, stack.client.token) as client,
        Live(get_renderable=picture, console=Console(highlight=False), refresh_per_second=REDRAWS_PER_SECOND),
    ):
        threading.Thread(target=read, args=(client,), name="live view", daemon=True).start()
        while not (stop.wait(0.5) or stack.failed.is_set()):
            pass
