"""A site is saved while it is at work, put back in another place, and goes on there; on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lando.api import backup, run_ids, setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.settings import Settings
from lando.errors import ConfigError
from sqlalchemy import make_url
from tests.services.databases import PostgresDatabases
from tests.services.providing import missing
from tests.unit.api.serving import Api, FakeBroker
from tests.unit.api.test_phased_runs import submit

New = Callable[[str], Settings]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service("postgres"))])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[New]:
    """Settings of a place where nothing is yet."""
    with ExitStack() as stack:

        def new(name: str) -> Settings:
            folder = tmp_path / name
            url = f"sqlite:///{folder}/lando.db"
            if request.param == "postgresql":
                if shutil.which("pg_dump") is None:
                    missing("postgres", "apt-get install postgresql-client, for pg_dump")
                databases = stack.enter_context(closing(PostgresDatabases(request.getfixturevalue("postgres"))))
                url = databases.new()
                stack.callback(databases.remove, url)
            key, files = str(folder / "server.key"), str(folder / "files")
            return Settings(database_url=url, key_file=key, files_dir=files, public_url="http://testserver")

        yield new


@pytest.fixture
def open_site() -> Iterator[Callable[[Settings, dict[str, str]], Api]]:
    with ExitStack() as stack:

        def open_site(settings: Settings, tokens: dict[str, str]) -> Api:
            broker = FakeBroker()
            app = create_app(settings, publishers=broker)  # type: ignore[arg-type]
            stack.callback(app.state.site.database.close)
            return Api(app, stack.enter_context(closing(TestClient(app))), broker, tokens)

        yield open_site


def test_a_restored_site_goes_on_where_the_backup_was_made(
    new_place: New, open_site: Callable[[Settings, dict[str, str]], Api], tmp_path: Path
) -> None:
    settings = new_place("old")
    with closing(Database(settings.database_url)) as database:
        database.migrate()
    old = open_site(settings, {})
    with old.site.database.write() as session:
        made = setup.ensure_embedded_site(session, username="operator", key=old.site.key)
    old.tokens.update({"operator": made.user_token, "lando": made.daemon_token})
    upload = old.call("POST", "/api/lando/v1/files?name=reads.fastq", content=b"@r1").json()
    running, waiting = old.new_job(), old.new_job()
    old.post(f"/api/v2/jobs/{running}/start/")
    assert old.published() == [("start", running)]
    old.write(running, "R/", "R/V", "R/S", "R/R")
    (signed,) = re.findall(r'"(http[^"]*signature=[^"]*)"', old.get(f"/api/v2/admin/jobs/{running}/", "lando").text)
    phased = submit(old)["id"]
    assert old.published()[1:] == [("start", phased)]
    old.post(f"/api/v2/jobs/{waiting}/start/")  # the broker has not got this yet

    backup.back_up(settings, tmp_path / "saved")
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "saved").iterdir() if file.is_file()}
    assert set(modes.values()) == {0o600}, modes
    later = old.new_job()
    assert old.published()[2:] == [("start", waiting)]

    there = new_place("new")
    with pytest.raises(ConfigError, match="not empty"):
        backup.restore(settings, tmp_path / "saved", skip=1000)
    first = backup.restore(there, tmp_path / "saved", skip=1000)
    new = open_site(there, dict(old.tokens))

    assert [job["id"] for job in new.get("/api/v2/jobs/").json()] == [running, waiting], "with the same token"
    assert new.get(upload["url"]).content == b"@r1"
    assert new.client.get(signed).status_code == 200, "a URL that a pod was given is still good"
    assert new.published() == [("start", waiting)]
    (again,), (*_, before) = new.broker.messages, old.broker.messages
    assert (again.id, again.generation) == (before.id, before.generation), "a repetition as any broker makes one"
    new.write(running, "R/o", "R/O", "F/")
    assert new.state(running) == "F"
    assert new.new_job() == first > later, "what the later job left is named by nobody else"
    assert new.new_job() == first + 1
    kept = [site.get(f"/api/lando/v1/runs/{phased}", "operator").json() for site in (old, new)]
    assert kept[0] == kept[1]
    assert submit(new)["id"] == first + 2, "jobs and runs share their ids"


def test_ids_are_left_out_of_a_site_without_jobs(new_place: New, tmp_path: Path) -> None:
    settings = new_place("old")
    with closing(Database(settings.database_url)) as database:
        database.migrate()
        with database.write() as session:
            first = run_ids.skip_ids(session, 10)
            assert first >= 11
            assert run_ids.skip_ids(session, 5) >= first + 5


def test_what_can_not_be_saved_or_put_back_is_one_sentence(new_place: New, tmp_path: Path) -> None:
    settings = new_place("old")
    with pytest.raises(ConfigError, match="nothing to back up"):
        backup.back_up(settings, tmp_path / "saved")
    with pytest.raises(ConfigError, match="holds no backup for these settings"):
        backup.restore(settings, tmp_path, skip=0)
    with closing(Database(settings.database_url)) as database:
        database.migrate()
    with pytest.raises(ConfigError, match="is not there: back up with the server's settings"):
        backup.back_up(settings, tmp_path / "saved")
    other = new_place("other")
    Path(other.key_file).parent.mkdir(exist_ok=True)
    Path(other.key_file).write_text("another\n")
    Path(settings.key_file).parent.mkdir(exist_ok=True)
    Path(settings.key_file).write_text("one\n")
    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        backup.back_up(settings, Path(__file__).parent)
    with pytest.raises(ConfigError, match="is not whole"):
        backup.back_up(settings, Path(__file__) / "below-a-file")
    backup.back_up(settings, tmp_path / "saved")
    with pytest.raises(ConfigError, match="holds another key"):
        backup.restore(other, tmp_path / "saved", skip=0)


@pytest.mark.service("postgres")
def test_a_password_is_given_to_pg_dump_and_shown_to_nobody(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(command: list[str], env: dict[str, str], **_: Any) -> Any:
        assert "s3cret" not in " ".join(command)
        assert env["PGPASSWORD"] == "s3cret"
        raise FileNotFoundError

    monkeypatch.setattr(backup.subprocess, "run", refuse)
    with closing(Database(postgres_url)) as database:
        database.migrate()
    (tmp_path / "k").write_text("key")
    url = make_url(postgres_url).set(password="s3cret").render_as_string(hide_password=False)
    settings = Settings(database_url=url, key_file=str(tmp_path / "k"), files_dir=str(tmp_path / "f"))
    with pytest.raises(ConfigError, match="pg_dump is not installed"):
        backup.back_up(settings, tmp_path / "saved")
