"""Downloads from servers that mean harm, or are very broken: they end, and end well where they can."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lando.errors import StepError
from lando.runs import Category
from lando.steps.http_download import ATTEMPTS, Downloader, Limits, Progress
from tests.services.step_surroundings import Answer, Web

BODY = bytes(range(256)) * 64
HEAD = b"HTTP/1.1 200 OK\r\n"


class Client:
    def __init__(self, folder: Path, timeout_s: float = 5) -> None:
        self.part = folder / "part"
        self.lines: list[str] = []
        limits = Limits(schemes=frozenset({"http"}), allow_local_addresses=True, max_bytes=None, timeout_s=timeout_s)
        self.downloader = Downloader(limits, self.lines.append, lambda _seconds: None)

    def fetch(self, url: str) -> int:
        try:
            return self.downloader.fetch(url, self.part, None, Progress())[0]
        finally:
            self.downloader.close()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


Script = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def server(script: Script) -> Iterator[str]:
    """A server that hands each connection with its request to ``script``; the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(10)
                    script(connection, connection.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        done.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def trickle(connection: socket.socket, begin: bytes, piece: bytes) -> None:
    """Send ``piece`` every few milliseconds, until the other side hangs up."""
    connection.sendall(begin)
    while True:
        connection.sendall(piece)
        threading.Event().wait(0.01)


@pytest.mark.parametrize(
    ("begin", "why"),
    [(HEAD + b"X-Slow: ", "its server sent nothing"), (HEAD + b"\r\n", "its server sent only")],
)
def test_a_server_that_trickles_is_given_up(tmp_path: Path, begin: bytes, why: str) -> None:
    def script(connection: socket.socket, _request: bytes) -> None:
        trickle(connection, begin, b"x")

    with server(script) as url, pytest.raises(StepError) as failed:
        Client(tmp_path, timeout_s=0.1).fetch(f"{url}/a")
    assert f"after {ATTEMPTS} tries: {why}" in failed.value.cause.sentence
    assert failed.value.cause.category is Category.INFRASTRUCTURE


def test_an_answer_cut_in_its_head_is_no_empty_file(client: Client) -> None:
    cut = iter([HEAD + b"Content-Ty", HEAD + b"Content-Length: 3\r\n\r\nabc"])
    with server(lambda connection, _request: connection.sendall(next(cut))) as url:
        assert client.fetch(f"{url}/a") == 3


def test_the_body_of_a_redirect_is_not_read(client: Client) -> None:
    def script(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /a"):
            trickle(connection, b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n", bytes(65536))
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc")

    with server(script) as url:
        assert client.fetch(f"{url}/a") == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v2"', "Content-Range": f"bytes 4000-{len(BODY) - 1}/{len(BODY)}"},
        {"Content-Encoding": "gzip", "Content-Range": f"bytes 4000-{len(BODY) - 1}/{len(BODY)}"},
        {"Content-Range": "bytes x-y/z"},
        {"Content-Range": ""},
        {"Content-Range": f"bytes 4000-{len(BODY) - 1}/4001"},
    ],
)
def test_a_part_that_does_not_fit_is_not_believed(client: Client, web: Web, headers: dict[str, str]) -> None:
    web.serve(
        Answer(body=BODY, headers={"ETag": '"v1"'}, send_only=4000),
        Answer(status=206, body=bytes(len(BODY) - 4000), headers=headers),
        Answer(body=BODY),
    )
    assert client.fetch(f"{web.url}/a") == len(BODY)
    assert client.part.read_bytes() == BODY


@pytest.mark.parametrize("length", ["-5", "x", "5, 6", "\xb2", "9" * 30])
def test_a_length_that_is_none_does_no_harm(client: Client, web: Web, length: str) -> None:
    web.serve(Answer(body=BODY, headers={"Content-Length": length}), Answer(body=BODY))
    assert client.fetch(f"{web.url}/a") == len(BODY)


@pytest.mark.parametrize("target", ["http://[::1", "http://127.0.0.1:99999/", "http:///x", "//", "\xff\x01"])
def test_a_redirect_to_nowhere_is_one_sentence(client: Client, web: Web, target: str) -> None:
    web.answer = lambda path, _headers: (
        Answer(status=302, headers={"Location": target}) if path == "/a" else Answer(status=404)
    )
    with pytest.raises(StepError):
        client.fetch(f"{web.url}/a")


def test_the_password_of_a_url_goes_to_its_own_host_only_and_into_no_log(client: Client, web: Web) -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(HEAD + b"\r\nabc")

    with server(script) as other:
        web.serve(Answer(status=503), Answer(status=302, headers={"Location": f"{other}/b"}))
        client.fetch(web.url.replace("://", "://ada:geh%40im@") + "/a")
    expected = "Basic " + base64.b64encode(b"ada:geh@im").decode()
    assert [headers.get("Authorization") for _, headers in web.requests] == [expected, expected]
    assert b"Authorization" not in seen[0]
    assert "geh" not in "".join(client.lines)
