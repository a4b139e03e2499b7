"""Places for requests that last, of which nobody's neighbour takes all."""

from __future__ import annotations

import threading
from collections import Counter

from lando.definitions.signing import JobSigner, UserSigner


class Places:
    """``number`` at a time, of which no user has more than ``each``; who knows everybody's Jobs may have all."""

    def __init__(self, number: int, each: int) -> None:
        self._number = number
        self._each = each
        self._lock = threading.Lock()
        self._taken: Counter[str | None] = Counter()

    def take(self, signer: JobSigner) -> bool:
        """A place for a request about the Jobs of ``signer``; False where there is none."""
        user = _user(signer)
        with self._lock:
            if self._taken.total() >= self._number or (user is not None and self._taken[user] >= self._each):
                return False
            self._taken[user] += 1
            return True

    def give_back(self, signer: JobSigner) -> None:
        user = _user(signer)
        with self._lock:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]

    def taken(self) -> int:
        with self._lock:
            return self._taken.total()


def _user(signer: JobSigner) -> str | None:
    return signer.user if isinstance(signer, UserSigner) and not signer.knows_all else None
