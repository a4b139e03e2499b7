"""A tiny HTTP server that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from lando.config import ClusterSettings
from lando.k8s.cluster import KubernetesCluster


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What to say: a JSON document or bytes; ``more`` keeps the answer open and writes what it is told to."""

    document: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    more: Callable[[Callable[[bytes], None]], None] | None = None


class Server:
    """Answers are used up in turn; the last one is repeated."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []
        self.connections = 0
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def log_message(self, *args: object) -> None:
                pass

            def respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                parts = urlsplit(self.path)
                outer.asked.append(
                    Asked(
                        method=self.command,
                        path=parts.path,
                        query=dict(parse_qsl(parts.query)),
                        headers={key.title(): value for key, value in self.headers.items()},
                        body=json.loads(body) if body else None,
                    )
                )
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                data = answer.raw if answer.raw is not None else json.dumps(answer.document).encode()
                self.send_response_only(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                if answer.more is None:
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

                def write(chunk: bytes) -> None:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()

                answer.more(write)
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815 - named by http.server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def says(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def cluster(server: Server) -> Iterator[KubernetesCluster]:
    settings = ClusterSettings(namespace="lando jobs", host=server.url, token="s3cret-token")
    with KubernetesCluster(settings) as cluster:
        yield cluster


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def status() -> Callable[..., Answer]:
    """An answer that carries a Kubernetes Status."""

    def make(
        code: int, reason: str = "", message: str = "", headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        document = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message or reason,
            "reason": reason,
            "code": code,
            **more,
        }
        return Answer(document, code, headers or {})

    return make
