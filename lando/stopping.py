"""How a process ends: at the first SIGTERM or SIGINT in order and in time, at the second one at once."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import NoReturn

GRACE_S = 28.0
"""From the first signal to the end at the latest; Kubernetes kills after 30 s unless told otherwise."""

log = logging.getLogger(__name__)


class Stop(threading.Event):
    """Set by a signal; ``number`` says by which, 0 before."""

    number = 0


@contextmanager
def told_to_stop(
    grace_s: float = GRACE_S, *, tells_signal: bool = False, at_once: Callable[[], None] = lambda: None
) -> Iterator[Stop]:
    """An event that the first SIGTERM or SIGINT (Ctrl-C) sets.

    A second one ends the process at once. So does the end of ``grace_s``, whatever is still waited for then: what is
    in hand of a process that ends like that is handed back by those who gave it, as after a crash. Its exit status is
    then 0, or 128 and the signal's number with ``tells_signal``.

    ``at_once`` is called just before a second signal ends the process, inside the signal's handler.
    """
    stop = Stop()
    # Of all ways to wake a thread only this one may be used by a signal's handler, wherever that interrupts the thread
    # it runs in; the lock of an Event may be held just there.
    told: SimpleQueue[int] = SimpleQueue()
    numbers: list[int] = []

    def note(number: int, _frame: object) -> None:
        if numbers:
            at_once()
            os._exit(128 + number)
        numbers.append(number)
        told.put(number)

    def end_in_time() -> None:
        if number := told.get():
            stop.number = number
            stop.set()
            log.info("Stopping on %s", signal.Signals(number).name)
            try:
                told.get(timeout=grace_s)
            except Empty:
                log.warning("Not all has ended in order within %g s; it is left as it is", grace_s)
                leave(128 + number if tells_signal else 0)

    threading.Thread(target=end_in_time, name="stopping", daemon=True).start()
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        if not numbers:  # else the limit, and a second signal, are also for what the caller does at its end
            for number, handler in before.items():
                signal.signal(number, handler)
            told.put(0)


def leave(status: int) -> NoReturn:
    """End the process now, though threads may still wait for peers that do not answer."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
