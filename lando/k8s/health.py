"""``/metrics`` and ``/healthz`` of a daemon, on a port of its pod."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lando.metrics import CONTENT_TYPE, Figures, text

REQUEST_TIMEOUT_S = 10.0  # a client that sends nothing is let go after this

log = logging.getLogger(__name__)


class HealthServer:
    """Answers ``/metrics`` (Prometheus text) and ``/healthz``: 200 ``ok``, or 503 with the reason.

    ``check`` returns None while all is well, else what is wrong in a few words; ``note`` what is waited for, which is
    told with a 200, as a restart of this process would not help. A port of 0 takes a free one.
    """

    def __init__(
        self,
        port: int,
        check: Callable[[], str | None],
        *,
        host: str,
        figures: Sequence[Figures],
        note: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(check, note, figures))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when the thread has ended."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=REQUEST_TIMEOUT_S)
        self._server.server_close()


def _handler(
    check: Callable[[], str | None], note: Callable[[], str | None], figures: Sequence[Figures]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE, text(figures))
            elif self.path == "/healthz":
                wrong = check()
                self._answer(503 if wrong else 200, "text/plain; charset=utf-8", (wrong or note() or "ok").encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"/metrics and /healthz are served here")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    return Handler
