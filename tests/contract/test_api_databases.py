"""The API does the same on SQLite and on PostgreSQL: schema, flow, races and the outbox."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from lando.api import fair_use, runs, setup
from lando.api import jobs as actions
from lando.api.app import create_app
from lando.api.auth import Caller
from lando.api.database import Database
from lando.api.fair_use import Limits
from lando.api.models import Job, JobActivity, LandoConnection, PendingCommand
from lando.api.notices import telling
from lando.api.notices.courier import Courier
from lando.api.notices.telling import Channels
from lando.api.outbox import Outbox
from lando.api.settings import Settings
from lando.api.site import Site
from lando.api.unused_files import UnusedFiles
from lando.errors import Unavailable
from sqlalchemy import create_engine, func, make_url, select, text, update
from tests.services.providing import wait_until
from tests.unit.api.serving import Api, FakeBroker
from tests.unit.api.test_phased_runs import bundle, submit


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


def test_a_server_waits_for_its_database_to_be_migrated_by_somebody(database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=database_url, key_file=str(tmp_path / "k"), files_dir=str(tmp_path))
    app = create_app(settings)
    with TestClient(app) as client:
        if not database_url.startswith("sqlite"):
            refused = client.get("/api/v2/jobs/")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert "lando admin migrate" in refused.json()["detail"]
            health = client.get("/readyz")
            assert health.status_code == 503
            assert "lando admin migrate" in health.json()["waits_for"]
            assert "lando_api_jobs{" not in client.get("/metrics").text
            app.state.site.database.migrate()
        wait_until(lambda: client.get("/readyz").status_code == 200, what="the server's opening")
        assert client.get("/api/v2/jobs/").status_code == 401
        assert {"outbox", "unused files"} <= {thread.name for thread in threading.enumerate()}


def test_servers_that_release_and_users_who_cancel_at_once_keep_the_limit_and_block_nobody(api: Api) -> None:
    limits = Limits(running=3, per_user=2)
    users = ["ada", "bob", "eve"]
    jobs = {api.new_job(user): user for user in users for _ in range(4)}
    with api.site.database.write() as session:
        for job in jobs:
            row = session.get_one(Job, job)
            caller = Caller(id=row.user_id, username=jobs[job], is_staff=False)
            actions.start(session, caller, job, in_turn=True)
    servers = [Database(api.site.settings.database_url) for _ in range(2)]
    canceled = list(jobs)[::3]
    try:
        with ThreadPoolExecutor(6) as pool:
            released = [pool.submit(fair_use.release, server, limits) for server in servers for _ in range(6)]
            answers = [pool.submit(api.post, f"/api/v2/jobs/{job}/cancel/", {}, jobs[job]) for job in canceled]
            assert {answer.result().status_code for answer in answers} == {200}
            assert True in {one.result() for one in released}
    finally:
        for server in servers:
            server.close()
    fair_use.release(api.site.database, limits)
    with api.site.database.read() as session:
        rows = session.execute(select(Job.id, Job.user_id, Job.state))
        held = set(session.scalars(select(PendingCommand.job_id).where(PendingCommand.held.is_not(None))))
        at_work = [(job, user) for job, user, state in rows if state in fair_use.AT_WORK and job not in held]
        assert len(at_work) == 3
        assert max(Counter(user for _, user in at_work).values()) <= 2
        assert not held & set(canceled)


def test_of_two_servers_one_delivers_a_notice(api: Api) -> None:
    job = api.new_job()
    channels = Channels(webhook=True, mail=None, letters=frozenset("SF"), sender="", base_url="")
    with api.site.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(state="F"))
        telling.note(session, session.get_one(Job, job), channels)
    taken: list[str] = []
    couriers = [
        Courier(
            api.site.database,
            "webhook",
            deliver=lambda parcel: taken.append(parcel.body),
            word=lambda session, notice: telling.word(session, notice, channels),
            sweep_s=60,
        )
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(Courier.deliver_due, couriers))
    assert len(taken) == 1
    assert '"event": "run.finished"' in taken[0]


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


AFTER = {"": "A", "A": "SC", "S": "c", "c": "c", "C": "rD", "r": "c", "D": ""}
"""Which state may follow which where users start, cancel, restart and delete, and no daemon answers."""


def test_of_simultaneous_actions_on_a_phased_run_exactly_one_wins_and_ids_are_given_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Barrier(4)
    own = runs.own

    def seen_by_all(*arguments: Any) -> Any:
        found = own(*arguments)
        if not api.site.database.is_sqlite:  # whose writers come one after the other
            gate.wait(30)
        return found

    run = submit(api)["id"]
    assert api.call("PUT", f"/api/lando/v1/admin/runs/{run}", {"state": "Error"}, "lando").status_code == 200
    monkeypatch.setattr(runs, "own", seen_by_all)
    with ThreadPoolExecutor(4) as pool:
        restarts = pool.map(lambda _: api.post(f"/api/lando/v1/runs/{run}/restart", user="operator"), range(4))
        assert sorted(answer.status_code for answer in restarts) == [200, 400, 400, 400]
        ids = {made["id"] for made in pool.map(lambda _: submit(api), range(4))}
    assert len(ids | {run}) == 5
    with api.site.database.read() as session:
        commands = session.execute(select(PendingCommand.command).where(PendingCommand.job_id == run)).scalars().all()
    assert commands == ["start", "restart"]


def test_twenty_people_at_once_leave_a_job_that_makes_sense(api: Api) -> None:
    job = api.new_job()
    api.as_user("ada")
    gate = threading.Barrier(20)
    won: list[str] = []

    def act(number: int) -> None:
        gate.wait()
        for action in ("start", "cancel", "restart", "DELETE")[number % 4 :]:
            path = f"/api/v2/jobs/{job}/" + ("" if action == "DELETE" else f"{action}/")
            code = api.call("DELETE" if action == "DELETE" else "POST", path).status_code
            assert code in (200, 204, 400, 404), (action, code)
            if code == 200:
                won.append(action)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with api.site.database.read() as session:
        row = session.get(Job, job)
        letters = [found.state for found in row.activities] if row else []
        generation = row.generation if row else 0
    for before, after in itertools.pairwise(["", *letters]):
        assert after in AFTER[before], letters
    assert won.count("start") <= 1
    api.site.outbox.drain()
    assert [message.generation for message in api.broker.messages] == list(range(1, generation + 1))
    commands = [message.command.value for message in api.broker.messages]
    assert commands.count("start") == won.count("start")
    assert commands.count("restart") == won.count("restart")


def test_a_cancel_that_meets_a_start_cancels_what_was_started(api: Api) -> None:
    """Whatever comes first: the job ends up canceled or canceling, never running on unnoticed."""
    for _ in range(5):
        job = api.new_job()
        gate = threading.Barrier(2)
        codes: dict[str, int] = {}

        def act(action: str, job: int = job, gate: threading.Barrier = gate, codes: dict[str, int] = codes) -> None:
            gate.wait()
            codes[action] = api.post(f"/api/v2/jobs/{job}/{action}/").status_code

        threads = [threading.Thread(target=act, args=(action,)) for action in ("start", "cancel")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes["cancel"] == 200
        assert api.state(job) == ("c" if codes["start"] == 200 else "C")


def test_a_swept_upload_is_named_by_no_input(api: Api) -> None:
    made = api.call("POST", "/api/lando/v1/files?name=a.txt", content=b"x").json()
    body = {"stage_group": api.stage_group(), "destination_path": "a", "sequence_group": None, "sequence": None}
    gate = threading.Barrier(2)
    answers: list[int] = []

    def name_it() -> None:
        gate.wait()
        answers.append(api.post("/api/v2/url-job-input-files/", {**body, "url": made["url"]}).status_code)

    naming = threading.Thread(target=name_it)
    naming.start()
    gate.wait()
    removed = UnusedFiles(api.site.database, api.site.files, keep_s=0).sweep()
    naming.join()
    assert answers == ([400] if removed else [201])
    assert api.get(made["url"]).status_code == (404 if removed else 200)


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
    assert list(api.post("/api/v2/job-templates/create-job", form).json()) == ["stage_group"]


def at_once(actions: Sequence[Callable[[], httpx2.Response]]) -> list[httpx2.Response]:
    """The answers of requests that are made at the same time."""
    gate = threading.Barrier(len(actions))

    def act(action: Callable[[], httpx2.Response]) -> httpx2.Response:
        gate.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def test_of_phased_runs_handed_in_at_once_no_more_are_taken_than_a_user_may_have_under_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.site, "settings", replace(api.site.settings, phases="users"))
    monkeypatch.setattr(runs, "MOST_UNDER_WAY", 2)
    api.as_user("ada")
    answers = at_once([partial(api.call, "POST", "/api/lando/v1/runs", bundle(), "ada")] * 6)
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [400] * 4


def test_a_job_token_that_two_jobs_want_at_once_serves_one(api: Api) -> None:
    api.post("/api/admin/job-tokens/", {"token": "T-1"}, "operator")
    jobs = [api.new_job() for _ in range(3)]
    with api.site.database.write() as session:
        session.execute(update(Job).values(state="N"))
    answers = at_once([partial(api.post, f"/api/v2/jobs/{job}/authorize/", {"token": "T-1"}) for job in jobs])
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    assert all(list(answer.json()) == ["detail"] for answer in answers if answer.status_code == 400)


def test_of_inputs_with_one_destination_that_come_at_once_one_is_taken(api: Api) -> None:
    body = {"stage_group": api.stage_group(), "destination_path": "a", "sequence_group": None, "sequence": None}
    dds = {"project_id": "p", "file_id": "f", "dds_user_credentials": 1}
    answers = at_once(
        [partial(api.post, "/api/v2/url-job-input-files/", {**body, "url": "https://x.org/a"})] * 2
        + [partial(api.post, "/api/v2/dds-job-input-files/", {**body, **dds})] * 2
    )
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    assert all(list(answer.json()) == ["destination_path"] for answer in answers if answer.status_code == 400)


def test_signing_in_for_the_first_time_twice_at_once_makes_one_token(api: Api) -> None:
    with api.site.database.write() as session:
        setup.create_user(session, "grace", password="right")
    login = {"username": "grace", "password": "right"}
    answers = at_once([partial(api.client.post, "/api-auth-token/", json=login)] * 4)
    assert len({answer.json()["token"] for answer in answers}) == 1


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


@pytest.mark.service("postgres")
def test_connections_that_the_database_ends_cost_no_request(postgres_url: str, tmp_path: Path) -> None:
    database = Database(postgres_url)
    database.migrate()
    other = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))

    def end_all() -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND datname = "
        with other.connect() as connection:
            connection.execute(text(query + "current_database()"))

    def cut_off(database: Database) -> None:
        with database.write() as session:
            session.execute(text("SELECT 1"))
            end_all()
            session.execute(text("SELECT 1"))

    try:
        for _ in range(3):
            with database.read() as session:
                assert session.execute(text("SELECT 1")).scalar() == 1
            end_all()
        with pytest.raises(Unavailable):
            cut_off(database)
        with database.write() as session:
            assert session.execute(text("SELECT 1")).scalar() == 1
    finally:
        other.dispose()
        database.close()
