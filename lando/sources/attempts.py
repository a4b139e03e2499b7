"""Telling our own API which Jobs a run's steps were given to; what could not be told waits for the next telling."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lando.errors import Unavailable
from lando.runs import Attempt, AttemptState
from lando.sources.http import JsonApi

WAITING = 1000
"""Attempts of all runs that wait to be told; the oldest are forgotten first."""
AT_ONCE = 100
"""Attempts that one request tells."""


class AttemptTeller:
    """Tells attempts at least once, as long as this process lives; the API adds each only once.

    Safe to use from several threads.
    """

    def __init__(self, api: JsonApi) -> None:
        self._api = api
        self._waiting: OrderedDict[tuple[int, str], Attempt] = OrderedDict()
        self._lock = threading.Lock()

    def tell(self, run_id: int, attempts: Sequence[Attempt]) -> None:
        """Tell of a run's attempts, and of what else waits.

        Raises Unavailable when that has to wait, and other PeerErrors when this run's can't be told at all.
        """
        self._put(run_id, attempts)
        while self._tell_of(run_id):
            pass
        with self._lock:
            others = dict.fromkeys(run for run, _ in self._waiting)
        for other in others:
            self._tell_of(other)

    def _tell_of(self, run_id: int) -> bool:
        """Tell a first part of what waits of a run; whether there was any."""
        with self._lock:
            keys = [key for key in self._waiting if key[0] == run_id][:AT_ONCE]
            attempts = [self._waiting.pop(key) for key in keys]
        if not attempts:
            return False
        try:
            self._api.request("PUT", f"runs/{run_id}/attempts", {"attempts": [_document(one) for one in attempts]})
        except Unavailable:
            self._put(run_id, attempts)
            raise
        return True

    def _put(self, run_id: int, attempts: Sequence[Attempt]) -> None:
        with self._lock:
            for one in attempts:
                known = self._waiting.get((run_id, one.uid))
                if known is None or known.state is AttemptState.RUNNING:
                    self._waiting[run_id, one.uid] = one
            while len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)


def _document(attempt: Attempt) -> dict[str, Any]:
    cause = attempt.cause
    return {
        "step": attempt.step,
        "attempt": attempt.number,
        "job": attempt.job,
        "uid": attempt.uid,
        "state": attempt.state.value,
        "began": _stamp(attempt.began),
        "ended": _stamp(attempt.ended),
        "category": cause.category.value if cause else None,
        "sentence": cause.sentence if cause else "",
        "exit_code": cause.exit_code if cause else None,
        "volume": {"used": attempt.volume.used, "size": attempt.volume.size} if attempt.volume else None,
    }


def _stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
