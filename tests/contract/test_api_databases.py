"""The API does the same on SQLite and on PostgreSQL: schema, flow, races and the outbox."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fastapi.testclient import TestClient
from lando.api import setup
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.models import Base, Job, JobActivity, LandoConnection, PendingCommand
from lando.api.outbox import Outbox
from lando.api.settings import Settings
from lando.api.site import Site
from lando.errors import ConfigError
from sqlalchemy import func, select
from tests.unit.api.serving import Api, FakeBroker


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service("postgres"))])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lando.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    database = Database(database_url)
    database.migrate()
    database.close()
    broker = FakeBroker()
    settings = Settings(
        database_url=database_url,
        key_file=str(tmp_path / "key"),
        files_dir=str(tmp_path / "files"),
        public_url="http://testserver",
    )
    app = create_app(settings, publishers=broker)
    site: Site = app.state.site
    with site.database.write() as session:
        embedded = setup.ensure_embedded_site(session, username="operator", key=site.key)
    client = TestClient(app)
    yield Api(app, client, broker, {"operator": embedded.user_token, "lando": embedded.daemon_token})
    site.database.close()
    client.close()


def test_the_migrations_make_exactly_the_models_tables(api: Api) -> None:
    with api.site.database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(api: Api) -> None:
    before = api.site.database.version()
    api.site.database.migrate()
    assert api.site.database.version() == before


def test_a_server_database_is_not_migrated_unasked(database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=database_url, key_file=str(tmp_path / "k"), files_dir=str(tmp_path))
    if database_url.startswith("sqlite"):
        app = create_app(settings)
        app.state.site.database.close()
        return
    with pytest.raises(ConfigError, match="lando admin migrate"):
        create_app(settings)


def test_a_job_goes_from_a_tag_to_its_end(api: Api) -> None:
    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    assert api.published() == [("start", job)]
    api.write(job, "R/", "R/V", "R/S", "R/R", "R/o", "R/O", "F/")
    run = api.get(f"/api/lando/v1/runs/{job}").json()
    assert run["state"] == "Finished"
    assert [step["state"] for step in run["steps"]] == ["Complete"] * 4
    assert api.get(f"/api/v2/jobs/{job}").json()["created"].endswith("Z")
    error = {"job": str(job), "job_step": "", "content": "a\0 ü \U0001f9ec"}
    assert api.post("/api/v2/admin/job-errors/", error, "lando").status_code == 201


def test_odd_ids_and_texts_are_answers_not_failures(api: Api) -> None:
    api.new_job()
    for text in ("99999999999999999999", "2147483648", "-1", "%00"):
        assert api.get(f"/api/v2/admin/jobs/{text}/", "lando").status_code == 404
    assert api.get("/api/v2/admin/jobs/?state=%00", "lando").json() == []
    assert api.get("/api/v2/workflows/?tag=%00x").json() == []
    assert api.get("/api/v2/job-strategies/?name=%00x").json() == []
    assert api.get("/api/job-errors/?job=99999999999").json() == []
    body = {"job": 2**31, "job_step": "S", "content": "x"}
    assert api.post("/api/v2/admin/job-errors/", body, "lando").status_code == 400
    assert api.put("/api/v2/admin/jobs/1/", {"name": "x" * 256}).status_code == 400


def test_of_simultaneous_starts_exactly_one_wins(api: Api) -> None:
    job = api.new_job()
    gate = threading.Barrier(6)
    codes: list[int] = []

    def start() -> None:
        gate.wait()
        codes.append(api.post(f"/api/v2/jobs/{job}/start/").status_code)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [400] * 5
    assert api.published() == [("start", job)]
    with api.site.database.read() as session:
        assert session.get_one(Job, job).generation == 1
        assert session.execute(select(func.count(JobActivity.id))).scalar() == 2


def test_of_simultaneous_guarded_writes_exactly_one_wins(api: Api) -> None:
    job = api.new_job()
    etag = api.get(f"/api/v2/admin/jobs/{job}/", "lando").headers["etag"]
    gate = threading.Barrier(4)
    codes: list[int] = []

    def write(step: str) -> None:
        gate.wait()
        codes.append(api.put(f"/api/v2/admin/jobs/{job}/", {"step": step}, If_Match=etag).status_code)

    threads = [threading.Thread(target=write, args=(step,)) for step in "VSRo"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 412, 412, 412]


def test_simultaneous_unguarded_writes_all_succeed(api: Api) -> None:
    job = api.new_job()
    gate = threading.Barrier(4)
    codes: list[int] = []

    def write(step: str) -> None:
        gate.wait()
        codes.append(api.put(f"/api/v2/admin/jobs/{job}/", {"step": step}).status_code)

    threads = [threading.Thread(target=write, args=(step,)) for step in "VSRo"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 4
    with api.site.database.read() as session:
        assert session.get_one(Job, job).version == 5


def test_of_simultaneous_orders_for_one_stage_group_exactly_one_wins(api: Api) -> None:
    form = api.form()
    gate = threading.Barrier(4)
    codes: list[int] = []

    def order() -> None:
        gate.wait()
        codes.append(api.post("/api/v2/job-templates/create-job", form).status_code)

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201, 400, 400, 400]
    assert len(api.get("/api/v2/jobs/").json()) == 1


def test_several_servers_publish_each_command_once(api: Api) -> None:
    count = 150
    with api.site.database.write() as session:
        connection = session.scalars(select(LandoConnection)).one()
        for number in range(count):
            session.add(
                PendingCommand(
                    job_id=number,
                    lando_connection_id=connection.id,
                    command="start",
                    generation=1,
                    message_id=f"m-{number}",
                )
            )
    outboxes = [Outbox(api.site.database, api.broker) for _ in range(3)]
    threads = [threading.Thread(target=outbox.drain) for outbox in outboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(message.run_id for message in api.broker.messages) == list(range(count))
    assert api.site.outbox.waiting()[0] == 0
