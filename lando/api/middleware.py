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

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lando import logs
from lando.api import media_types, sessions
from lando.api.files import PREFIX
from lando.api.media_types import JSON, ROOT_OBJECT
from lando.api.metrics import Metrics
from lando.errors import Unavailable

_FORMAT = ".json"
"""What Bespin's paths may end in, as the original's do."""
_SLASHES = re.compile(r"/{2,}")
REQUEST_ID = b"x-request-id"
"""The header with which client and server call one request by the same name."""
_SPEAKABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_HEAD = "lando.head"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS = _WITH_BODY | {"GET", "DELETE", "OPTIONS"}
_FORM = "application/x-www-form-urlencoded"
_FORMS = frozenset({sessions.LOGIN, sessions.LOGOUT})
"""Paths that take what browsers send."""
OPERATIONS = ("/healthz", "/readyz", "/metrics")
"""Paths that are answered always."""
STRANGERS_BYTES = 64 * 1024
"""Largest body of those who are not signed in: sign-ins are short."""
BODY_IDLE_S = 60.0
"""How long the next part of a body is waited for, in seconds."""


class Doorman:
    """Takes both slash forms, ``HEAD`` wherever there is ``GET``, and refuses bodies that no route should see."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_requests: int,
        metrics: Metrics,
        waits_for: Callable[[], str | None] = lambda: None,
        is_signed_in: Callable[[Scope], bool],
        body_idle_s: float = BODY_IDLE_S,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_requests = max_requests
        self._at_work = 0
        self._is_signed_in = is_signed_in
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
                more = [(REQUEST_ID, request_id.encode())]
                if media_types.has_resources(scope["path"]):
                    more.append((b"vary", b"Accept"))
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            elif scope.get(_HEAD) and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        is_wrapped = _chosen(scope) == ROOT_OBJECT
        answering = media_types.wrapping(sending, _resource(scope)) if is_wrapped else sending
        self._at_work += 1
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _answer(answering, *refusal)
            else:
                await self._app(scope, self._body(scope, receive), answering)
        finally:
            self._at_work -= 1
            method = scope["method"] if scope["method"] in _METHODS else "(other)"
            self._metrics.observe(method, _route(scope), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if (waits_for := self._waits_for()) is not None and scope["path"] not in OPERATIONS:
            return 503, waits_for
        if self._at_work > self._max_requests and scope["path"] not in OPERATIONS:
            return 503, f"The server has {self._max_requests} requests at work already; try again."
        if _chosen(scope) is None:
            return 406, f"This can only be answered as {JSON}" + (
                f" or {ROOT_OBJECT}." if media_types.has_resources(scope["path"]) else "."
            )
        length = headers.get(b"content-length", b"0")
        if scope["method"] not in _WITH_BODY or _is_upload(scope):
            return None
        if not length.isdigit() or len(length) > 18:
            return 400, "The header Content-Length is no sensible number."
        if int(length) > self._max_body_bytes:
            return 413, f"A body may have at most {self._max_body_bytes} bytes."
        kind = _content_type(scope)
        if kind == ROOT_OBJECT and media_types.has_resources(scope["path"]):
            if _resource(scope) is None:
                return 400, f"This has no resource's name that a body of type {ROOT_OBJECT} could hold; send {JSON}."
            return None
        wanted = _FORM if scope["path"] in _FORMS else JSON
        if (int(length) > 0 or b"transfer-encoding" in headers) and kind != wanted:
            return 415, f'Unsupported media type "{kind}" in request; send {wanted}.'
        return None

    def _body(self, scope: Scope, receive: Receive) -> Receive:
        """The body as routes take it: plain JSON, nothing as an empty object; forms and uploads as they are."""
        if scope["method"] not in _WITH_BODY or _is_upload(scope):
            return self._receiving(scope, receive, is_limited=False)
        if scope["path"] in _FORMS:
            return self._receiving(scope, receive)
        kind, name = _content_type(scope), _resource(scope)
        # What else was let through is empty.
        others = (item for item in scope["headers"] if item[0] not in (b"content-type", b"content-length"))
        scope["headers"] = [*others, (b"content-type", JSON.encode())]
        if kind == ROOT_OBJECT and name is not None:
            return media_types.unwrapping(self._receiving(scope, receive), name)
        return self._receiving(scope, receive, empty=b"{}")

    def _receiving(self, scope: Scope, receive: Receive, *, is_limited: bool = True, empty: bytes = b"") -> Receive:
        """The body as it comes, not too slowly and not too much of it; ``empty`` for nothing.

        Routes ask who sent it only when they have it all: more than a little is read from those who are signed in.
        """
        received, is_whole, is_known = 0, False, False

        async def next_part() -> Message:
            nonlocal received, is_whole, is_known
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
            if not is_limited:
                return message
            if received > self._max_body_bytes:
                text = f"A body may have at most {self._max_body_bytes} bytes."
                raise HTTPException(413, text, {"Connection": "close"})
            if received > STRANGERS_BYTES and not is_known:
                is_known = await self._knows(scope)
            is_empty = is_whole and not received and message["type"] == "http.request"
            return {**message, "body": empty} if is_empty else message

        return next_part

    async def _knows(self, scope: Scope) -> bool:
        """True; raises the refusal of a body that is too large for whoever is not signed in."""
        try:
            if await run_in_threadpool(self._is_signed_in, scope):
                return True
        except Unavailable as error:
            raise HTTPException(503, "The database is not available; try again.", {"Retry-After": "1"}) from error
        text = f"Without a sign-in a body may have at most {STRANGERS_BYTES} bytes."
        raise HTTPException(413, text, {"Connection": "close"})


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
    if media_types.has_resources(path.removesuffix(_FORMAT)):
        path = path.removesuffix(_FORMAT)
    changes: dict[str, Any] = {"path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
    if scope["method"] == "HEAD":
        changes |= {"method": "GET", _HEAD: True}
    return {**scope, **changes}


def _request_id(scope: Scope) -> str:
    """What the client calls this request, if that can stand in a log line, else a name of our own."""
    given = dict(scope["headers"]).get(REQUEST_ID, b"").decode("latin-1")
    return given if _SPEAKABLE.fullmatch(given) else uuid.uuid4().hex


def _chosen(scope: Scope) -> str | None:
    """The media type to answer, None for none; what also answers files, logs and pages takes whatever is asked for."""
    path = str(scope["path"])
    return media_types.chosen(_header(scope, b"accept"), path) if media_types.is_json_only(path) else JSON


def _resource(scope: Scope) -> str | None:
    try:
        return media_types.resource_of(scope["path"])
    except KeyError:  # there is no such route
        return None


def _content_type(scope: Scope) -> str:
    return _header(scope, b"content-type").partition(";")[0].strip().lower()


def _header(scope: Scope, name: bytes) -> str:
    return b",".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def _route(scope: Scope) -> str:
    """The pattern of the route that answered: few different ones, whatever ids are asked for."""
    pattern = getattr(scope.get("route"), "path", None)
    if pattern is None:
        return "(none)"
    # Those of Jobs are included under their prefix, of which they know nothing.
    prefix = media_types.JOBS if scope["path"].startswith(f"{media_types.JOBS}/") else ""
    return prefix + str(pattern)


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
