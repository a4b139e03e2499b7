"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from lando.api.changes import Changes
    from lando.api.database import Database
    from lando.api.files import FileStore
    from lando.api.keys import ServerKey
    from lando.api.outbox import Outbox
    from lando.api.settings import Settings
    from lando.archive import Archive

LiveLogs = Callable[[int, str, bool], "Iterator[str] | None"]
"""``(run id, step type, follow)`` to the log of the step's live pod, or None when there is none."""


@dataclass(kw_only=True)
class Site:
    """One server's settings and parts; :attr:`settings` may change once, when the port is known."""

    settings: Settings
    database: Database
    key: ServerKey
    files: FileStore
    outbox: Outbox
    changes: Changes
    archive: Archive | None = None
    live_logs: LiveLogs | None = None


def site_of(request: Request) -> Site:
    """The site that the request's application serves."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]
"""A route's parameter: what the server's routes share."""
