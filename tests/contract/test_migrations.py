"""Migrations with rows in every table, up and down, on SQLite and on PostgreSQL; they cover every version there is."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fastapi.testclient import TestClient
from lando.api import setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.migrating import versions
from lando.api.models import Base
from lando.api.schema_version import HEAD
from lando.api.settings import Settings
from lando.api.site import Site
from lando.errors import ConfigError
from tests.services.providing import wait_until
from tests.unit.api.serving import Api, FakeBroker

VERSIONS = versions()
MOMENT = datetime(2026, 3, 4, 10, 11, 12, 345678)

Rows = dict[str, list[dict[str, Any]]]
"""By table, in the order of their keys."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service("postgres"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/lando.db" if is_sqlite else request.getfixturevalue("postgres_url")
    with closing(Database(url)) as database:
        yield database


def tables(database: Database) -> sa.MetaData:
    """The schema as it is."""
    found = sa.MetaData()
    with database.read() as session:
        found.reflect(session.connection())
    found.remove(found.tables["alembic_version"])
    return found


def contents(database: Database, schema: sa.MetaData) -> Rows:
    """What the tables and columns of ``schema`` hold."""
    with database.read() as session:
        return {
            table.name: [dict(row) for row in session.execute(sa.select(table).order_by(*table.primary_key)).mappings()]
            for table in schema.sorted_tables
        }


def value(column: sa.Column[Any], number: int) -> Any:
    """A value for a column, in each row another one."""
    kind = column.type
    if isinstance(kind, sa.DateTime):
        return MOMENT.replace(microsecond=number)
    if isinstance(kind, sa.Boolean):
        return number % 2 == 0
    if isinstance(kind, sa.BigInteger):
        return 2**40 + number
    if isinstance(kind, sa.Integer):
        return number
    if isinstance(kind, (sa.Float, sa.Numeric)):
        return number / 2
    if isinstance(kind, sa.String):  # texts may be JSON
        return str(number)[-1:] if kind.length == 1 else f"[{number}]"[: kind.length]
    raise AssertionError(f"{column}: which value has a {kind!r}?")


def fill(database: Database, schema: sa.MetaData, numbers: Iterator[int]) -> None:
    """Add two rows to each table of ``schema``: a full one, and one with nothing where nothing may be."""
    with database.write() as session:
        for is_full in (True, False):
            keys: dict[str, Any] = {}
            for table in schema.sorted_tables:
                number = next(numbers)
                row = {}
                for column in table.columns:
                    if column.foreign_keys:
                        (reference,) = column.foreign_keys
                        row[column.name] = (
                            keys.get(reference.column.table.name) if is_full or not column.nullable else None
                        )
                    elif is_full or not column.nullable:
                        row[column.name] = value(column, number)
                session.execute(table.insert(), row)
                if len(table.primary_key) == 1:
                    keys[table.name] = row[next(iter(table.primary_key)).name]


def shared(rows: Rows, schema: sa.MetaData) -> Rows:
    """``rows`` without what ``schema`` has no place for."""
    return {
        name: [{key: one for key, one in row.items() if key in schema.tables[name].columns} for row in found]
        for name, found in rows.items()
        if name in schema.tables
    }


def require_the_models_schema(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_each_migration_keeps_every_row_up_and_down_and_up(database: Database) -> None:
    numbers = iter(range(1, 10_000))
    database.migrate(VERSIONS[0])
    fill(database, tables(database), numbers)
    for older, newer in itertools.pairwise(VERSIONS):
        old_schema = tables(database)
        old = contents(database, old_schema)
        database.migrate(newer)
        assert contents(database, old_schema) == old, f"{newer} keeps what was there"
        new_schema = tables(database)
        fill(database, new_schema, numbers)
        new = contents(database, new_schema)
        database.migrate(older)
        assert contents(database, old_schema) == shared(new, old_schema), f"{newer} taken back keeps what has a place"
        database.migrate(newer)
        assert shared(contents(database, new_schema), old_schema) == shared(new, old_schema)
        fill(database, new_schema, numbers)
    require_the_models_schema(database)


def test_the_version_before_writes_and_reads_on_with_each_schema(database: Database) -> None:
    numbers = iter(range(1, 10_000))
    database.migrate(VERSIONS[0])
    for newer in VERSIONS[1:]:
        before = tables(database)
        database.migrate(newer)
        fill(database, before, numbers)
        contents(database, before)


def test_a_server_is_started_and_works_on_the_schema_of_the_next_version(database: Database, tmp_path: Path) -> None:
    database.migrate()
    with database.write() as session:
        for table in ("jobs", "users", "pending_commands"):
            session.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN since_next VARCHAR(9) NOT NULL DEFAULT 'x'"))
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    broker = FakeBroker()
    folders = {"key_file": str(tmp_path / "key"), "files_dir": str(tmp_path / "files")}
    url = database._url.render_as_string(hide_password=False)
    app = create_app(Settings(database_url=url, **folders), publishers=broker)  # type: ignore[arg-type]
    site: Site = app.state.site
    with site.database.write() as session:
        made = setup.ensure_embedded_site(session, username="operator", key=site.key)
    with TestClient(app) as client:
        api = Api(app, client, broker, {"operator": made.user_token, "lando": made.daemon_token})
        assert client.get("/readyz").status_code == 200
        job = api.new_job()
        assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
        wait_until(lambda: len(broker.messages) == 1, what="the command")
        api.write(job, "R/", "R/S", "F/")
        assert api.state(job) == "F"


def test_a_migration_that_fails_leaves_everything_as_it_was(database: Database) -> None:
    database.migrate(VERSIONS[0])
    schema = tables(database)
    fill(database, schema, iter(range(1, 10_000)))
    before = contents(database, schema)

    def fail(*arguments: Any) -> None:
        if arguments[2].startswith("UPDATE alembic_version") and HEAD in (arguments[2] + str(arguments[3])):
            raise OSError("no space left on device")

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(ConfigError) as failure:
            database.migrate()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)
    sentence = f"from version {VERSIONS[0]} to {HEAD}: no space left on device. It is as it was."
    assert str(failure.value) == f"The database can't be migrated {sentence}"
    assert database.version() == VERSIONS[0]
    after = tables(database)
    assert {name: list(table.columns.keys()) for name, table in after.tables.items()} == {
        name: list(table.columns.keys()) for name, table in schema.tables.items()
    }
    assert contents(database, schema) == before


def test_a_row_that_refers_to_nothing_stops_a_migration(tmp_path: Path) -> None:
    file = tmp_path / "lando.db"
    with closing(Database(f"sqlite:///{file}")) as database:
        database.migrate(VERSIONS[0])
        with closing(sqlite3.connect(file)) as connection:  # which checks no foreign keys
            connection.execute("INSERT INTO tokens (user_id, hash, created) VALUES (42, 'x', '2026')")
            connection.commit()
        with pytest.raises(ConfigError, match="a row of tokens would refer to one of users that is not there"):
            database.migrate()
        assert database.version() == VERSIONS[0]


def test_of_servers_that_migrate_at_once_one_does_and_the_others_find_it_done(database: Database) -> None:
    assert database.version() is None
    gate = threading.Barrier(3)

    def migrate(_number: int) -> None:
        with closing(Database(database._url.render_as_string(hide_password=False))) as other:
            gate.wait()
            other.migrate()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, range(3)))
    assert database.version() == HEAD
    require_the_models_schema(database)
