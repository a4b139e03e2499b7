"""What a step's program finds around it in a test: a web server, a termination log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
