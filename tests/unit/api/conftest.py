"""A whole API server in the process, with a broker that notes what it is sent.

It keeps its data in SQLite; with ``LANDO_TEST_API_DATABASE=postgres`` in a real PostgreSQL, and then only those tests
run that have a database at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from lando.api import auth, database, setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.keys import load_or_create
from lando.api.settings import Settings
from lando.api.site import LiveLogs
from tests.services.databases import Databases, PostgresDatabases, SqliteFiles
from tests.services.in_process import client_of
from tests.unit.api.serving import Api, FakeBroker, Serve

ON_POSTGRES = os.environ.get("LANDO_TEST_API_DATABASE", "sqlite") == "postgres"


@dataclass(frozen=True)
class PreparedSite:
    """The database and the key of a site that is set up, to copy, and the tokens of its users."""

    database_url: str
    key_file: Path
    tokens: dict[str, str]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ON_POSTGRES:
        bare = [item for item in items if "databases" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=bare)
        items[:] = [item for item in items if item not in bare]


@pytest.fixture(scope="session", autouse=True)
def one_engine_for_each_url() -> Iterator[None]:
    """Whatever a test uses after another one is compiled already."""
    with mock.patch.object(database, "_engine", cache(database._engine)):
        yield


@pytest.fixture(scope="session", autouse=True)
def passwords_are_hashed_soon() -> Iterator[None]:
    """As ever, but with a thousandth of the work."""
    with mock.patch.object(auth, "_SCRYPT_N", 2**4):
        yield


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    if not ON_POSTGRES:
        in_memory = "/dev/shm"  # where nothing waits for a disk
        with TemporaryDirectory(prefix="lando-", dir=in_memory if os.access(in_memory, os.W_OK) else None) as folder:
            yield SqliteFiles(Path(folder))
        return
    with closing(PostgresDatabases(request.getfixturevalue("postgres"))) as databases:
        yield databases


@pytest.fixture(scope="session")
def migrated_url(databases: Databases) -> str:
    """An empty database with the newest schema, to copy: migrating takes longer than most tests."""
    url = databases.new()
    with closing(Database(url)) as database:
        database.migrate()
    return url


@pytest.fixture(scope="session")
def prepared_site(tmp_path_factory: pytest.TempPathFactory, databases: Databases, migrated_url: str) -> PreparedSite:
    key_file = tmp_path_factory.mktemp("site") / "server.key"
    url = databases.copy(migrated_url)
    with closing(Database(url)) as database, database.write() as session:
        embedded = setup.ensure_embedded_site(session, username="operator", key=load_or_create(key_file))
    return PreparedSite(url, key_file, {"operator": embedded.user_token, "lando": embedded.daemon_token})


@pytest.fixture
def settings(tmp_path: Path, databases: Databases, prepared_site: PreparedSite) -> Iterator[Settings]:
    shutil.copy(prepared_site.key_file, tmp_path / "server.key")
    url = databases.copy(prepared_site.database_url)
    yield Settings(
        database_url=url,
        key_file=str(tmp_path / "server.key"),
        files_dir=str(tmp_path / "files"),
        archive_url=str(tmp_path / "archive"),
        results_roots=[str(tmp_path / "results")],
        public_url="http://testserver",
        check_workflows=False,
    )
    databases.drop(url)


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """One event loop for all servers: to make one for each request takes longer than most requests."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def serve(settings: Settings, prepared_site: PreparedSite, portal: BlockingPortal) -> Iterator[Serve]:
    """Starts a server whose outbox publishes only when a test drains it."""
    apis: list[Api] = []

    def start(*, live_logs: LiveLogs | None = None, **changes: Any) -> Api:
        broker = FakeBroker()
        app = create_app(replace(settings, **changes), publishers=broker, live_logs=live_logs)
        api = Api(app, client_of(app, portal), broker, dict(prepared_site.tokens))
        apis.append(api)
        return api

    yield start
    for api in apis:
        api.site.database.close()
        api.client.close()


@pytest.fixture
def api(serve: Serve) -> Api:
    return serve()
