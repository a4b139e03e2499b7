"""The API server while its database or its broker is frozen: connected, and silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from lando.api import outbox, setup
from lando.api.database import Database
from lando.api.keys import load_or_create
from lando.api.models import LandoConnection
from lando.api.server import Server
from lando.api.settings import Settings
from lando.queues.rabbitmq import link, parameters
from sqlalchemy import make_url, update
from tests.services.providing import wait_until
from tests.services.proxy import Proxy, proxy
from tests.services.silent import silent_peer
from tests.unit.api.serving import PACKED, FakeBroker


class Client:
    """A user of the server."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        self._token = token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Token {self._token}"}
        answer = requests.request(method, f"{self.server.url}{path}", headers=headers, json=body, timeout=60)
        return answer.status_code, answer.json()

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)


def client_of(settings: Settings, broker_url: str | None = None, **parts: Any) -> Client:
    """The user of a new site on a server that has yet to be started."""
    database = Database(settings.database_url)
    database.migrate()
    key = load_or_create(settings.key_file)
    with database.write() as session:
        site = setup.ensure_embedded_site(session, username="ada", key=key)
        session.execute(update(LandoConnection).values(url=broker_url))
    database.close()
    return Client(Server(settings, **parts), site.user_token)


def settings_for(database_url: str, folder: Path) -> Settings:
    return Settings(
        database_url=database_url,
        key_file=str(folder / "key"),
        files_dir=str(folder / "files"),
        port=0,
        check_workflows=False,
    )


@pytest.fixture
def between(postgres_url: str) -> Iterator[Proxy]:
    """The network to the database."""
    url = make_url(postgres_url)
    with proxy(str(url.host), url.port or 5432) as made:
        yield made


@pytest.mark.service("postgres")
def test_a_silent_database_is_an_answer_and_no_hindrance_to_ending(
    postgres_url: str, between: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lando.api import postgres

    monkeypatch.setattr(postgres, "ANSWER_S", 0.5)
    through = make_url(postgres_url).set(host="127.0.0.1", port=between.port, query={"connect_timeout": "2"})
    client = client_of(settings_for(through.render_as_string(hide_password=False), tmp_path), publishers=FakeBroker())
    with client.server:
        wait_until(lambda: client.get("/readyz")[0] == 200, what="being ready")
        assert client.get("/api/v2/jobs/") == (200, [])
        between.freeze()
        with ThreadPoolExecutor(20) as users:
            answers = list(users.map(client.get, ["/api/v2/jobs/"] * 40))
        assert {status for status, _ in answers} == {503}
        assert {answer["detail"] for _, answer in answers} == {"The database is not available; try again."}
        status, ready = client.get("/readyz")
        assert (status, ready["waits_for"].partition(" since")[0]) == (503, "database: not available")
        assert client.get("/healthz")[0] == 200
        between.freeze(False)
        wait_until(lambda: client.get("/readyz")[0] == 200, what="being ready again")
        assert client.get("/api/v2/jobs/") == (200, [])
        between.freeze()
        asking = threading.Thread(target=client.get, args=("/api/v2/jobs/",))
        asking.start()
    assert client.server.wait(0), "it has ended by itself, and not been given up"
    between.freeze(False)
    asking.join(60)


def test_a_silent_broker_delays_commands_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(link, "BACKOFF_S", 0.01)
    monkeypatch.setattr(outbox, "CONFIRM_S", 2.0)
    with silent_peer() as broker:
        settings = settings_for(f"sqlite:///{tmp_path}/lando.db", tmp_path)
        client = client_of(settings, f"amqp://guest:guest@127.0.0.1:{broker.port}/")
        with client.server:
            packed = {"name": "counts", "packed": PACKED}
            tag = client.ask("POST", "/api/lando/v1/workflows", packed)[1]["tag"]
            group = client.ask("POST", "/api/v2/job-file-stage-groups/", {})[1]["id"]
            order = {"threads": 4, "reads": [{"class": "File", "path": "a.fastq"}]}
            form = {"tag": tag, "name": "n", "fund_code": "F", "stage_group": group, "job_order": order}
            job = client.ask("POST", "/api/v2/job-templates/create-job", form)[1]["job"]
            status, started = client.ask("POST", f"/api/v2/jobs/{job}/start/", {})
            assert (status, started["state"]) == (200, "S")

            def told() -> str:
                status, ready = client.get("/readyz")
                assert status == 200
                return str(ready.get("broker"))

            wait_until(lambda: "takes no command since" in told(), what="the broker's absence")
            assert str(broker.port) not in told(), "that is for the log"
            assert client.get("/readyz")[1]["status"] == "commands wait for the broker"
        assert client.server.wait(0), "it has ended by itself, and not been given up"
