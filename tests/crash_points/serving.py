"""The API server with every call counted: each commit of its database, each message of its outbox.

A killed server answers nobody: what stands before it, as an ingress does, says 502 until the next life, on the same
database, has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import requests
from lando.api import app, database, server
from lando.api.database import Database
from lando.api.server import Server
from lando.api.settings import Settings
from lando.queues.memory import MemoryBroker
from sqlalchemy.orm import Session
from starlette.types import Message, Receive, Scope, Send
from tests.crash_points.api import Api
from tests.crash_points.calls import Calls, Killed, Kind, Point
from tests.crash_points.exploring import Exploration, Recorded
from tests.crash_points.ports import CountedPublisher
from tests.crash_points.scenarios import Stage
from tests.crash_points.world import LIMIT_S, World

SWEEP_S = 0.1
TRIES = 9
"""How often a user sends what gets no answer."""
_doing: ContextVar[str] = ContextVar("doing", default="the outbox")
"""On whose behalf a thread of the server works."""

_engine = cache(database._engine)
"""One for all lives: it would compile each statement anew in each of them."""


class CountedDatabase(Database):
    """A database whose commits are counted; a dead process does not even read."""

    def __init__(self, url: str, calls: Calls) -> None:
        super().__init__(url)
        self._calls = calls

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self._calls.dead:
            raise Killed
        with super().read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with super().write() as session:
            yield session
            self._calls.make("database", f"commit of {_doing.get()}", Kind.WRITE, session.commit)


class ServerLife:
    """One life of the API server."""

    def __init__(self, settings: Settings, broker: MemoryBroker, calls: Calls) -> None:
        self.calls = calls
        with (
            mock.patch.object(app, "Database", lambda url: CountedDatabase(url, calls)),
            mock.patch.object(database, "_engine", _engine),
        ):
            self.app = app.create_app(settings, publishers=lambda connection: CountedPublisher(broker, calls))
        self._lifespan = self.app.router.lifespan_context(self.app)

    async def begin(self) -> None:
        await self._lifespan.__aenter__()

    async def end(self) -> None:
        """No more effects; waits until every thread that could have one is gone."""
        self.calls.kill()
        await self._lifespan.__aexit__(None, None, None)


class Front:
    """Passes requests on to the life of the server that there is; 502 while there is none."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = app.create_app(settings).state  # never started: what the test looks with
        self.life: ServerLife | None = None
        self.written: list[str] = []
        """The requests other than reads that were answered."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        """Have it done in the server's thread."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(what, self._loop).result(LIMIT_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._loop = asyncio.get_running_loop()
            for what in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{what}.complete"})
            return
        life, has_answered = self.life, False
        what = f"{scope['method']} {scope['path'].rstrip('/')}"
        if life is not None and not life.calls.dead:
            _doing.set(what)

            async def answer(message: Message) -> None:
                nonlocal has_answered
                if life.calls.dead:
                    raise Killed
                if scope["method"] != "GET" and message["type"] == "http.response.start" and message["status"] < 300:
                    self.written.append(what)
                has_answered = True
                await send(message)

            try:
                await life.app(scope, receive, answer)
                return
            except BaseException:
                if has_answered or not life.calls.dead:
                    raise
        await send({"type": "http.response.start", "status": 502, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class KillableApi(Api):
    """Our API with a server that can be killed and begins anew; its users repeat what got no answer."""

    _asked_again = False
    """Whether a user's command was accepted after one that was not answered."""

    def _serve(self, settings: Settings) -> Server:
        with mock.patch.object(server, "create_app", lambda settings, **how: self._fronted(settings)):
            return Server(replace(settings, outbox_sweep_s=SWEEP_S))

    def _fronted(self, settings: Settings) -> Front:
        self._front = Front(settings)
        return self._front

    @property
    def written(self) -> list[str]:
        """The requests other than reads that were answered in this life and those before it."""
        return self._front.written

    def begin(self, calls: Calls | None = None) -> None:
        """Begin a life of the server."""
        life = ServerLife(self._front.settings, self.broker, calls or self.next_life())
        self._front.run(life.begin())
        self._front.life = life

    def end(self) -> None:
        if self._front.life is not None:
            self._front.run(self._front.life.end())
            self._front.life = None

    @property
    def is_up(self) -> bool:
        return self._front.life is not None and not self._front.life.calls.dead

    def revive(self) -> None:
        if not self.is_up:
            self.end()
            self.begin()

    def user(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the job's owner; what is repeated may be refused, as it was done the first time."""
        for repeated in range(TRIES):
            self.revive()
            try:
                answer = self._request(method, path, body)
            except requests.RequestException:
                continue
            if answer.status_code < 500:
                assert answer.ok or repeated, f"{method} {path}: {answer.status_code} {answer.text}"
                self._asked_again |= answer.ok and repeated > 0
                return answer.json() if answer.content else None
        raise AssertionError(f"{method} {path}: no answer in {TRIES} tries")

    def forget(self) -> None:
        """Nothing was asked and answered until now."""
        self._front.written.clear()
        self._asked_again = False

    def with_what_was_asked(self, expected: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """``expected``, but with as many commands as there were if one was accepted after one without an answer."""
        if not self._asked_again:
            return expected
        return {**expected, "job": {**expected["job"], "generation": found["job"]["generation"]}}

    def close(self) -> None:
        self.end()
        super().close()


class ServerExploration(Exploration):
    """A scenario in which the API server's calls are broken."""

    api: KillableApi
    make_api = KillableApi

    def _play(self, world: World, stage: Stage, calls: Any) -> None:
        self.api.forget()
        self.api.begin(calls)
        super()._play(world, stage, Calls())
        world.told += self.api.written

    def _expected(self, recorded: Recorded, found: dict[str, Any], points: Sequence[Point]) -> dict[str, Any]:
        return self.api.with_what_was_asked(recorded.after, found)
