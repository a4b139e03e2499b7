"""One small HTTP server that plays the API and the cluster, and a configuration that names it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings

NAMESPACE = "/api/v1/namespaces/jobs"
JOBS = "/apis/batch/v1/namespaces/jobs/jobs"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

Reply = tuple[int, Any]


def status(code: int, message: str = "") -> Reply:
    """A Kubernetes Status as an answer."""
    return code, {"kind": "Status", "code": code, "message": message or f"status {code}", "reason": str(code)}


class Peer:
    """Answers by path; everything is well until a test says otherwise."""

    def __init__(self) -> None:
        default_class = {"storageclass.kubernetes.io/is-default-class": "true"}
        nfs = {"metadata": {"name": "nfs", "annotations": default_class}, "provisioner": "nfs.csi.k8s.io"}
        self.answers: dict[str, Reply | Callable[[Any], Reply]] = {
            "/api/v2/admin/job-errors/": (200, []),
            "/api/v2/job-strategies/": (200, [{"job_flavor": {"name": "large", "cpus": 8, "memory": "16Gi"}}]),
            "/api/lando/v1/runs": (200, []),
            "/api/lando/v1/runs/0/condition": (404, {"detail": "Not found."}),
            "/readyz": (200, {"status": "ok"}),
            "/version": (200, {"major": "1", "minor": "31", "gitVersion": "v1.31.5"}),
            WHO: (201, {"status": {"userInfo": {"username": "system:serviceaccount:jobs:lando"}}}),
            REVIEWS: (201, {"status": {"allowed": True}}),
            NAMESPACE: (200, {"metadata": {"name": "jobs"}}),
            f"{NAMESPACE}/configmaps": (201, {}),
            f"{NAMESPACE}/persistentvolumeclaims": (201, {}),
            JOBS: (201, {}),
            CLASSES: (200, {"items": [nfs]}),
            f"{NAMESPACE}/resourcequotas": (200, {"items": []}),
            f"{NAMESPACE}/limitranges": (200, {"items": []}),
            f"{NAMESPACE}/serviceaccounts/default": (200, {"metadata": {"name": "default"}}),
        }
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged

            def respond(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((f"{self.command} {parts.path}", parts.query))
                answer = outer.answers.get(parts.path, status(404))
                code, document = answer(json.loads(raw)) if callable(answer) else answer
                data = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = respond  # noqa: N815 - named by http.server

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def running_peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def peer(running_peer: Peer) -> Iterator[Peer]:
    before = dict(running_peer.answers)
    running_peer.asked.clear()
    yield running_peer
    running_peer.answers = before


@pytest.fixture
def config(peer: Peer) -> Config:
    return Config(
        work_queue=WorkQueueSettings(listen_queue="lando", url="memory://here"),
        cluster_api_settings=ClusterSettings(namespace="jobs", host=peer.url, token="cluster-token"),
        bespin_api=BespinApiSettings(url=f"{peer.url}/api/v2", token="api-token"),
        lando_api=LandoApiSettings(url=f"{peer.url}/api/lando/v1", token="api-token"),
    )
