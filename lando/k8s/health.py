"""``/healthz``, ``/readyz`` and ``/metrics`` of a daemon, on a port of its pod."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from lando.errors import ConfigError
from lando.metrics import CONTENT_TYPE, Figures, text

REQUEST_TIMEOUT_S = 10.0  # a client that sends nothing is let go after this
STOP_S = 0.05  # how soon a stop is noticed
STUCK_S = 900.0  # nothing takes a worker as long, as every call to a peer has a time-out

log = logging.getLogger(__name__)


class Part(Protocol):
    """Something that can say how it is; each answer is a sentence, or None while there is nothing to say."""

    def wrong(self) -> str | None:
        """What a restart of the process may mend."""
        ...

    def waits_for(self) -> str | None:
        """What keeps it from its work, which a restart would not change."""
        ...

    def note(self) -> str | None:
        """What is worth a word though all is well."""
        ...


class HealthServer:
    """Answers for ``parts``; a port of 0 takes a free one.

    ``/healthz``: 503 with what is wrong, else 200. ``/readyz``: 503 also with what is waited for. A 200 says what is
    waited for or worth a word, else ``ok``. ``/metrics``: Prometheus' text form of ``figures``.

    Raises:
        ConfigError: the port can't be listened on.
    """

    def __init__(self, port: int, parts: Sequence[Part], *, host: str, figures: Sequence[Figures]) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(parts, figures))
        except OSError as error:
            raise ConfigError(f"metrics_port: {host}:{port} can't be listened on: {error.strerror}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(STOP_S,), name="health", daemon=True)

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


def note(parts: Iterable[Part]) -> str | None:
    """The first thing worth a word."""
    return next(filter(None, (part.note() for part in parts)), None)


def wrong(parts: Iterable[Part]) -> str | None:
    """The first thing that is wrong."""
    return next(filter(None, (part.wrong() for part in parts)), None)


def waits_for(parts: Iterable[Part]) -> str | None:
    """The first thing that is waited for."""
    return next(filter(None, (part.waits_for() for part in parts)), None)


def _handler(parts: Sequence[Part], figures: Sequence[Figures]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, text(figures), CONTENT_TYPE)
                case "/healthz" if (trouble := wrong(parts)) is not None:
                    self._answer(503, trouble.encode())
                case "/readyz" if (trouble := wrong(parts) or waits_for(parts)) is not None:
                    self._answer(503, trouble.encode())
                case "/healthz" | "/readyz":
                    wait = waits_for(parts)
                    self._answer(200, (f"waiting: {wait}" if wait else note(parts) or "ok").encode())
                case _:
                    self._answer(404, b"/healthz, /readyz and /metrics are served here")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    return Handler
