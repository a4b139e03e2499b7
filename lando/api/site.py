"""What the routes of one server share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import anyio
from fastapi import Depends, Request

from lando.api.files import FileUrls
from lando.api.throttle import Throttle

if TYPE_CHECKING:
    from lando.api.changes import Changes
    from lando.api.database import Database
    from lando.api.files import FileStore
    from lando.api.keys import ServerKey
    from lando.api.notices import Notices
    from lando.api.opening import Opening
    from lando.api.outbox import Outbox
    from lando.api.provider import Provider
    from lando.api.settings import Settings
    from lando.api.storage_rights import StorageRights
    from lando.api.unused_files import UnusedFiles
    from lando.archive import Archive
    from lando.definitions.served.service import Service as DefinitionsService
    from lando.k8s.health import Part
    from lando.k8s.upkeep import Upkeep

THREADS = 80
"""Requests of one server that are worked on at a time."""
MAX_PATIENT = 48
"""Of these, how many may wait for a run to change or for more of a log."""

MAX_DEFINITION_CALLS = 32
"""Of these, how many may be about Jobs of definitions."""

LiveLogs = Callable[[int, str, bool], "Iterator[str] | None"]
"""``(run id, step, follow)`` to the log of the step's live pod, or None when there is none.

What is followed may have ``close()``, called from another thread, which ends it at once."""


@dataclass(kw_only=True)
class Site:
    """One server's settings and parts; :attr:`settings` may change once, when the port is known."""

    settings: Settings
    database: Database
    opening: Opening
    key: ServerKey
    files: FileStore
    outbox: Outbox
    notices: Notices
    unused: UnusedFiles
    changes: Changes
    patience: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_PATIENT))
    """Taken by each request that waits for something to happen, so that those never hold all threads."""
    operators: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))
    """Threads for health and metrics, which nobody else's requests can take."""
    definition_calls: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MAX_DEFINITION_CALLS))
    """Taken by each request about Jobs of definitions: a cluster that is silent must not hold all threads, either."""
    throttle: Throttle = field(default_factory=Throttle)
    provider: Provider | None = None
    rights: StorageRights | None = None
    """Grants what jobs need to read; None where their inputs need no granting."""
    """Where people may sign in with their browsers, if the settings name it."""
    archive: Archive | None = None
    live_logs: LiveLogs | None = None
    definitions: DefinitionsService | None = None
    """Jobs from definitions, where the settings name a file of them; set before the server starts."""
    upkeep: Upkeep | None = None
    """What operators may have done in the cluster; set before the server starts, where the cluster is known."""
    parts: list[Part] = field(default_factory=list)
    """What else runs in this process and is to be answered for: the daemons of ``lando up``."""

    @property
    def urls(self) -> FileUrls:
        """How files of this server are named to users and daemons."""
        return FileUrls(self.settings, self.key)


def site_of(request: Request) -> Site:
    """The site that the request's application serves."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]
"""A route's parameter: what the server's routes share."""
