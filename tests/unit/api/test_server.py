"""The server as a thread: starts, answers, measures itself, stops."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from lando.api import setup
from lando.api.schema_version import HEAD
from lando.api.server import Server
from lando.api.settings import Settings
from lando.errors import ConfigError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from tests.services.promtool import promtool
from tests.unit.api.serving import PACKED, Api, FakeBroker, Serve

TIMEOUT_S = 10


def test_it_takes_a_free_port_and_gives_out_urls_that_lead_to_it(settings: Settings) -> None:
    broker = FakeBroker()
    with Server(replace(settings, port=0, public_url=None), publishers=broker) as server:
        assert server.settings.port != 0
        assert requests.get(f"{server.url}/healthz", timeout=TIMEOUT_S).json()["status"] == "ok"
        with server.site.database.write() as session:
            token = setup.ensure_embedded_site(session, username="ada", key=server.site.key).user_token
        headers = {"Authorization": f"Token {token}"}
        made = requests.post(f"{server.url}/api/lando/v1/files?name=a", b"x", headers=headers, timeout=TIMEOUT_S).json()
        assert made["url"].startswith(server.url)
        assert requests.get(made["url"], headers=headers, timeout=TIMEOUT_S).content == b"x"
    assert not any(thread.name in ("api", "outbox") for thread in threading.enumerate())
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/healthz", timeout=TIMEOUT_S)


def test_a_port_in_use_is_one_clear_sentence(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^Port {port} of 127.0.0.1 is in use by another program"):
            Server(replace(settings, port=port))


@pytest.mark.parametrize(
    "named",
    [
        {"webhook_url": "https://hook.example.org/", "webhook_secret_file": "/nowhere/secret"},
        {"smtp_host": "mail.example.org", "mail_from": "lando@example.org", "smtp_username": "lando"}
        | {"smtp_password_file": "/nowhere/secret"},
    ],
)
def test_a_secret_that_is_not_there_is_refused_at_the_start(settings: Settings, named: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"_file: /nowhere/secret can't be read: No such file or directory\.$"):
        Server(replace(settings, port=0, **named))  # type: ignore[arg-type]


def test_a_file_that_is_no_database_is_refused_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but long enough to be looked at\n" * 100)
    with pytest.raises(ConfigError, match=r"The database .*notes\.txt can't be used: file is not a database\."):
        Server(replace(settings, port=0, database_url=f"sqlite:///{tmp_path}/notes.txt"))


def test_a_database_that_can_not_be_opened_frees_the_port_again(settings: Settings) -> None:
    with pytest.raises(ConfigError):
        Server(replace(settings, port=0, database_url="mysql://x/y"))


def test_stopping_ends_those_who_wait(settings: Settings) -> None:
    server = Server(replace(settings, port=0, public_url=None), publishers=FakeBroker())
    server.start()
    with server.site.database.write() as session:
        embedded = setup.ensure_embedded_site(session, username="ada", key=server.site.key)
    api = Api(None, None, FakeBroker(), {"ada": embedded.user_token})  # type: ignore[arg-type]
    job = new_running_job(server.url, api.as_user("ada"), {"Authorization": f"Token {embedded.daemon_token}"})
    said: list[str] = []
    following = threading.Event()

    def follow() -> None:
        url = f"{server.url}/api/lando/v1/runs/{job}/logs?follow=true"
        with requests.get(url, headers=api.as_user("ada"), stream=True, timeout=TIMEOUT_S) as answer:
            following.set()
            said.append(answer.text)

    thread = threading.Thread(target=follow)
    thread.start()
    assert following.wait(TIMEOUT_S)
    server.stop()
    thread.join(TIMEOUT_S)
    assert said == [""]
    assert server.wait(0)


def new_running_job(url: str, user: dict[str, str], daemon: dict[str, str]) -> int:
    """A job of a real server, as far as its first step."""

    def post(path: str, body: object) -> dict[str, Any]:
        answer = requests.post(url + path, json=body, headers=user, timeout=TIMEOUT_S)
        assert answer.status_code == 201, answer.text
        result: dict[str, Any] = answer.json()
        return result

    tag = post("/api/lando/v1/workflows", {"name": "x", "packed": PACKED})["tag"]
    group = post("/api/v2/job-file-stage-groups/", {})["id"]
    order = {"threads": 1, "reads": []}
    form = {"tag": tag, "name": "x", "fund_code": "x", "stage_group": group, "job_order": order}
    job = int(post("/api/v2/job-templates/create-job", form)["job"])
    body = {"state": "R", "step": "S"}
    answer = requests.put(f"{url}/api/v2/admin/jobs/{job}/", json=body, headers=daemon, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    return job


def test_metrics_tell_requests_jobs_and_waiting_commands(api: Api) -> None:
    job = api.new_job()
    api.broker.away = True
    api.post(f"/api/v2/jobs/{job}/start/")
    api.client.get("/nothing")
    text = api.client.get("/metrics").text
    assert 'lando_api_jobs{state="Starting"} 1.0' in text
    assert "lando_api_commands_waiting 1.0" in text
    assert 'method="POST",route="/api/v2/jobs/{job_id}/start",status="200"' in text
    assert 'route="(none)"' in text
    assert "lando_api_database_up 1.0" in text


@pytest.mark.service("promtool")
def test_promtool_has_nothing_to_say_about_the_server_s_metrics(api: Api) -> None:
    api.new_job()
    checked = promtool("check", "metrics", text=api.client.get("/metrics").content)
    assert [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("lando_")] == []


def take_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let no database answer from now on."""

    def connect(_engine: Engine) -> NoReturn:
        raise OperationalError("", None, ConnectionError("connection to db.internal as lando refused"))

    monkeypatch.setattr(Engine, "connect", connect)
    return monkeypatch


def test_metrics_go_on_while_the_database_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch)
    text = api.client.get("/metrics").text
    assert "lando_api_database_up 0.0" in text
    assert "lando_build_info{" in text
    assert "lando_api_commands_waiting " not in text


def test_a_database_that_is_away_makes_the_server_unready_but_a_restart_would_not_help(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert api.client.get("/readyz").status_code == 200
    away = take_away(monkeypatch)
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    said = answer.json()["waits_for"]
    assert re.fullmatch(r"database: not available since 20\S+Z; the server's log says why\.", said)
    assert api.client.get("/readyz").json()["waits_for"] == said, "since when it was first missed"
    assert api.client.get("/healthz").status_code == 200
    lines = [record.getMessage() for record in caplog.records if "db.internal" in record.getMessage()]
    assert lines == ["The database is not available: connection to db.internal as lando refused"]
    away.undo()
    assert api.client.get("/readyz").status_code == 200
    assert api.site.database.away_since is None


def test_a_broker_that_refuses_commands_is_told_of_without_its_name(api: Api) -> None:
    api.broker.away = True
    api.post(f"/api/v2/jobs/{api.new_job()}/start/")
    api.site.outbox.drain()
    answer = api.client.get("/readyz").json()
    assert answer["status"] == "commands wait for the broker"
    assert re.fullmatch(r"lando: takes no command since 20\S+Z; the server's log says why\.", answer["broker"])


@pytest.mark.parametrize(("version", "status"), [("0001", 503), (HEAD, 200), ("9999", 200)])
def test_a_server_is_ready_with_its_own_schema_and_with_one_that_came_since(
    api: Api, version: str, status: int
) -> None:
    with api.site.database.write() as session:
        session.connection().exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    answer = api.client.get("/readyz")
    assert answer.status_code == status
    assert ("lando admin migrate" in answer.text) is (status == 503)
    assert api.client.get("/healthz").status_code == 200


def test_an_outbox_that_ended_or_hangs_is_red(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = api.site.outbox
    outbox.start()
    assert api.client.get("/healthz").json() == {"status": "ok"}
    monkeypatch.setattr(outbox._pulse, "limit_s", -1.0)
    assert "The outbox hangs" in api.client.get("/healthz").json()["wrong"]
    monkeypatch.undo()
    api.post(f"/api/v2/jobs/{api.new_job()}/start/")
    outbox.drain()
    api.broker.trouble = "The thread that publishes has ended."
    assert api.client.get("/healthz").json() == {"status": "broken", "wrong": api.broker.trouble}
    api.broker.trouble = None
    thread, outbox._thread = outbox._thread, threading.Thread()
    for path in ("/healthz", "/readyz"):
        answer = api.client.get(path)
        assert answer.status_code == 503
        assert "The outbox's thread has ended: no command is published." in answer.text
    outbox._thread = thread
    outbox.stop()
    assert api.client.get("/healthz").status_code == 200, "an orderly end is no fault"


def test_a_broker_that_blocks_publishing_is_named_while_it_does(api: Api) -> None:
    api.broker.blocked = "The broker blocks publishing since 2026-03-04T12:00:00Z (low on memory)."
    assert api.client.get("/readyz").json()["status"] == "ok", "no command has gone there"
    api.post(f"/api/v2/jobs/{api.new_job()}/start/")
    api.site.outbox.drain()
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "commands wait for the broker")
    assert answer.json()["broker"] == f"lando: {api.broker.blocked}"
    api.broker.blocked = None
    assert api.client.get("/readyz").json() == {"status": "ok", "commands_waiting": 0, "oldest_command_s": 0.0}


def test_a_server_answers_for_the_daemons_of_its_process(api: Api) -> None:
    class Daemon:
        trouble: str | None = None
        wait: str | None = None

        def wrong(self) -> str | None:
            return self.trouble

        def waits_for(self) -> str | None:
            return self.wait

        def note(self) -> str | None:
            return None

    daemon = Daemon()
    api.site.parts.append(daemon)
    assert api.client.get("/readyz").status_code == 200
    daemon.wait = "The cluster is away."
    assert api.client.get("/readyz").json() == {"status": "unavailable", "waits_for": "The cluster is away."}
    assert api.client.get("/healthz").json() == {"status": "waiting", "waits_for": "The cluster is away."}
    daemon.trouble = "A worker has ended."
    assert api.client.get("/healthz").status_code == 503
    assert api.client.get("/healthz").json()["wrong"] == "A worker has ended."


def test_the_openapi_description_is_served_without_documentation_pages(serve: Serve) -> None:
    api = serve()
    assert "/api/v2/jobs/{job_id}/start" in api.client.get("/api/lando/v1/openapi.json").json()["paths"]
    assert api.client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("trusted", "given", "seen"),
    [
        (["127.0.0.1"], "192.0.2.7", "192.0.2.7"),
        (["127.0.0.1"], "10.6.6.6, 192.0.2.7", "192.0.2.7"),
        (["127.0.0.1", "10.0.0.0/8"], "192.0.2.7, 10.1.2.3", "192.0.2.7"),
        ([], "192.0.2.7", "127.0.0.1"),
        (["10.0.0.0/8"], "192.0.2.7", "127.0.0.1"),
    ],
)
def test_a_client_has_the_address_that_a_trusted_proxy_tells(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, trusted: list[str], given: str, seen: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    changed = replace(settings, port=0, public_url=None, trusted_proxies=trusted)
    with Server(changed, publishers=FakeBroker()) as server:
        login = {"username": "eve", "password": "wrong"}
        url, headers = f"{server.url}/api-auth-token/", {"X-Forwarded-For": given}
        assert requests.post(url, json=login, headers=headers, timeout=TIMEOUT_S).status_code == 400
        assert list(server.site.throttle._failures) == [("eve", seen)]


def test_more_requests_than_are_taken_at_a_time_are_503_but_for_operators(serve: Serve) -> None:
    api = serve(max_requests=1)
    inside: dict[str, Any] = {}

    def look() -> None:
        for path in ("/api/v2/jobs/", "/healthz", "/readyz", "/metrics"):
            inside[path] = api.client.get(path)

    monkey = pytest.MonkeyPatch()
    jobs = api.site.database.read

    def reading() -> Any:
        monkey.undo()
        look()
        return jobs()

    headers = api.as_user("ada")
    monkey.setattr(api.site.database, "read", reading)
    assert api.client.get("/api/v2/jobs/", headers=headers).status_code == 200
    refused = inside.pop("/api/v2/jobs/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json() == {"detail": "The server has 1 requests at work already; try again."}
    assert {answer.status_code for answer in inside.values()} == {200}
    assert api.get("/api/v2/jobs/").status_code == 200
