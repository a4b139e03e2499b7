"""Requests and answers as HTTP: bodies read with a limit, JSON written, streams that notice when nobody listens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from starlette.datastructures import Headers, QueryParams
from starlette.types import Message, Receive, Scope, Send

from lando.local.http import protobuf_objects
from lando.local.rules import status

MAX_BODY_BYTES = 3 * 1024 * 1024
"""As the real API server has it."""
JSON = "application/json"
YAML = "application/yaml"
_BODY_TYPES = (JSON, YAML)
_ACCEPTABLE = ("application/json", "application/*", "*/*")


@dataclass(frozen=True)
class Answer:
    """A complete response; ``body`` is sent as it is."""

    code: int
    body: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Streaming:
    """A response whose chunks come as they come; closed when the client goes."""

    chunks: AsyncGenerator[bytes, None]
    media_type: str = JSON


def json_answer(code: int, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """``document`` as JSON."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return Answer(code, body, headers=headers or {})


def text_answer(code: int, text: str) -> Answer:
    return Answer(code, text.encode(), "text/plain; charset=utf-8")


class Request:
    """One request of the ASGI server."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = Headers(scope=scope)
        self.query = QueryParams(scope["query_string"])

    @property
    def media_type(self) -> str:
        """The body's media type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def check_acceptable(self) -> None:
        """ApiError 406 unless the client takes JSON."""
        accept = self.headers.get("accept", "")
        wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
        if accept and not any(part in _ACCEPTABLE for part in wanted):
            raise status.not_acceptable()

    async def body(self) -> bytes:
        """The whole body; ApiError 413 over the limit."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
            raise status.too_large(MAX_BODY_BYTES)
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError("the client went before its request was complete")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise status.too_large(MAX_BODY_BYTES)
            more = message.get("more_body", False)
        return b"".join(parts)

    async def document(self, *, patch: bool = False) -> Any:
        """The body, decoded from JSON, YAML or what kubectl sends as Protocol Buffers; None when it is empty.

        Raises ApiError 400, 413 and 415.
        """
        media_type, body = self.media_type, await self.body()
        if not body:
            return None
        if not patch and media_type == protobuf_objects.MEDIA_TYPE:
            return protobuf_objects.decode(body)
        if not patch and media_type not in ("", *_BODY_TYPES):
            raise status.unsupported_media_type(_BODY_TYPES)
        try:
            document: Any = yaml.safe_load(body) if media_type == YAML else json.loads(body)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            problem = str(error).splitlines()[0]
            raise status.bad_request(f"the body of the request can't be decoded: {problem}") from None
        return document


async def send_answer(answer: Answer, send: Send) -> None:
    headers = {
        "content-type": answer.media_type,
        "content-length": str(len(answer.body)),
        "cache-control": "no-cache, private",
        **answer.headers,
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.code, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


async def send_stream(streaming: Streaming, receive: Receive, send: Send) -> None:
    """Send chunks until there are no more, or until the client goes: then the stream is closed at once."""
    headers = [(b"content-type", streaming.media_type.encode()), (b"cache-control", b"no-cache, private")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    sending = asyncio.create_task(_send_chunks(streaming.chunks, send))
    listening = asyncio.create_task(_until_disconnect(receive))
    try:
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            with contextlib.suppress(OSError):
                sending.result()
    finally:
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)
        # Ended while a chunk was on its way, it would only close when it is collected: some time, or never.
        await streaming.chunks.aclose()


async def _send_chunks(chunks: AsyncGenerator[bytes, None], send: Send) -> None:
    # The headers go out before the first event does: a watcher learns that it is connected.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnect(receive: Receive) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return
