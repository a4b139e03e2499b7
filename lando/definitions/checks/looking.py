"""What definitions name besides their file is looked at in the background, so that mistakes are told before a Job is
asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lando.definitions.config import ReloadingJobDefinitionsRegister

logger = logging.getLogger(__name__)

LOOK_S = 60.0


def look_in_background(register: ReloadingJobDefinitionsRegister, interval_s: float = LOOK_S) -> Callable[[], None]:
    """Look now, whenever the definitions have changed, and every ``interval_s`` seconds. Returns ``stop()``, which does
    not wait for a cluster that is silent."""
    due, stopped = threading.Event(), threading.Event()
    register.on_reload = due.set

    def repeat() -> None:
        while not stopped.is_set():
            due.clear()
            try:
                register.look(stopped.is_set)
            except Exception:
                logger.exception("A look at the definitions failed; the next one comes")
            due.wait(interval_s)

    def stop() -> None:
        stopped.set()
        due.set()

    threading.Thread(target=repeat, name="definitions-look", daemon=True).start()
    return stop
