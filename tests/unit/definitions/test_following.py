"""Logs that are followed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from lando.definitions import router

WAIT_S = 30


class Silent:
    """A log of a program that says one line, and then nothing for as long as it is read."""

    def __init__(self) -> None:
        self.lines = [b"one\n"]
        self.closed = threading.Event()

    def read(self) -> bytes:
        if self.lines:
            return self.lines.pop()
        self.closed.wait(WAIT_S)
        return b""

    def close(self) -> None:
        self.closed.set()


def test_whoever_leaves_ends_the_request_to_the_cluster_and_makes_room() -> None:
    log: Any = Silent()
    sent: list[Any] = []

    async def follow() -> None:
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body") == b"one\n":
                left.set()

        assert router._places.acquire(blocking=False)
        await router._FollowedLog(log)({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(asyncio.wait_for(follow(), WAIT_S))

    assert [message.get("body") for message in sent][1] == b"one\n"
    assert log.closed.is_set()
    assert router._places._value == router.FOLLOWERS  # type: ignore[attr-defined]
