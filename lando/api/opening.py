"""A server opens when its database is there and up to date, in whatever order a site's parts are started."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from lando.api.database import Database
from lando.api.schema_version import HEAD
from lando.errors import LandoError, Unavailable

logger = logging.getLogger(__name__)

PAUSE_S = (0.5, 15.0)
"""First and longest wait between two looks; jittered."""
FIRST_LOOK_S = 5.0
"""How long :meth:`Opening.start` waits for the first look: where all is well, no request comes before it."""


class Opening:
    """Asks the database until it has the schema that this program needs, then starts the parts that work on it."""

    def __init__(self, database: Database, *, starting: Sequence[Callable[[], None]]) -> None:
        self._database = database
        self._starting = starting
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="opening", daemon=True)
        self.waits_for: str | None = None
        """What is waited for, in a sentence; None once the server is open."""

    def start(self) -> None:
        """Begin to ask."""
        self.waits_for = "The database has not answered yet."
        self._thread.start()
        self._looked.wait(FIRST_LOOK_S)

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: it failed to open, and tries no more; None while it does, or has."""
        if self._thread.ident is None or self._thread.is_alive() or self.waits_for is None or self._stop.is_set():
            return None
        return "The server failed to open; its log says why."

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._looked.set()

    def _run(self) -> None:
        try:
            self._open()
        finally:
            self._looked.set()

    def _open(self) -> None:
        pause_s, longest_s = PAUSE_S
        while not self._stop.is_set():
            try:
                version = self._database.require_current()
            except LandoError as error:
                self.waits_for = self._database.unavailable() if isinstance(error, Unavailable) else str(error)
                logger.warning("Not open yet: %s", error)
            except Exception:
                logger.exception("Not open yet")
            else:
                for start in self._starting:
                    start()
                self.waits_for = None
                logger.info(
                    "The database is there, with version %s of its schema; this program was made for %s", version, HEAD
                )
                return
            self._looked.set()
            self._stop.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, longest_s)
