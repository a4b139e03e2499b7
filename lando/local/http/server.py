"""The API server: HTTPS on this machine's loopback, answered from the store, run in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from dataclasses import replace

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lando.listening import bound
from lando.local.http import discovery, openapi, reviews
from lando.local.http.access import Access, authorize
from lando.local.http.exchange import (
    JSON,
    Answer,
    Request,
    Streaming,
    json_answer,
    send_answer,
    send_stream,
    text_answer,
)
from lando.local.http.log_source import LogSource
from lando.local.http.pod_logs import PodLogs
from lando.local.http.resources import Resources
from lando.local.http.routing import RequestInfo, parse_request
from lando.local.http.tls import Certificates
from lando.local.rules import status
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class Application:
    """The API as an ASGI application."""

    def __init__(self, store: ObjectStore, access: Access) -> None:
        self.logs = PodLogs(store)
        self._access = access
        self._resources = Resources(store, self.logs)

    def end_streams(self) -> None:
        self.logs.close()
        self._resources.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiError as error:
            retry = (error.details or {}).get("retryAfterSeconds")
            answer = json_answer(error.code, error.body(), {"retry-after": str(retry)} if retry else None)
        except ConnectionAbortedError:
            return
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = json_answer(500, status.internal("the embedded API server failed; its log says why").body())
        if isinstance(answer, Streaming):
            await send_stream(answer, receive, send)
        else:
            await send_answer(answer, send)

    async def _answer(self, request: Request) -> Answer | Streaming:
        grant = self._access.authenticate(request.headers.get("authorization", ""))
        info = parse_request(request.method, request.path, request.query)
        authorize(grant, info)
        if info.group in reviews.GROUPS and info.resource is not None:
            return await reviews.answer(grant, info, request)
        if info.resource is not None:
            return await self._resources.answer(info, request)
        answer = await _own_path(info, request)
        if answer is None:
            return text_answer(404, "404 page not found\n")
        if info.verb != "get":
            raise status.method_not_allowed()
        return answer


async def _own_path(info: RequestInfo, request: Request) -> Answer | None:
    """What the server says about itself at ``info.path``; None where there is nothing."""
    accept = request.headers.get("accept", "")
    if info.path == openapi.V2_PATH:
        is_json = "protobuf" not in accept
        body = await asyncio.to_thread(openapi.v2 if is_json else openapi.v2_protobuf)
        return Answer(200, body, JSON if is_json else openapi.V2_PROTOBUF)
    if info.path == openapi.V3_PATH:
        return Answer(200, await asyncio.to_thread(openapi.v3_index))
    if info.path.startswith(f"{openapi.V3_PATH}/"):
        found = await asyncio.to_thread(openapi.v3, info.path.removeprefix(f"{openapi.V3_PATH}/"))
        return None if found is None else Answer(200, found)
    if discovery.aggregation_wanted(accept) and (groups := discovery.aggregated(info.path)) is not None:
        return replace(json_answer(200, groups), media_type=discovery.AGGREGATED)
    document = discovery.document(info.path)
    if document is None:
        return None
    return text_answer(200, document) if isinstance(document, str) else json_answer(200, document)


class _Connection(H11Protocol):
    """Lets an idle connection go at once when the server stops: a client's pool never answers TLS' farewell."""

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class _Uvicorn(uvicorn.Server):
    """Says when it takes connections; leaves none behind."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._announce = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn


class ApiServer:
    """Owns the listening socket and the thread that serves it."""

    def __init__(self, store: ObjectStore, access: Access, certificates: Certificates, *, port: int = 0) -> None:
        """``port`` 0 takes a free one; OSError when a given one is taken."""
        self._application = Application(store, access)
        self._socket = bound(HOST, port)
        self.port: int = self._socket.getsockname()[1]
        self._started = threading.Event()
        self._server = _Uvicorn(
            uvicorn.Config(
                self._application,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                ssl_certfile=certificates.certificate_file,
                ssl_keyfile=certificates.key_file,
                timeout_graceful_shutdown=1,
            ),
            self._started,
        )
        self._thread = threading.Thread(target=self._serve, name="local-apiserver", daemon=True)
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def set_log_source(self, source: LogSource) -> None:
        """Have the logs of pods read from ``source``."""
        self._application.logs.source = source

    def start(self) -> None:
        """Begin to serve; returns once connections are taken. RuntimeError when that does not come about."""
        self._socket.listen(256)
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S) or self._failure is not None:
            raise RuntimeError(f"the embedded API server did not start on {self.url}") from self._failure

    def end_streams(self) -> None:
        """End every watch and every log that is followed, and begin no more."""
        self._application.end_streams()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End open streams, answer what is being answered, close."""
        self.end_streams()
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._socket.close()

    def _serve(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:
            self._failure = error
            log.exception("the embedded API server ended")
        finally:
            self._started.set()
