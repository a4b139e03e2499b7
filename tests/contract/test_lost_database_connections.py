"""PostgreSQL ends connections at any moment, or hands over to another host: nothing is lost, nothing is half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from lando.api import outbox, setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.models import Job, JobActivity, PendingCommand
from lando.api.settings import Settings
from lando.errors import Unavailable
from sqlalchemy.orm import Session
from tests.services.proxy import proxy
from tests.unit.api.serving import Api, FakeBroker

pytestmark = pytest.mark.service("postgres")


@pytest.fixture
def api(postgres_url: str, tmp_path: Path) -> Iterator[Api]:
    with closing(Database(postgres_url)) as database:
        database.migrate()
    broker = FakeBroker()
    settings = Settings(database_url=postgres_url, key_file=str(tmp_path / "key"), files_dir=str(tmp_path / "files"))
    app = create_app(settings, publishers=broker)  # type: ignore[arg-type]
    with app.state.site.database.write() as session:
        made = setup.ensure_embedded_site(session, username="operator", key=app.state.site.key)
    with closing(app.state.site.database), closing(TestClient(app)) as client:
        yield Api(app, client, broker, {"operator": made.user_token, "lando": made.daemon_token})


class Axe:
    """Ends the connection that is about to be used for the n-th time, as an administrator does."""

    def __init__(self, url: str, at: int) -> None:
        self._admin = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self._left = at
        self.has_fallen = False

    def __call__(self, connection: sa.Connection, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self.has_fallen = True
            pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            self._admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    @contextmanager
    def falling(self) -> Iterator[None]:
        events = ("before_cursor_execute", "commit")
        for event in events:
            sa.event.listen(sa.Engine, event, self)
        try:
            yield
        finally:
            for event in events:
                sa.event.remove(sa.Engine, event, self)
            self._admin.close()


def at_every_use(url: str, do: Callable[[], None]) -> Iterator[None]:
    """``do``, with its connection ended before its first use, its second, and so on as long as there are any."""
    for at in range(1, 100):
        axe = Axe(url, at)
        with axe.falling():
            do()
        yield
        if not axe.has_fallen:
            assert at > 3, "it used the database"
            return
    raise AssertionError("no end of statements")


def test_a_request_whose_connection_ends_is_done_or_not_and_can_be_repeated(api: Api, postgres_url: str) -> None:
    job = api.new_job()
    codes: list[int] = []

    def start() -> None:
        codes.append(api.post(f"/api/v2/jobs/{job}/start/").status_code)

    for _ in at_every_use(postgres_url, start):
        with api.site.database.read() as session:
            state = session.get_one(Job, job).state
            commands = session.scalars(sa.select(PendingCommand.command).where(PendingCommand.job_id == job)).all()
            activities = session.scalars(sa.select(JobActivity.state).where(JobActivity.job_id == job)).all()
        assert codes[-1] in (200, 503)
        assert (state, commands, activities) in (("A", [], ["A"]), ("S", ["start"], ["A", "S"]))
        assert codes[-1] == 503 or state == "S"
        if state == "S":
            job = api.new_job()
    assert codes[-1] == 200
    assert codes.count(503) > 3


def test_commands_whose_connection_ends_while_they_are_sent_are_sent_all_the_same(
    api: Api, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE_S", 0.0)

    def drain() -> None:
        try:
            api.site.outbox.drain()
        except Unavailable:
            api.site.outbox.drain()  # as its thread does after a pause

    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    for _ in at_every_use(postgres_url, drain):
        assert api.site.outbox.waiting()[0] == 0
        sent = [message for message in api.broker.messages if message.run_id == job]
        assert 1 <= len(sent) <= 2
        assert len({message.id for message in sent}) == 1, "a repetition is told by its id"
        job = api.new_job()
        assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200


def test_a_database_that_moves_to_another_host_is_found_there(postgres_url: str) -> None:
    url = sa.make_url(postgres_url)
    with proxy(str(url.host), int(url.port or 5432)) as first, proxy(str(url.host), int(url.port or 5432)) as second:
        hosts = f"host=127.0.0.1:{first.port}&host=127.0.0.1:{second.port}"
        both = f"postgresql://{url.username}@/{url.database}?{hosts}&target_session_attrs=read-write"
        with closing(Database(both)) as database:
            assert port_of(database) == first.port
            first.refuse()
            first.cut()
            assert port_of(database) == second.port, "no request sees that the first has gone"
            first.refuse(False)
            second.refuse()
            second.cut()
            assert port_of(database) == first.port


def test_a_server_that_has_become_read_only_is_left_for_the_one_that_writes(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        database.migrate()

        def write(session: Session) -> None:
            session.execute(sa.text("SET TRANSACTION READ ONLY"))
            session.execute(sa.text("DELETE FROM jobs"))

        with pytest.raises(Unavailable, match="read-only transaction"), database.write() as session:
            write(session)


def port_of(database: Database) -> int:
    """To which port the database is spoken to now."""
    with database.read() as session:
        raw: Any = session.connection().connection.dbapi_connection
        session.execute(sa.text("SELECT 1"))
        return int(raw.info.port)
