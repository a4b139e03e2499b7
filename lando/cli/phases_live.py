"""The tree of a run, redrawn in place on a terminal; what it looked like at the end stays."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lando.cli.phases_progress import Progress
from lando.cli.phases_tree import headline, outcome, tree
from lando.cli.rendering import Line
from lando.direct.events import Event, JobLog, Problem, Trouble
from lando.jobernetes.lines import said

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from lando.phases.model import Model

REDRAWS_PER_SECOND = 8.0


class LiveTree:
    """Draws a run on ``console`` from its beginning until the context ends; then the whole tree, and how it ended."""

    def __init__(
        self,
        model: Model,
        console: Console,
        *,
        is_changed_remade: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live

        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._progress = Progress(model, clock(), is_changed_remade=is_changed_remade)
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            refresh_per_second=REDRAWS_PER_SECOND,
            vertical_overflow="crop",
            transient=True,
        )

    def tell(self, event: Event) -> None:
        """As of :class:`lando.direct.events.Listener`. What ought to be known besides stays above the tree."""
        if isinstance(event, Problem | Trouble | JobLog):
            for _, line in said(event):
                self._print(Line(line, _style(event)))
            return
        with self._lock:
            self._progress.tell(event, self._clock())

    def called(self, verb: str, kind: str) -> None:
        """To be told of every call to the cluster."""
        with self._lock:
            self._progress.called(verb, kind)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()
        with self._lock:
            width = self._console.size.width
            for line in tree(self._progress, self._clock(), width=width) if self._progress.is_checked else ():
                self._console.print(_text(line), no_wrap=True, overflow="ellipsis")
            for line in outcome(self._progress):
                self._print(line)

    def _print(self, line: Line) -> None:
        self._console.print(line.text, style=line.style, markup=False, soft_wrap=True)

    def _picture(self) -> Text:
        from rich.text import Text

        with self._lock:
            size = self._console.size
            lines = tree(self._progress, self._clock(), size.height - 1, size.width)
        return Text("\n", no_wrap=True, overflow="ellipsis").join(_text(line) for line in lines)


def _style(event: Problem | Trouble | JobLog) -> str:
    if isinstance(event, JobLog):
        return ""
    return "red" if isinstance(event, Problem) and event.finding.is_error else "yellow"


def _text(line: Line) -> Text:
    from rich.text import Text

    return Text(line.text, style=line.style, no_wrap=True, overflow="ellipsis")


def show_cursor() -> None:
    """Give the terminal its cursor back, when the process ends at once; may be called by a signal's handler."""
    os.write(sys.stdout.fileno(), b"\x1b[?25h\n")


@contextmanager
def asking(model: Model) -> Iterator[Callable[[str, str], None]]:
    """While the cluster is asked about each Job of ``model``: how far that is, on a terminal. To be told of each call,
    by verb and kind, from any thread."""
    from rich.console import Console

    progress = Progress(model, time.monotonic())
    lock = threading.Lock()
    with Console(stderr=True, highlight=False).status(headline(progress, progress.began)) as status:

        def called(verb: str, kind: str) -> None:
            with lock:
                progress.called(verb, kind)
                status.update(headline(progress, time.monotonic()))

        yield called
