"""Stands before an HTTP API and notes every request, with the moment at which it was passed on; can hold one back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

_OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    passed_on: float | None = None
    """When, in seconds since the epoch; None while it is held back."""
    status: int | None = None
    """Of the answer."""


@dataclass
class Recorder:
    """Everything that one client asks of one API."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    _wanted: Callable[[Call], bool] | None = None
    _holds_answer: bool = False
    _held: Call | None = None
    _holding: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def writes(self, since: float) -> list[Call]:
        """The requests that change something and were passed on after ``since``."""
        calls = list(self.calls)
        return [one for one in calls if one.method in _WRITES and one.passed_on is not None and one.passed_on > since]

    def hold(self, wanted: Callable[[Call], bool], *, answer: bool = False) -> None:
        """Hold back the next request that is ``wanted``, or its answer, until :meth:`release`."""
        self._wanted, self._holds_answer = wanted, answer

    def wait_for_held(self, timeout_s: float = 60.0) -> Call:
        """The request that is held back, or whose answer is."""
        assert self._holding.wait(timeout_s), "the request did not come"
        assert self._held is not None
        return self._held

    def release(self) -> None:
        """Pass on what is held back."""
        self._released.set()

    def note(self, method: str, path: str) -> Call:
        """A request came in; returns when it is to be passed on."""
        call = Call(method, path)
        with self._lock:
            self.calls.append(call)
            if self._held is None and self._wanted is not None and self._wanted(call):
                self._held = call
        if call is self._held and not self._holds_answer:
            self._wait()
        call.passed_on = time.time()
        return call

    def note_answer(self, call: Call, status: int) -> None:
        """An answer came in; returns when it is to be passed on."""
        call.status = status
        if call is self._held and self._holds_answer:
            self._wait()

    def _wait(self) -> None:
        self._holding.set()
        self._released.wait()


@contextlib.contextmanager
def recorder(target: str, ca_file: str | None = None) -> Iterator[Recorder]:
    """A recorder on a free port of 127.0.0.1, over plain HTTP, before ``target``."""
    made = Recorder()
    server = _Server(("127.0.0.1", 0), _handler(made, target, ca_file))
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.release()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed here; that is no news."""


def _handler(recording: Recorder, target: str, ca_file: str | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged

        def setup(self) -> None:
            super().setup()
            self.session = requests.Session()
            self.session.trust_env = False

        def finish(self) -> None:
            self.session.close()
            super().finish()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = recording.note(self.command, self.path)
            headers = {name: text for name, text in self.headers.items() if name.lower() not in {*_OF_ONE_HOP, "host"}}
            try:
                with self.session.request(
                    self.command, target + self.path, headers=headers, data=body, stream=True, verify=ca_file or True
                ) as answer:
                    recording.note_answer(call, answer.status_code)
                    self._answer(answer)
            except (requests.RequestException, OSError):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - the base class's names

        def _answer(self, answer: requests.Response) -> None:
            self.send_response(answer.status_code)
            for name, text in answer.headers.items():
                if name.lower() not in _OF_ONE_HOP:
                    self.send_header(name, text)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in answer.raw.stream(65536, decode_content=False):  # as it comes, for watches
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None: ...

    return Handler
