"""Setting up a site: what each function refuses, and the embedded site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lando.api import setup
from lando.api.models import JobFlavor, JobStrategy, LandoConnection, User
from lando.errors import InputError
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.unit.api.serving import Api


def test_setting_up_the_embedded_site_again_changes_nothing(api: Api) -> None:
    def counts() -> list[int]:
        with api.site.database.read() as session:
            return [
                session.execute(select(func.count()).select_from(model)).scalar_one()
                for model in (User, JobFlavor, JobStrategy, LandoConnection)
            ]

    before = counts()
    with api.site.database.write() as session:
        again = setup.ensure_embedded_site(session, username="operator", key=api.site.key)
    assert counts() == before
    assert (again.user_token, again.daemon_token) == (api.tokens["operator"], api.tokens["lando"])
    assert again.user_token not in repr(again)


def test_both_users_of_the_embedded_site_are_staff(api: Api) -> None:
    for user in ("operator", "lando"):
        assert api.get("/api/v2/admin/jobs/", user).status_code == 200


def test_the_embedded_runtime_has_four_steps_of_this_installation(api: Api) -> None:
    job = api.new_job()
    steps = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["job_settings"]["job_runtime_k8s"]["steps"]
    assert [(step["image_name"], step["base_command"]) for step in steps] == [
        ("lando-steps:local", ["python", "-m", f"lando.steps.{name}"])
        for name in ("stage_data", "run_workflow", "organize_output", "save_output")
    ]


def test_a_renewed_token_replaces_the_one_before(api: Api) -> None:
    api.as_user("ada")
    with api.site.database.write() as session:
        new = setup.renew_token(session, api.site.key, "ada")
    assert api.get("/api/v2/jobs").status_code == 401
    api.tokens["ada"] = new
    assert api.get("/api/v2/jobs").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda s: setup.create_user(s, " "), "username"),
        (lambda s: setup.create_user(s, "operator"), "username"),
        (lambda s: setup.create_user(s, "x", password=""), "password"),
        (lambda s: setup.import_token(s, "operator", "ABC"), "token"),
        (lambda s: setup.create_flavor(s, "x", cpus=0, memory="1Gi"), "cpus"),
        (lambda s: setup.create_flavor(s, "default", cpus=1, memory="1Gi"), "name"),
        (lambda s: setup.create_runtime(s, "x", []), "steps"),
        (lambda s: setup.create_lando_connection(s, queue_name="q"), "host"),
        (lambda s: setup.create_lando_connection(s, queue_name="q", host="h", message_format="xml"), "message_format"),
        (lambda s: setup.create_workflow(s, "x", tag="a/b"), "tag"),
        (lambda s: setup.create_workflow(s, "", tag="a"), "name"),
        (lambda s: setup.create_share_group(s, "\0"), "name"),
    ],
)
def test_what_can_not_be_is_refused_naming_the_field(api: Api, wrong: Callable[[Session], Any], field: str) -> None:
    with pytest.raises(InputError) as refusal, api.site.database.write() as session:
        wrong(session)
    assert refusal.value.field == field


def test_a_runtime_of_an_unknown_step_is_refused(api: Api) -> None:
    with api.site.database.write() as session:
        flavor = session.scalars(select(JobFlavor)).first()
        assert flavor is not None
        step = setup.RuntimeStep(step_type="dance", image_name="x", base_command=[], flavor=flavor)
        with pytest.raises(InputError, match="dance"):
            setup.create_runtime(session, "x", [step])
