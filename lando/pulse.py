"""Whether a thread that goes round and round still does: it says so itself, and whoever tells of health asks."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """Of one thread, which calls :meth:`beat` each time it comes round, and :meth:`rest` before a wait without limit.

    ``limit_s`` is more than any round takes whose calls end by their own time-outs.
    """

    def __init__(self, who: str, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._who = who
        self._clock = clock
        self._since: float | None = None

    def beat(self) -> None:
        """It comes round."""
        self._since = self._clock()

    def rest(self) -> None:
        """Nothing is expected of it until it beats again: it waits for something to do, or has ended in order."""
        self._since = None

    def wrong(self) -> str | None:
        """That it hangs, in a sentence; None while it goes round or rests."""
        if (since := self._since) is None or (silent_s := self._clock() - since) <= self.limit_s:
            return None
        return f"{self._who} hangs: it has not come round for {silent_s:.0f} s."
