"""Sessions, outages and the schema's version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from lando.api import migrating, schema_version
from lando.api.database import Database
from lando.api.models import User
from lando.errors import ConfigError, Unavailable
from sqlalchemy import select, text
from sqlalchemy.exc import InternalError
from tests.services.databases import Databases


@pytest.fixture
def empty(databases: Databases, migrated_url: str) -> Iterator[Database]:
    url = databases.copy(migrated_url)
    with closing(Database(url)) as database:
        yield database
    databases.drop(url)


def test_the_newest_migration_is_the_one_the_program_needs() -> None:
    assert migrating.versions()[-1] == schema_version.HEAD


def test_of_those_who_ask_a_silent_database_one_waits_and_the_others_are_refused_at_once(empty: Database) -> None:
    empty._silence = "no answer within 15 s"
    refusals: list[str] = []

    def ask() -> None:
        try:
            with empty.read():
                pass
        except Unavailable as error:
            refusals.append(str(error))

    def ask_beside() -> None:
        beside = threading.Thread(target=ask)
        beside.start()
        beside.join(10)

    with empty.read():
        ask_beside()
        ask()  # who asks already may ask more
        assert empty._silence is None, "it has answered"
        ask_beside()
    assert refusals == ["database: no answer within 15 s"]


def test_a_failed_transaction_leaves_nothing(empty: Database) -> None:
    with pytest.raises(RuntimeError), empty.write() as session:  # noqa: PT012 - the failure comes after a change
        session.add(User(username="ada"))
        session.flush()
        raise RuntimeError
    with empty.read() as session:
        assert session.scalars(select(User)).all() == []


def test_what_a_writer_reads_holds_until_it_commits(empty: Database) -> None:
    with empty.write() as session:
        session.add(User(username="n", first_name="0"))

    def add() -> None:
        for _ in range(20):
            with empty.write() as session:
                user = session.scalars(select(User).with_for_update()).one()
                user.first_name = str(int(user.first_name) + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with empty.read() as session:
        assert session.scalars(select(User)).one().first_name == "80"


def test_readers_do_not_wait_for_a_writer(empty: Database) -> None:
    with empty.write() as writer:
        writer.add(User(username="ada"))
        writer.flush()
        with empty.read() as reader:
            assert reader.scalars(select(User)).all() == []


def test_a_database_that_is_away_is_unavailable_without_its_password() -> None:
    away = Database("postgresql://lando:s3cret@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(Unavailable) as outage:
        away.version()
    assert "s3cret" not in str(outage.value)
    away.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_can_not_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Database(url)


def test_an_old_schema_is_named_with_the_command_that_mends_it(empty: Database) -> None:
    empty.require_current()
    with empty.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(ConfigError, match="lando admin migrate"):
        empty.require_current()


def test_a_newer_schema_is_worked_with_and_left_as_it_is(empty: Database) -> None:
    with empty.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert empty.require_current() == "9999"
    empty.migrate()
    with empty.write() as session:
        migrating.migrate(session.connection(), schema_version.HEAD)  # as one that waited for its turn
    assert empty.version() == "9999"
    with pytest.raises(ConfigError, match=r"from version 9999 to 0001: .*'9999'\. It is as it was\."):
        empty.migrate("0001")


def test_a_server_that_can_only_read_is_away_for_writers(empty: Database) -> None:
    class ReadOnly(Exception):
        sqlstate = "25006"

    with pytest.raises(Unavailable, match="read-only"), empty.write():
        raise InternalError("", None, ReadOnly("cannot execute INSERT in a read-only transaction"))
