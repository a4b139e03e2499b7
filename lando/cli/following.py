"""Follow a run to its end: redrawn in a terminal, line by line in a pipe."""

from __future__ import annotations

import sys
from typing import TextIO

from lando.cli import rendering
from lando.client import LandoClient
from lando.client.views import RunView

REDRAWS_PER_SECOND = 4.0  # for the running times; the run itself is read when it changes


def follow(client: LandoClient, run_id: int, out: TextIO | None = None) -> RunView:
    """Show the run's progress on ``out`` (standard output unless given) until it is over; returns what became of it."""
    out = out or sys.stdout
    if out.isatty():
        return _redrawn(client, run_id)
    return _line_by_line(client, run_id, out)


def _line_by_line(client: LandoClient, run_id: int, out: TextIO) -> RunView:
    seen: list[RunView] = []
    for run in client.follow(run_id):
        for line in rendering.changes(seen[-1] if seen else None, run):
            print(line, file=out, flush=True)
        seen[:] = [run]
    return seen[-1]


def _redrawn(client: LandoClient, run_id: int) -> RunView:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    latest: list[RunView] = []

    def picture() -> Text:
        lines = rendering.tree(latest[-1], rendering.utc_now()) if latest else ()
        return Text("\n").join(Text(line.text, style=line.style) for line in lines)

    with Live(get_renderable=picture, console=Console(highlight=False), refresh_per_second=REDRAWS_PER_SECOND) as live:
        for run in client.follow(run_id):
            latest[:] = [run]
            live.refresh()
    return latest[-1]
