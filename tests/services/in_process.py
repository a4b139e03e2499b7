"""A client of an application in this process, for answers that end by themselves."""

from __future__ import annotations

from typing import Any

import httpx2
from anyio.from_thread import BlockingPortal


class _InOneCall(httpx2.BaseTransport):
    def __init__(self, app: Any, portal: BlockingPortal) -> None:
        self._asgi = httpx2.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._asgi.handle_async_request(request)
        whole = httpx2.ByteStream(await answer.aread())
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=whole)


def client_of(app: Any, portal: BlockingPortal) -> httpx2.Client:
    """Asks ``app`` in the portal's event loop, to which each request goes once.

    Starlette's TestClient goes there eight times, which takes longer than most answers; it is for streams, and starts
    and stops the application.
    """
    return httpx2.Client(transport=_InOneCall(app, portal), base_url="http://testserver", follow_redirects=True)
