"""A whole API server in the process: SQLite in a temporary folder, a broker that notes what it is sent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi.testclient import TestClient
from lando.api import setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.keys import load_or_create
from lando.api.settings import Settings
from lando.api.site import LiveLogs
from tests.unit.api.serving import Api, FakeBroker, Serve


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the newest schema, to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("api") / "empty.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def site_to_copy(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> tuple[Path, dict[str, str]]:
    """Database and key of a site that is set up, to copy likewise, and the tokens of its users."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(migrated, folder / "lando.db")
    database = Database(f"sqlite:///{folder / 'lando.db'}")
    with database.write() as session:
        embedded = setup.ensure_embedded_site(session, username="operator", key=load_or_create(folder / "server.key"))
    database.close()
    return folder, {"operator": embedded.user_token, "lando": embedded.daemon_token}


@pytest.fixture
def settings(tmp_path: Path, site_to_copy: tuple[Path, dict[str, str]]) -> Settings:
    folder, _ = site_to_copy
    for name in ("lando.db", "server.key"):
        shutil.copy(folder / name, tmp_path / name)
    return Settings(
        database_url=f"sqlite:///{tmp_path}/lando.db",
        key_file=str(tmp_path / "server.key"),
        files_dir=str(tmp_path / "files"),
        archive_url=str(tmp_path / "archive"),
        results_roots=[str(tmp_path / "results")],
        public_url="http://testserver",
    )


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """One event loop for all servers: to make one for each request takes longer than most requests."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def serve(settings: Settings, site_to_copy: tuple[Path, dict[str, str]], portal: BlockingPortal) -> Iterator[Serve]:
    """Starts a server whose outbox publishes only when a test drains it."""
    clients: list[TestClient] = []
    _, tokens = site_to_copy

    def start(*, live_logs: LiveLogs | None = None, **changes: Any) -> Api:
        broker = FakeBroker()
        app = create_app(replace(settings, **changes), publishers=broker, live_logs=live_logs)
        client = TestClient(app)
        client.portal = portal
        clients.append(client)
        return Api(app, client, broker, dict(tokens))

    yield start
    for client in clients:
        client.app.state.site.database.close()  # type: ignore[attr-defined]
        client.close()


@pytest.fixture
def api(serve: Serve) -> Api:
    return serve()
