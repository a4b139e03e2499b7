"""Following what may be silent for long: signs of life, and no thread held for nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import requests
from lando.api import setup
from lando.api.models import Job
from lando.api.server import Server
from lando.api.settings import Settings
from lando.api.streams import KEEP_ALIVE, followed
from lando.k8s.live_logs import live_logs
from sqlalchemy import update
from tests.unit.api.serving import PACKED, FakeBroker

NEVER = 3600.0


class Source:
    """Says something when told to; ``close`` ends it from another thread."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.more = threading.Event()
        self.begun = threading.Event()
        self.closed = threading.Event()
        self.ended = threading.Event()

    def pieces(self) -> Generator[str, None, None]:
        self.begun.set()
        try:
            while not self.closed.is_set():
                if self.said:
                    yield self.said.pop(0)
                self.more.wait(10)
        finally:
            self.ended.set()

    def close(self) -> None:
        self.closed.set()
        self.more.set()


def test_silence_is_broken_by_signs_of_life() -> None:
    source = Source()

    async def listen() -> list[bytes]:
        stream = followed(source.pieces(), close=source.close, is_over=lambda: False, keep_alive_s=0.001, look_s=0.001)
        heard = []
        async with aclosing(stream):
            async for piece in stream:
                heard.append(piece)
                if len(heard) == 2:
                    source.said.append("ü\n")
                    source.more.set()
                if piece.startswith("ü".encode()):
                    break
        return heard

    heard = asyncio.run(listen())
    assert heard[:2] == [KEEP_ALIVE] * 2
    assert heard[-1] == "ü\n".encode()
    assert source.ended.wait(10)


def test_whoever_did_not_ask_gets_no_signs_of_life() -> None:
    source = Source()
    looks = iter([False] * 5)

    async def listen() -> list[bytes]:
        stream = followed(source.pieces(), close=source.close, is_over=lambda: next(looks, True), look_s=0.001)
        return [piece async for piece in stream]

    assert asyncio.run(listen()) == []
    assert source.ended.is_set()


def test_a_listener_who_goes_away_lets_the_source_go() -> None:
    source = Source()

    async def listen() -> None:
        stream = followed(source.pieces(), close=source.close, is_over=lambda: False, look_s=NEVER)
        task = asyncio.ensure_future(anext(stream))
        assert await asyncio.to_thread(source.begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(source.ended.wait, 10)

    asyncio.run(listen())
    assert source.closed.is_set()


class Silent(Iterator[str]):
    """A pod's log in which nothing is said until it is closed."""

    def __init__(self) -> None:
        self.read = threading.Event()
        self.closed = threading.Event()

    def __next__(self) -> str:
        self.read.set()
        assert self.closed.wait(30), "nobody closed it"
        raise StopIteration

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def silent() -> Silent:
    return Silent()


@pytest.fixture
def following(settings: Settings, silent: Silent) -> Iterator[tuple[Server, Callable[..., requests.Response]]]:
    """A real server with a run whose step says nothing, and a way to ask for its log."""
    with Server(
        replace(settings, port=0, public_url=None), publishers=FakeBroker(), live_logs=lambda *_: silent
    ) as server:
        with server.site.database.write() as session:
            token = setup.ensure_embedded_site(session, username="ada", key=server.site.key).user_token
        http = requests.Session()
        http.headers["Authorization"] = f"Token {token}"
        made = http.post(f"{server.url}/api/lando/v1/workflows", json={"name": "x", "packed": PACKED}).json()
        group = http.post(f"{server.url}/api/v2/job-file-stage-groups/", json={}).json()["id"]
        form = {"tag": made["tag"], "name": "n", "fund_code": "f", "stage_group": group}
        order = {"threads": 1, "reads": [{"class": "File", "path": "a"}]}
        job = http.post(f"{server.url}/api/v2/job-templates/create-job", json={**form, "job_order": order}).json()[
            "job"
        ]
        with server.site.database.write() as session:
            session.execute(update(Job).values(state="R", step="S"))

        def ask(method: str = "GET", **query: Any) -> requests.Response:
            url = f"{server.url}/api/lando/v1/runs/{job}/logs"
            return http.request(method, url, params={"follow": "true", **query}, stream=True, timeout=20)

        yield server, ask


def test_a_silent_log_is_kept_alive_on_the_wire(
    following: tuple[Server, Callable[..., requests.Response]], silent: Silent
) -> None:
    _, ask = following
    with ask(keep_alive_s=1) as answer:
        assert next(answer.iter_content(1)) == KEEP_ALIVE
    assert silent.closed.wait(10), "the listener went away"
    assert ask(keep_alive_s=0).status_code == 400


def test_a_server_that_stops_does_not_wait_for_those_who_follow_a_silent_log(
    following: tuple[Server, Callable[..., requests.Response]], silent: Silent
) -> None:
    server, ask = following
    with ask() as answer:
        assert silent.read.wait(10)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
        assert b"".join(answer.iter_content(100)).endswith(b"")


def test_asking_for_the_head_of_a_followed_log_waits_for_nothing(
    following: tuple[Server, Callable[..., requests.Response]], silent: Silent
) -> None:
    _, ask = following
    assert ask("HEAD").headers["content-type"] == "text/plain; charset=utf-8"
    assert not silent.read.is_set()


def test_the_lines_of_a_pods_log_stay_lines() -> None:
    class Lines(Iterator[str]):
        said = ["one", "", "two"]  # noqa: RUF012 - of one test
        is_closed = False

        def __next__(self) -> str:
            if not self.said:
                raise StopIteration
            return self.said.pop(0)

        def close(self) -> None:
            self.is_closed = True

    class Cluster:
        lines = Lines()

        def list(self, _kind: str, _selector: str) -> list[dict[str, Any]]:
            return [{"metadata": {"name": "p", "creationTimestamp": ""}, "spec": {"containers": [{"name": "main"}]}}]

        def pod_log_lines(self, _pod: str, _container: str, *, follow: bool) -> Lines:
            return self.lines

    cluster: Any = Cluster()
    log: Any = live_logs(cluster)(1, "stage_data", True)
    assert "".join(log) == "one\n\ntwo\n"
    log.close()
    assert cluster.lines.is_closed
