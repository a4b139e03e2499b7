"""The processes of the two daemons: command line, end, exit status, and who may look at them meanwhile."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from lando import logs
from lando.config import Config, load, log_as_told
from lando.errors import ConfigError
from lando.k8s.health import HealthServer, Part
from lando.k8s.patrol import Patrol
from lando.metrics import Figures
from lando.stopping import told_to_stop

Work = Callable[[threading.Event], None]
"""What a daemon does until it is to stop."""


def main(module: str, argv: Sequence[str] | None, daemon: Callable[[Config], AbstractContextManager[Work]]) -> int:
    """Run what ``daemon`` makes of the configuration until SIGTERM or SIGINT; its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"usage: python -m {module} CONFIG", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure()
    with told_to_stop() as stop, contextlib.ExitStack() as parts:
        try:
            work = parts.enter_context(daemon(load(arguments[0], set_up=log_as_told)))
        except (ConfigError, OSError) as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 2
        work(stop)
    return 0


@contextmanager
def observable(config: Config, daemon: Part, patrol: Patrol, figures: Sequence[Figures]) -> Iterator[None]:
    """Health and figures of ``daemon`` at the configured port, if there is one; ConfigError when it is taken."""
    if config.metrics_port is None:
        yield
        return
    health = HealthServer(config.metrics_port, (daemon, patrol), host=config.metrics_host, figures=figures)
    health.start()
    patrol.start()
    try:
        yield
    finally:
        patrol.stop()
        health.close()
