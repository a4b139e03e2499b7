"""What happens to every request before its route: path, method, size and content type; and its measure.

Plain ASGI, so that streams pass through untouched.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lando.api.files import PREFIX
from lando.api.metrics import Metrics

PREFIXES = ("/api/lando/v1", "/api/v2", "/api")
"""Under which families of routes stand, the longer first."""
_SLASHES = re.compile(r"/{2,}")
_HEAD = "lando.head"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Doorman:
    """Takes both slash forms, ``HEAD`` wherever there is ``GET``, and refuses bodies that no route should see."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _normalised(scope)
        started = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif scope.get(_HEAD) and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _answer(sending, *refusal)
            else:
                await self._app(scope, self._counted(scope, receive), sending)
        finally:
            self._metrics.observe(scope["method"], _route(scope), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value for name, value in scope["headers"] if name in (b"content-length", b"content-type")}
        length = headers.get(b"content-length", b"0")
        if scope["method"] not in _WITH_BODY or _is_upload(scope):
            return None
        if not length.isdigit():
            return 400, "The header Content-Length is no number."
        if int(length) > self._max_body_bytes:
            return 413, f"A body may have at most {self._max_body_bytes} bytes."
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        if int(length) > 0 and kind != "application/json":
            return 415, f'Unsupported media type "{kind}" in request; send application/json.'
        return None

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        if _is_upload(scope):
            return receive
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise HTTPException(413, f"A body may have at most {self._max_body_bytes} bytes.")
            return message

        return counting


def restore_head(request: Request) -> None:
    """Tell the response that only its head is wanted, so that it need not read a file."""
    if request.scope.get(_HEAD):
        request.scope["method"] = "HEAD"


def _normalised(scope: Scope) -> Scope:
    path = _SLASHES.sub("/", scope["path"])
    if len(path) > 1:
        path = path.rstrip("/") or "/"
    changes: dict[str, Any] = {"path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
    if scope["method"] == "HEAD":
        changes |= {"method": "GET", _HEAD: True}
    return {**scope, **changes}


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
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
