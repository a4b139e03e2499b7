"""What happens to every request before its route: path, method, size, pace and content type; and its measure.

Plain ASGI, so that streams pass through untouched.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lando import logs
from lando.api.files import PREFIX
from lando.api.metrics import Metrics

PREFIXES = ("/api/lando/v1", "/api/v2", "/api")
"""Under which families of routes stand, the longer first."""
_SLASHES = re.compile(r"/{2,}")
REQUEST_ID = b"x-request-id"
"""The header with which client and server call one request by the same name."""
_SPEAKABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_HEAD = "lando.head"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS = _WITH_BODY | {"GET", "DELETE", "OPTIONS"}
_JSON = "application/json"
_JSON_RANGES = frozenset({_JSON, "application/*", "*/*"})
OPERATIONS = ("/healthz", "/readyz", "/metrics")
"""Paths that are answered always."""
BODY_IDLE_S = 60.0
"""How long the next part of a body is waited for, in seconds."""


class Doorman:
    """Takes both slash forms, ``HEAD`` wherever there is ``GET``, and refuses bodies that no route should see."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        metrics: Metrics,
        waits_for: Callable[[], str | None] = lambda: None,
        body_idle_s: float = BODY_IDLE_S,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._body_idle_s = body_idle_s
        self._metrics = metrics
        self._waits_for = waits_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _normalised(scope)
        request_id = _request_id(scope)
        with logs.about(request_id=request_id):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]}
            elif scope.get(_HEAD) and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _answer(sending, *refusal)
            else:
                is_json = scope["method"] in _WITH_BODY and not _is_upload(scope)
                if is_json:
                    scope["headers"] = _json_headers(scope)
                await self._app(scope, self._receiving(receive, is_json), sending)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "(other)"
            self._metrics.observe(method, _route(scope), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if (waits_for := self._waits_for()) is not None and scope["path"] not in OPERATIONS:
            return 503, waits_for
        if not _takes_json(scope, headers.get(b"accept", b"")):
            return 406, f"This can only be answered as {_JSON}."
        length = headers.get(b"content-length", b"0")
        if scope["method"] not in _WITH_BODY or _is_upload(scope):
            return None
        if not length.isdigit() or len(length) > 18:
            return 400, "The header Content-Length is no sensible number."
        if int(length) > self._max_body_bytes:
            return 413, f"A body may have at most {self._max_body_bytes} bytes."
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        if (int(length) > 0 or b"transfer-encoding" in headers) and kind != _JSON:
            return 415, f'Unsupported media type "{kind}" in request; send {_JSON}.'
        return None

    def _receiving(self, receive: Receive, is_json: bool) -> Receive:
        """The body as it comes, not too slowly; JSON also not too much of it, and nothing as an empty object."""
        received, is_whole = 0, False

        async def next_part() -> Message:
            nonlocal received, is_whole
            if is_whole:
                return await receive()  # now only the client's going away can come, which may take long
            try:
                async with asyncio.timeout(self._body_idle_s):
                    message = await receive()
            except TimeoutError as error:
                text = f"The rest of the body did not come within {self._body_idle_s:g} s."
                raise HTTPException(408, text, {"Connection": "close"}) from error
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if not is_json:
                return message
            if received > self._max_body_bytes:
                text = f"A body may have at most {self._max_body_bytes} bytes."
                raise HTTPException(413, text, {"Connection": "close"})
            is_empty = is_whole and not received and message["type"] == "http.request"
            return {**message, "body": b"{}"} if is_empty else message

        return next_part


def restore_head(request: Request) -> None:
    """Tell the response that only its head is wanted, so that it need not read a file."""
    if wants_head(request):
        request.scope["method"] = "HEAD"


def wants_head(request: Request) -> bool:
    """Whether the request was a HEAD: its body will go nowhere, so that nobody need make one."""
    return bool(request.scope.get(_HEAD))


def _normalised(scope: Scope) -> Scope:
    path = _SLASHES.sub("/", scope["path"])
    if len(path) > 1:
        path = path.rstrip("/") or "/"
    changes: dict[str, Any] = {"path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
    if scope["method"] == "HEAD":
        changes |= {"method": "GET", _HEAD: True}
    return {**scope, **changes}


def _request_id(scope: Scope) -> str:
    """What the client calls this request, if that can stand in a log line, else a name of our own."""
    given = dict(scope["headers"]).get(REQUEST_ID, b"").decode("latin-1")
    return given if _SPEAKABLE.fullmatch(given) else uuid.uuid4().hex


def _json_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Headers that say JSON: what else was let through is empty, and stands for an empty object."""
    return [*(item for item in scope["headers"] if item[0] != b"content-type"), (b"content-type", _JSON.encode())]


def _takes_json(scope: Scope, accept: bytes) -> bool:
    """Whether the client takes what Bespin's routes answer; our own also answer files and logs."""
    if not accept.strip() or not scope["path"].startswith("/api") or scope["path"].startswith(PREFIXES[0] + "/"):
        return True
    ranges = (part.partition(";")[0].strip().lower() for part in accept.decode("latin-1").split(","))
    return not _JSON_RANGES.isdisjoint(ranges)


def _route(scope: Scope) -> str:
    """The pattern of the route that answered: few different ones, whatever ids are asked for."""
    pattern = getattr(scope.get("route"), "path", None)
    if pattern is None:
        return "(none)"
    # The route itself may know only its part below the prefix it was included under.
    prefix = next((prefix for prefix in PREFIXES if scope["path"].startswith(prefix + "/")), "")
    return str(pattern) if pattern.startswith(prefix + "/") else prefix + str(pattern)


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and str(scope["path"]) == PREFIX.rstrip("/")


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
