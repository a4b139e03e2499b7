"""What the archive keeps of Jobs goes when it was kept long enough."""

from __future__ import annotations

import logging
import random
import threading
from datetime import UTC, datetime, timedelta

from lando.archive import JobArchive
from lando.errors import Unavailable

logger = logging.getLogger(__name__)

FIRST_S = (60.0, 600.0)
"""After the start, drawn anew so that servers of one site don't come in step."""
INTERVAL_S = (3600.0, 24 * 3600.0)
"""Between passes, each of which lists all that is kept: a tenth of the time that it is kept, within these."""
REST_S = 600.0
"""After a pass that did not come to the end."""


class Retention:
    """Removes from ``archive`` what was kept there longer than ``kept_s`` ago, pass after pass.

    Several servers may do so side by side: what is gone is done, and what was kept anew meanwhile stays.
    """

    def __init__(self, archive: JobArchive, kept_s: float) -> None:
        self._archive = archive
        self._kept_s = kept_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """A pass soon, and one every :data:`INTERVAL_S`, until :meth:`stop`."""
        pause = random.uniform(*FIRST_S)  # noqa: S311 - spreads load, hides nothing
        while not self._stopped.wait(pause):
            pause = self.remove(datetime.now(UTC)) * random.uniform(0.9, 1.1)  # noqa: S311

    def stop(self) -> None:
        """End :meth:`run` after the file in hand, from any thread."""
        self._stopped.set()

    def remove(self, now: datetime) -> float:
        """One pass; the seconds until the next."""
        shortest, longest = INTERVAL_S
        usual = min(max(self._kept_s / 10, shortest), longest)
        try:
            done = self._archive.remove(now - timedelta(seconds=self._kept_s), is_stopped=self._stopped.is_set)
        except Unavailable as error:
            logger.warning("What is kept of Jobs can't be looked through: %s", error)
            return usual
        except Exception:
            logger.exception("What is kept of Jobs could not be looked through")
            return usual
        if done.files or done.failed:
            left = f"; {done.failed} could not be" if done.failed else ""
            logger.info("%d files of Jobs kept longer than %g s are removed%s", done.files, self._kept_s, left)
        return REST_S if done.files and not done.is_whole else usual
