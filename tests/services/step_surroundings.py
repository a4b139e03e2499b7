"""What a step's program finds around it in a test: a web server, a termination log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Answer:
    """What the server says; with ``send_only`` it breaks off after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    send_only: int | None = None


@dataclass
class Web:
    """A server on 127.0.0.1; ``answer`` gets path and headers of each request, ``requests`` keeps them."""

    url: str
    answer: Callable[[str, dict[str, str]], Answer] = lambda _path, _headers: Answer(status=404)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def serve(self, *answers: Answer) -> None:
        """Give these answers in turn, the last one for ever."""
        left = list(answers)
        self.answer = lambda _path, _headers: left.pop(0) if len(left) > 1 else left[0]


@dataclass
class Termination:
    """The file that the kubelet would read."""

    path: Path

    def read(self) -> dict[str, Any]:
        report = json.loads(self.path.read_bytes())
        assert isinstance(report, dict)
        return report

    def cause(self) -> dict[str, Any]:
        cause = self.read()["cause"]
        assert isinstance(cause, dict)
        return cause


@pytest.fixture
def web() -> Iterator[Web]:
    site = Web(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append((self.path, dict(self.headers)))
            answer = site.answer(self.path, dict(self.headers))
            self.send_response(answer.status)
            headers = {"Content-Length": str(len(answer.body)), **answer.headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.send_only])
            self.close_connection = True

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def termination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Termination:
    path = tmp_path / "termination-log"
    monkeypatch.setenv("LANDO_TERMINATION_LOG", str(path))
    return Termination(path=path)
