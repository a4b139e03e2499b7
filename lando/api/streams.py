"""Answers that come bit by bit for as long as somebody listens: kept alive while silent, ended when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator

from starlette.concurrency import run_in_threadpool

KEEP_ALIVE = b"\0"
"""Sent while there is nothing to say, to whoever asked for it: proxies end answers that are silent for long."""
_LOOK_S = 1.0


async def followed(
    pieces: Generator[str, None, None],
    *,
    close: Callable[[], None],
    is_over: Callable[[], bool],
    keep_alive_s: float | None = None,
    look_s: float = _LOOK_S,
) -> AsyncGenerator[bytes, None]:
    """The pieces as they come, each waited for in a thread; ends with them, or soon after ``is_over()``.

    ``close`` may be called from any thread and at any time: it makes whoever waits for the next piece come back. It
    is called when the listener has gone too, so that a silent source holds no thread for nobody.
    """
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    waiting: asyncio.Task[str | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(run_in_threadpool(next, pieces, None))
            done, _ = await asyncio.wait({waiting}, timeout=look_s)
            if done:
                piece, waiting = waiting.result(), None
                if piece is None:
                    return
                if piece:
                    spoke = loop.time()
                    yield piece.encode("utf-8", "replace")
            elif is_over():
                close()
            elif keep_alive_s is not None and loop.time() - spoke >= keep_alive_s:
                spoke = loop.time()
                yield KEEP_ALIVE
    finally:
        close()
        if waiting is None:
            pieces.close()
        else:  # the thread is in the generator: it is ended when that comes back
            waiting.add_done_callback(lambda task: _end(task, pieces))


def _end(task: asyncio.Task[str | None], pieces: Generator[str, None, None]) -> None:
    if not task.cancelled():
        task.exception()  # nobody else will ask for it
    pieces.close()
