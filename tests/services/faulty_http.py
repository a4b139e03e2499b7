"""An HTTP service seen through a bad network and a bad day: passes requests on, and spoils some on their way.

What a Kubernetes watch streams is passed on line by line, so that a fault can strike within an event.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests


class Fault(Enum):
    """One way for an answer to be wrong."""

    REFUSE_410 = "answers 410"
    REFUSE_429 = "answers 429 with Retry-After"
    REFUSE_500 = "answers 500"
    REFUSE_503 = "answers 503"
    REFUSE_HTML = "answers 200 with a page of HTML"
    HANG_UP = "closes the connection without passing the request on"
    LOSE_ANSWER = "passes the request on and closes the connection in the place of its answer"
    SLOW = "passes the request on late"
    EMPTY = "ends the stream at once"
    CUT = "closes the connection in the middle of the answer, or of an event"
    HALF_LINE = "ends the stream in the middle of an event, in good order"
    DUPLICATE = "sends every event twice"
    REPLAY = "sends the first event again after the others"
    SPLIT = "sends events in small pieces"
    UNKNOWN_TYPE = "puts events of an unknown type between the others"
    NO_JSON = "sends a line that is no JSON"
    ERROR_410 = "sends an ERROR event with 410"
    ERROR_500 = "sends an ERROR event with 500"


OF_STREAMS = frozenset(list(Fault)[list(Fault).index(Fault.EMPTY) :]) - {Fault.CUT}
"""Faults that only a watch can have."""

Choose = Callable[[str, str, bool], Fault | None]
"""The fault of a request, from its method, its path with the query, and whether it is a watch."""

SLOW_S = 2.0
TIMEOUT_S = 60.0
_STATUS = {
    Fault.REFUSE_410: (410, "Expired"),
    Fault.REFUSE_429: (429, "TooManyRequests"),
    Fault.REFUSE_500: (500, "InternalError"),
    Fault.REFUSE_503: (503, "ServiceUnavailable"),
}
_ERRORS = {Fault.ERROR_410: (410, "Expired"), Fault.ERROR_500: (500, "InternalError")}
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"})


class FaultyHttp:
    """Stands on a free port of 127.0.0.1, over plain HTTP, before services that do the same.

    The ``upstreams`` get requests in turn, as behind a load balancer; one that takes no connection is passed over.
    """

    def __init__(
        self, upstreams: Sequence[str], choose: Choose, *, verify: str | bool = True, retry_after_s: int = 0
    ) -> None:
        self._upstreams = upstreams
        self._choose = choose
        self._verify = verify
        self._retry_after_s = retry_after_s
        self.struck: list[Fault] = []
        """Faults that a request has met so far."""
        self._turns = itertools.count()
        self._local = threading.local()
        self._streams: set[requests.Response] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="faulty-http")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def end_watches(self) -> None:
        """Break every watch that is open, so that faults in wait for the next ones get their turn."""
        for response in list(self._streams):
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self.end_watches()
        self._server.server_close()

    def _fault_of(self, method: str, path: str, is_watch: bool) -> Fault | None:
        fault = self._choose(method, path, is_watch)
        if fault is not None:
            self.struck.append(fault)
        return fault

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes, *, stream: bool) -> requests.Response:
        """The answer of an upstream; raises requests.ConnectionError when none takes the request."""
        failure: requests.RequestException | None = None
        first = next(self._turns) % len(self._upstreams)
        for upstream in (*self._upstreams[first:], *self._upstreams[:first]):
            try:
                return self._session().request(
                    method,
                    upstream + path,
                    headers=headers,
                    data=body or None,
                    stream=stream,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                )
            except requests.ConnectionError as error:
                if "NewConnectionError" not in repr(error):
                    raise  # it may have taken effect
                failure = error
        assert failure is not None
        raise failure

    def _session(self) -> requests.Session:
        """One for each connection of a client, so that connections end where they would without a proxy."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
            self._local.session.verify = self._verify
        session: requests.Session = self._local.session
        return session


def _status(code: int, reason: str) -> bytes:
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "spoiled",
            "reason": reason,
            "code": code,
        }
    ).encode()


def _spoiled(lines: Iterator[bytes], fault: Fault | None) -> Iterator[bytes]:
    """What is sent in the place of ``lines``."""
    first = b""
    for line in lines:
        first = first or line
        match fault:
            case Fault.EMPTY:
                return
            case Fault.HALF_LINE:
                yield line[: len(line) // 2]
                return
            case Fault.DUPLICATE:
                yield line + b"\n" + line + b"\n"
            case Fault.REPLAY:
                yield line + b"\n" + first + b"\n"
            case Fault.SPLIT:
                for start in range(0, len(line), 50):
                    yield line[start : start + 50]
                yield b"\n"
            case Fault.UNKNOWN_TYPE:
                yield b'{"type": "SURPRISE", "object": {"metadata": {}}}\n' + line + b"\n"
            case Fault.NO_JSON:
                yield line + b"\n<html>\n"
                return
            case Fault.ERROR_410 | Fault.ERROR_500:
                yield line + b'\n{"type": "ERROR", "object": ' + _status(*_ERRORS[fault]) + b"}\n"
                return
            case _:
                yield line + b"\n"


def _handler(faulty: FaultyHttp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged
        timeout = 30

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_watch = "watch" in parse_qs(urlsplit(self.path).query)
            fault = faulty._fault_of(self.command, self.path, is_watch)
            if fault is Fault.HANG_UP:
                self.close_connection = True
            elif fault in _STATUS:
                code, reason = _STATUS[fault]
                self._answer(code, _status(code, reason))
            elif fault is Fault.REFUSE_HTML:
                self._answer(200, b"<html>busy</html>", {"Content-Type": "text/html"})
            else:
                if fault is Fault.SLOW:
                    time.sleep(SLOW_S)
                try:
                    if is_watch:
                        self._watch(body, fault)
                    else:
                        self._pass_on(body, fault)
                except OSError:  # of either side; those of requests are some of them
                    self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the base class

        def _pass_on(self, body: bytes, fault: Fault | None) -> None:
            answer = faulty._ask(self.command, self.path, self._given(), body, stream=True)
            content = answer.raw.read(decode_content=False) or b""
            if fault is Fault.LOSE_ANSWER:
                self.close_connection = True
            elif fault is Fault.CUT:
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            else:
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
                self._answer(answer.status_code, content, kept)

        def _watch(self, body: bytes, fault: Fault | None) -> None:
            with faulty._ask(self.command, self.path, self._given(), body, stream=True) as answer:
                if answer.status_code != 200:
                    self._answer(answer.status_code, answer.content)
                    return
                faulty._streams.add(answer)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    for piece in _spoiled((line for line in answer.iter_lines(chunk_size=1) if line), fault):
                        if fault is Fault.CUT:
                            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece[: len(piece) // 2])
                            self.close_connection = True
                            return
                        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    self.close_connection = True
                finally:
                    faulty._streams.discard(answer)

        def _given(self) -> dict[str, str]:
            return {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}

        def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            if code != 204:
                self.send_header("Content-Length", str(len(body)))
            if code == 429:
                self.send_header("Retry-After", str(faulty._retry_after_s))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()  # clients may be killed at any moment

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

    return Handler
