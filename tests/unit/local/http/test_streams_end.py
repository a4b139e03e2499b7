"""A stream ends with its client, also while a chunk is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from lando.local.http.exchange import Streaming, send_stream
from starlette.types import Message


def test_a_stream_is_closed_when_its_client_goes_in_the_middle_of_a_chunk() -> None:
    ended: list[str] = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"never taken"
        finally:
            ended.append("closed")

    async def run() -> None:
        on_its_way = asyncio.Event()

        async def send(message: Message) -> None:
            if message.get("body"):
                on_its_way.set()
                await asyncio.Event().wait()  # the client does not read

        async def receive() -> Message:
            await on_its_way.wait()
            return {"type": "http.disconnect"}

        stream = chunks()  # held here, so that nothing is left to the collector
        await asyncio.wait_for(send_stream(Streaming(stream), receive, send), 10)
        assert ended == ["closed"]

    asyncio.run(run())
