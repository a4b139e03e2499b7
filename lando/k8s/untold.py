"""What a run must not fail for: told or kept where that is possible, counted and logged where not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lando.errors import PeerError
from lando.k8s.metrics import UNTOLD

log = logging.getLogger(__name__)


def harmless(run_id: int, what: str, tell: Callable[[], object]) -> bool:
    """Do ``tell``; an error of the peer is noted as ``what``, and no more. Whether there was none."""
    try:
        tell()
    except PeerError as error:
        UNTOLD.labels(what).inc()
        log.warning("Run %d: the %s could not be told: %s", run_id, what, error)
        return False
    return True
