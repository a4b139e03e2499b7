"""How many Jobs of one user may be unfinished at a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lando.definitions.exceptions import TooManyJobs
from lando.errors import Unavailable

WAIT_S = 60.0
"""For the same user's other requests, which wait for the cluster."""


class Allowance:
    """``per_user`` for each user of one server, whose requests are counted one after the other."""

    def __init__(self, per_user: int) -> None:
        self._per_user = per_user
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._asking: Counter[str] = Counter()

    @contextmanager
    def taken(self, user: str, unfinished: Callable[[], int]) -> Iterator[None]:
        """Within it one Job may be made, which is among the ``unfinished`` ones then.

        Raises TooManyJobs when there are as many as may be, and Unavailable when it takes too long to know.
        """
        with self._turn(user):
            if unfinished() >= self._per_user:
                raise TooManyJobs(
                    f"{self._per_user} Jobs that have not ended are all that a user may have here; wait for one, or "
                    "delete one"
                )
            yield

    @contextmanager
    def _turn(self, user: str) -> Iterator[None]:
        with self._lock:
            self._asking[user] += 1
            turn = self._turns.setdefault(user, threading.Lock())
        try:
            if not turn.acquire(timeout=WAIT_S):
                raise Unavailable("cluster", "other requests of the same user wait for it too long")
            try:
                yield
            finally:
                turn.release()
        finally:
            with self._lock:
                self._asking[user] -= 1
                if not self._asking[user]:
                    del self._asking[user], self._turns[user]
