"""Calls to a cluster side by side, for whoever makes some and waits for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

AT_A_TIME = 8
"""Calls under way."""

T = TypeVar("T")


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Their answers in order, asked for side by side. Raises the first error there was; begins no call after it."""
    answers: dict[int, T] = {}
    errors: list[Exception] = []
    left = iter(enumerate(calls))
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                at, call = next(left, (None, None))
            if at is None or call is None:
                return
            try:
                answers[at] = call()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised below
                errors.append(error)

    # Daemons: threads of a pool would be waited for when the process ends, however silent the cluster is.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_A_TIME, len(calls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[at] for at in range(len(calls))]
