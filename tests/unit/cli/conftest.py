"""A small HTTP server that plays the API, and the command line run inside this process."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import typer
from lando import cli

Answer = tuple[int, Any]
"""Status, and a body: text as it is, anything else as JSON."""


class Cut(str):
    """A body after which the connection breaks off."""


@dataclass
class FakeApi:
    """Answers by method and path; what it was asked is kept."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method and path, query, body."""

    def on(self, route: str, *answers: Answer | dict[str, Any] | list[Any] | str) -> None:
        """Answer ``route`` (``GET /path``) with each of ``answers`` in turn; the last one stays."""
        self.answers[route] = [one if isinstance(one, tuple) else (200, one) for one in answers]

    def answer(self, route: str, query: str, body: Any) -> Answer:
        self.asked.append((route, query, body))
        prepared = self.answers.get(route)
        if not prepared:
            return 404, {"detail": "Not found."}
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]

    def bodies(self, route: str) -> list[Any]:
        """What was sent to ``route``."""
        return [body for asked, _, body in self.asked if asked == route]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = self.headers.get("Content-Type") == "application/json"
            status, body = fake.answer(f"{self.command} {parts.path}", parts.query, json.loads(raw) if is_json else raw)
            if self.headers.get("Authorization") != "Token good":
                status, body = 401, {"detail": "no"}
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) + isinstance(body, Cut)))
            self.close_connection = isinstance(body, Cut)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the base class's names

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cut() -> type[Cut]:
    return Cut


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Lando = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    """Commands choose what is logged, for a process that ends with them."""
    levels = _levels()
    yield
    for name in _levels():
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def _levels() -> dict[str, int]:
    known = list(logging.root.manager.loggerDict.items())
    return {name: one.level for name, one in known if name.startswith("lando") and isinstance(one, logging.Logger)}


@pytest.fixture(scope="session", autouse=True)
def one_tree_of_commands() -> Iterator[None]:
    """The commands are put together once and not for each call, which takes longer than most calls."""
    once = cache(typer.main.get_command)
    with mock.patch("typer.main.get_command", once), mock.patch("typer.testing._get_command", once):
        yield


@pytest.fixture
def lando(api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any) -> Lando:
    """Runs ``lando`` with its arguments, knowing the fake server by its environment."""
    monkeypatch.setenv("LANDO_URL", api.url)
    monkeypatch.setenv("LANDO_TOKEN", "good")
    monkeypatch.setenv("LANDO_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["lando", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)

    return run


def run_document(**changes: Any) -> dict[str, Any]:
    """A run as the API tells it."""
    return {
        "id": 3,
        "name": "batch 17",
        "kind": "cwl",
        "owner": "ada",
        "workflow": "qc/1",
        "state": "Running",
        "created": "2026-03-04T15:06:07Z",
        "ended": None,
        "version": 1,
        "steps": [
            {
                "name": "stage_data",
                "state": "Complete",
                "started": "2026-03-04T15:06:07Z",
                "ended": "2026-03-04T15:06:09.5Z",
                "attempt": 1,
            },
            {
                "name": "run_workflow",
                "state": "Running",
                "started": "2026-03-04T15:06:10Z",
                "ended": None,
                "attempt": 2,
            },
            {"name": "organize_output", "state": "Pending", "started": None, "ended": None, "attempt": None},
        ],
        "cause": None,
        "condition": None,
        "warnings": [],
        "outputs": None,
        "readme": None,
        **changes,
    }


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """Makes a run as the API tells it."""
    return run_document
