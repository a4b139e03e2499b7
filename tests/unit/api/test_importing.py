"""What staff set up at an original is carried over, once; users keep passwords and tokens."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lando.api import importing, setup
from lando.api import models as m
from lando.api.app import create_app
from lando.api.database import Database
from lando.api.server import Server
from lando.api.settings import Settings
from lando.cli import administration
from lando.errors import InputError
from sqlalchemy import select
from tests.services.databases import Databases
from tests.unit.api.serving import Api, FakeBroker


class OverHttp:
    """Reads the lists of a server of ours, whose forms are the original's."""

    def __init__(self, api: Api, hidden: Mapping[str, Any]) -> None:
        self._api = api
        self._hidden = hidden
        """What the original shows of a connection and ours does not."""

    def items(self, path: str) -> Iterator[Any]:
        answer = self._api.get(f"/api/{path}", "operator")
        assert answer.status_code == 200, path
        for item in answer.json():
            yield item | self._hidden if "lando-connections" in path else item


@pytest.fixture
def here(databases: Databases, migrated_url: str) -> Iterator[Database]:
    """A database with nobody in it but an operator."""
    url = databases.copy(migrated_url)
    with closing(Database(url)) as database:
        with database.write() as session:
            setup.create_user(session, "root", is_staff=True)
        yield database
    databases.drop(url)


@pytest.fixture
def original(api: Api) -> importing.Original:
    """A site with a workflow of staff's, and jobs."""
    with api.site.database.write() as session:
        strategy = session.scalars(select(m.JobStrategy)).one()
        group = setup.create_share_group(session, "reviewers", email="r@example.org", members=[("Grace", "dds-1")])
        workflow = setup.create_workflow(session, "Exome analysis", tag="exome")
        fields = [{"name": "threads", "type": "int"}]
        for version in ("4.0.0", "4.1.0"):
            url = f"https://files.example.org/exome-{version}.cwl"
            made = setup.create_workflow_version(session, workflow, version, url=url, fields=fields, methods="# M")
        made.tool_details = m.ToolDetails(details=[{"name": "bwa"}])
        order = {"reference": {"class": "File", "path": "/b37.fa"}}
        setup.create_configuration(
            session, workflow, "b37", strategy=strategy, share_group=group, system_job_order=order
        )
        retired = setup.create_workflow(session, "Old", tag="old")
        retired.state = "D"
        setup.create_job_token(session, "T-1")
        for name, body in (("job-error-user", "{{ name }} failed."), ("job-cancel-user", "{% load tz %}")):
            session.add(m.EmailTemplate(name=name, subject_template="Job {{ id }}", body_template=body))
    for _ in range(3):
        last = api.new_job()
    api.post(f"/api/v2/jobs/{last}/start/")
    return importing.read(OverHttp(api, {"host": "mq.example.org", "username": "lando", "password": "s3cret"}))


def test_what_jobs_are_made_of_is_the_same_afterwards(here: Database, original: importing.Original) -> None:
    with here.write() as session:
        done = importing.write(session, original, operator="root")
    (left,) = done.left
    assert left.startswith("The email template job-cancel-user is left out: ")
    assert (done.new["versions"], done.new["configurations"]) == (3, 2), "one is a user's own"
    with here.read() as session:
        workflow = session.scalars(select(m.Workflow).where(m.Workflow.tag == "exome")).one()
        assert [version.version for version in workflow.versions] == ["4.0.0", "4.1.0"]
        newest = workflow.versions[1]
        assert (newest.url, newest.fields) == (
            "https://files.example.org/exome-4.1.0.cwl",
            [{"name": "threads", "type": "int"}],
        )
        assert newest.methods_document is not None
        assert newest.methods_document.content == "# M"
        assert newest.tool_details is not None
        made = session.scalars(select(m.WorkflowConfiguration).where(m.WorkflowConfiguration.tag == "b37")).one()
        assert made.system_job_order == {"reference": {"class": "File", "path": "/b37.fa"}}
        group = session.get_one(m.ShareGroup, made.share_group_id)
        assert [(member.name, member.dds_id) for member in group.users] == [("Grace", "dds-1")]
        settings = made.default_job_strategy.job_settings
        assert settings.runtime is not None
        assert [step.step_type for step in settings.runtime.steps][:2] == ["stage_data", "run_workflow"]
        connection = settings.lando_connection
        assert (connection.host, connection.password, connection.message_format) == (
            "mq.example.org",
            "s3cret",
            "pickle",
        )
        assert session.scalars(select(m.Workflow.state).where(m.Workflow.tag == "old")).one() == "D"
        assert session.scalars(select(m.JobToken.token)).all() == ["T-1"]
        assert session.scalars(select(m.StorageCredential)).one().dds_id == ""
        assert session.scalars(select(m.EmailTemplate.name)).all() == ["job-error-user"]


def test_a_client_of_the_original_goes_on_with_its_token_and_tag(
    api: Api, here: Database, original: importing.Original, settings: Settings
) -> None:
    rows = ["username,is_staff,token", f"ada,f,{api.tokens['ada']}", f"lando,t,{api.tokens['lando']}"]
    with here.write() as session:
        importing.write(session, original, operator="root")
        importing.write_users(session, importing.users_of(rows))
    broker = FakeBroker()
    url = here._url.render_as_string(hide_password=False)
    app = create_app(replace(settings, database_url=url), publishers=broker)  # type: ignore[arg-type]
    with closing(app.state.site.database), closing(TestClient(app)) as client:
        moved = Api(app, client, broker, {name: api.tokens[name] for name in ("ada", "lando")})
        form = {"tag": "exome/4.1.0/b37", "name": "n", "fund_code": "f", "stage_group": moved.stage_group()}
        made = moved.post("/api/v2/job-templates/create-job", form | {"job_order": {"threads": 2}})
        assert made.status_code == 201, made.text
        job = made.json()["job"]
        assert job == original.last_job + 1
        assert moved.post(f"/api/v2/jobs/{job}/start/").status_code == 200
        assert moved.published() == [("start", job)]
        assert broker.bodies[0].startswith(b"\x80"), "whoever reads the queue may be the original's lando"
        moved.write(job, "R/", "R/S", "F/")
        assert moved.state(job) == "F"


def test_an_import_is_repeated_without_harm(here: Database, original: importing.Original) -> None:
    with here.write() as session:
        first = importing.write(session, original, operator="root")
    with here.write() as session:
        again = importing.write(session, original, operator="root")
    assert not again.new
    assert again.known == first.new + first.known, "what was left out is left out again"
    assert again.next_job == first.next_job


def test_no_new_job_gets_the_id_of_one_that_stays_behind(
    api: Api, here: Database, original: importing.Original
) -> None:
    assert original.last_job == max(job["id"] for job in api.get("/api/v2/jobs/").json())
    with here.write() as session:
        assert importing.write(session, original, operator="root").next_job == original.last_job + 1
    with api.site.database.write() as session:
        assert importing.write(session, original, operator="operator").next_job == original.last_job + 1
    assert api.new_job() == original.last_job + 1


def test_settings_that_no_job_shows_are_named(here: Database, original: importing.Original) -> None:
    bare = importing.Original(lists=original.lists, runtimes={}, last_job=0)
    with here.write() as session:
        done = importing.write(session, bare, operator="root")
    assert "The job settings default have no runtime: no job shows which steps they have." in done.left


def test_an_import_needs_an_operator_and_lists_that_can_be_read(here: Database, original: importing.Original) -> None:
    with pytest.raises(InputError, match="no user 'nobody'"), here.write() as session:
        importing.write(session, original, operator="nobody")
    odd = importing.Original(lists={**original.lists, "workflows": [{"id": 1}]}, runtimes={}, last_job=0)
    with pytest.raises(InputError, match="workflows hold one that can't be read"), here.write() as session:
        importing.write(session, odd, operator="root")


def test_users_keep_their_passwords_and_tokens(api: Api) -> None:
    rows = [
        "username,email,is_staff,is_active,password,token",
        f"grace,g@example.org,t,t,{kept_password('right')},{'a' * 40}",
        "bob,,f,f,!unusable,",
        "operator,,t,t,,",
    ]
    for expected in ((2, 1), (0, 0)):
        with api.site.database.write() as session:
            done = importing.write_users(session, importing.users_of(rows))
        assert (done.new["users"], done.new["tokens"]) == expected
    signed = {"Authorization": f"Token {'a' * 40}"}
    assert api.client.get("/api/users/current-user/", headers=signed).json()["username"] == "grace"
    for password, code in (("right", 200), ("wrong", 400)):
        answer = api.client.post("/api-auth-token/", json={"username": "grace", "password": password})
        assert answer.status_code == code
    with api.site.database.read() as session:
        bob = session.scalars(select(m.User).where(m.User.username == "bob")).one()
        assert (bob.is_active, bob.password_hash) == (False, None)


@pytest.mark.parametrize(
    "password", ["pbkdf2_sha256$1000$salt", "pbkdf2_sha256$99999999$a$YQ==", "pbkdf2_sha256$1$a$?"]
)
def test_a_password_that_no_sign_in_could_be_held_against_is_refused(here: Database, password: str) -> None:
    with pytest.raises(InputError, match="password of grace is damaged"), here.write() as session:
        importing.write_users(session, [{"username": "grace", "password": password}])


def test_a_file_that_names_no_users_is_refused() -> None:
    with pytest.raises(InputError, match="username among them"):
        list(importing.users_of(["name,token", "x,y"]))


def kept_password(password: str) -> str:
    """As the original keeps it."""
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1000)
    return f"pbkdf2_sha256$1000$salt${base64.b64encode(digest).decode()}"


def test_the_command_line_reads_a_server_and_says_what_came_of_it(
    settings: Settings,
    prepared_site: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LANDO_HOME", str(tmp_path / "here"))
    administration.add_user(None, "root", staff=True, email="", password_stdin=False)
    with closing(Database(settings.database_url)) as database, database.write() as session:
        session.scalars(select(m.LandoConnection)).one().host = "mq.example.org"
    broker = FakeBroker()
    with Server(replace(settings, port=0, public_url=None), publishers=broker) as server:  # type: ignore[arg-type]
        token = prepared_site.tokens["operator"]
        for _ in range(2):
            administration.import_site(None, f"{server.url}/api/v2/", token, operator="root")
    out, err = capsys.readouterr()
    assert "settings: 1 new, 0 known" in out
    assert "settings: 0 new, 1 known" in out
    assert out.count("the next job gets the id 1\n") == 2
    assert "left to do: The password of the lando connection to" in err
    users = tmp_path / "users.csv"
    users.write_text("username\ngrace\n")
    administration.import_users(None, users)
    assert capsys.readouterr().out == "users: 1 new, 0 known; tokens: 0 new\n"
