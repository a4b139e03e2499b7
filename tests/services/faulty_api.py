"""A Kubernetes API seen through a bad network and a bad day: passes requests on, and spoils answers as it is told.

Faults are queued for lists and watches; each spoils one answer. What a watch streams is passed on line by line, so
that a fault can strike within an event.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests
from tests.services.kubernetes_api import KubernetesApi


class Fault(Enum):
    """One way for an answer to be wrong."""

    REFUSE_410 = "answers 410"
    REFUSE_429 = "answers 429 with Retry-After"
    REFUSE_500 = "answers 500"
    REFUSE_HTML = "answers 200 with a page of HTML"
    HANG_UP = "closes the connection without an answer"
    EMPTY = "ends the stream at once"
    CUT = "closes the connection in the middle of an event"
    HALF_LINE = "ends the stream in the middle of an event, in good order"
    DUPLICATE = "sends every event twice"
    REPLAY = "sends the first event again after the others"
    SPLIT = "sends events in small pieces"
    UNKNOWN_TYPE = "puts events of an unknown type between the others"
    NO_JSON = "sends a line that is no JSON"
    ERROR_410 = "sends an ERROR event with 410"
    ERROR_500 = "sends an ERROR event with 500"


ON_LISTS = (Fault.REFUSE_410, Fault.REFUSE_429, Fault.REFUSE_500, Fault.REFUSE_HTML, Fault.HANG_UP, Fault.CUT)
_STATUS = {
    Fault.REFUSE_410: (410, "Expired"),
    Fault.REFUSE_429: (429, "TooManyRequests"),
    Fault.REFUSE_500: (500, "InternalError"),
}
_ERRORS = {Fault.ERROR_410: (410, "Expired"), Fault.ERROR_500: (500, "InternalError")}


class FaultyApi:
    """Stands before ``api`` on a free port of 127.0.0.1, over plain HTTP."""

    def __init__(self, api: KubernetesApi) -> None:
        self.on_lists: deque[Fault] = deque()
        self.on_watches: deque[Fault] = deque()
        self.struck: list[Fault] = []
        """Faults that an answer has met so far."""
        self._connections: set[requests.Response] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, api))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="faulty-api")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def end_watches(self) -> None:
        """Break every watch that is open, so that faults in wait for the next ones get their turn."""
        for response in list(self._connections):
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self.end_watches()
        self._server.server_close()


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


def _handler(faulty: FaultyApi, api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            is_watch = "watch" in parse_qs(urlsplit(self.path).query)
            faults = faulty.on_watches if is_watch else faulty.on_lists
            fault = faults.popleft() if faults else None
            if fault:
                faulty.struck.append(fault)
            if fault is Fault.HANG_UP:
                self.close_connection = True
            elif fault in _STATUS:
                code, reason = _STATUS[fault]
                self._answer(code, _status(code, reason))
            elif fault is Fault.REFUSE_HTML:
                self._answer(200, b"<html>busy</html>", "text/html")
            elif is_watch:
                self._watch(fault)
            else:
                self._list(fault)

        def _list(self, fault: Fault | None) -> None:
            answer = api.session.get(api.url + self.path, timeout=20)
            if fault is Fault.CUT:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content[: len(answer.content) // 2])
                self.close_connection = True
            else:
                self._answer(answer.status_code, answer.content)

        def _watch(self, fault: Fault | None) -> None:
            with api.session.get(api.url + self.path, stream=True, timeout=60) as answer:
                if answer.status_code != 200:
                    self._answer(answer.status_code, answer.content)
                    return
                faulty._connections.add(answer)
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
                except (OSError, requests.RequestException):
                    self.close_connection = True
                finally:
                    faulty._connections.discard(answer)

        def _answer(self, code: int, body: bytes, content_type: str = "application/json") -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if code == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
