"""Logs that are followed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from lando.definitions.http import patient

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
    given_back: list[bool] = []
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

        await patient.FollowedLog(log, lambda: False, lambda: given_back.append(True))(
            {"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send
        )

    asyncio.run(asyncio.wait_for(follow(), WAIT_S))

    assert [message.get("body") for message in sent][1] == b"one\n"
    assert log.closed.is_set()
    assert given_back == [True]


def test_a_followed_log_ends_when_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "STOP_LOOK_S", 0.001)
    log: Any = Silent()
    sent: list[Any] = []

    async def follow() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        await patient.FollowedLog(log, lambda: len(sent) > 1, lambda: None)(scope, receive, send)

    asyncio.run(asyncio.wait_for(follow(), WAIT_S))

    assert [message.get("body") for message in sent[1:]] == [b"one\n", b""]
    assert log.closed.is_set()
