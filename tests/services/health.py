"""What a process answers to its kubelet: the fixture ``asks``."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence

import pytest
from lando.k8s.health import HealthServer, Part
from lando.metrics import Figures

Asks = Callable[..., Callable[[str], tuple[int, str]]]
"""Serves the health of parts; the result asks for a path and gives status and body."""


def asked(url: str) -> tuple[int, str]:
    """Status and body of the answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@pytest.fixture
def asks() -> Iterator[Asks]:
    with contextlib.ExitStack() as servers:

        def serve(*parts: Part, figures: Sequence[Figures] = ()) -> Callable[[str], tuple[int, str]]:
            server = HealthServer(0, parts, host="127.0.0.1", figures=figures)
            servers.callback(server.close)
            server.start()
            return lambda path: asked(f"http://127.0.0.1:{server.port}{path}")

        yield serve
