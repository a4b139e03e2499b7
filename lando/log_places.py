"""How far the log of a container was told, where one that broke off has to be read from its beginning again."""

from __future__ import annotations


class LogPlace:
    """Asked line by line; after each :meth:`begin` the log comes from its beginning.

    A log that begins as before has the same lines, so these are counted. One that begins otherwise lost its beginning
    meanwhile: of it is new what is later than all that was told. Lines without times are always counted.
    """

    def __init__(self) -> None:
        self._known = 0
        self._at = 0
        self._first: str | None = None
        self._last: str | None = None
        self._is_same = True

    def begin(self) -> None:
        self._at = 0

    def is_new(self, time: str | None) -> bool:
        """Whether the next line, which was written at ``time`` (RFC 3339), is to be told."""
        self._at += 1
        if self._at == 1:
            self._is_same = self._known == 0 or None in (time, self._first) or time == self._first
            if not self._is_same:
                self._known = 0
            self._first = time
        if self._at <= self._known:
            return False
        self._known = self._at
        if not self._is_same and time and self._last and _comparable(time) <= _comparable(self._last):
            return False
        self._last = time
        return True


def _comparable(time: str) -> tuple[str, str]:
    """Of Kubernetes' times, which leave out zeros at the end."""
    seconds, _, fraction = time.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
