"""Names for the shell to complete, from the server; none where it does not answer at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from lando.cli.options import connect
from lando.client import LandoClient
from lando.errors import LandoError

TIMEOUT_S = 1.0
"""People wait for it with a finger on the key."""


def definitions(context: typer.Context, incomplete: str) -> list[str]:
    """Names of definitions."""
    return _known(context, incomplete, lambda client: client.definitions.by_name())


def jobs(context: typer.Context, incomplete: str) -> list[str]:
    """Names of Jobs of definitions."""
    return _known(context, incomplete, lambda client: client.definitions.names())


def _known(context: typer.Context, incomplete: str, ask: Callable[[LandoClient], Iterable[str]]) -> list[str]:
    try:
        with connect(context.params.get("url"), context.params.get("token"), timeout_s=TIMEOUT_S) as client:
            return sorted(name for name in ask(client) if name.startswith(incomplete))
    except (LandoError, OSError):
        return []
