"""What staff set up by REST: the original's few routes, and ours for everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.api import auth
from lando.api.models import LandoConnection, StorageCredential, StorageEndpoint, User, WorkflowVersion
from sqlalchemy import select
from tests.unit.api.serving import PACKED, Api

OURS = "/api/lando/v1/admin"
BESPIN = "/api/v2/admin"
FIELDS = [{"name": "threads", "type": "int"}, {"name": "reads", "type": {"type": "array", "items": "File"}}]
VERSION = {"workflow": 1, "version": "1.0", "description": "", "url": "https://x.org/a.cwl", "fields": FIELDS}
NEW: dict[str, dict[str, Any]] = {
    "users": {"username": "bob", "password": "secret"},
    "job-flavors": {"name": "large", "cpus": 8, "memory": "16Gi"},
    "job-runtimes": {"name": "gpu"},
    "job-runtime-steps": {"runtime": 1, "step_type": "record_output_project", "image_name": "kubectl:1", "flavor": 1},
    "lando-connections": {"host": "mq", "username": "lando", "password": "secret", "queue_name": "q"},
    "job-settings": {"name": "gpu", "lando_connection": 1, "job_runtime_k8s": 1},
    "job-strategies": {"name": "gpu", "job_flavor": 1, "job_settings": 1},
    "dds-users": {"name": "Grace Hopper", "dds_id": "1c1c"},
    "share-groups": {"name": "reviewers", "users": []},
    "dds-endpoints": {"name": "store", "api_root": "https://x.org", "agent_key": "secret"},
    "dds-user-credentials": {"user": 1, "endpoint": 1, "token": "secret", "dds_id": "d"},
    "workflows": {"name": "Exome", "tag": "exome"},
    "workflow-versions": VERSION,
    "workflow-configurations": {
        "workflow": 1,
        "tag": "b37",
        "system_job_order": {"threads": 4},
        "default_job_strategy": 1,
        "share_group": 1,
    },
    "workflow-version-tool-details": {"workflow_version": 1, "details": [{"name": "bwa"}]},
    "workflow-methods-documents": {"workflow_version": 1, "content": "# Methods"},
}
"""A body for each kind of row; those of workflows need workflow and version 1."""


def create(api: Api, path: str, body: dict[str, Any], base: str = OURS) -> dict[str, Any]:
    answer = api.post(f"{base}/{path}/", body, "operator")
    assert answer.status_code == 201, (path, answer.text)
    made: dict[str, Any] = answer.json()
    return made


def with_a_workflow(api: Api, path: str) -> None:
    if path.startswith("workflow-"):
        create(api, "workflows", {"name": "Exome", "tag": "first"})
    if path in ("workflow-version-tool-details", "workflow-methods-documents"):
        create(api, "workflow-versions", VERSION)


@pytest.mark.parametrize("path", NEW)
def test_each_kind_is_created_read_changed_and_removed_in_one_way(api: Api, path: str) -> None:
    with_a_workflow(api, path)
    made = create(api, path, NEW[path])
    one = f"{OURS}/{path}/{made['id']}/"
    assert {key: made[key] for key in NEW[path] if key in made} == {
        key: value for key, value in NEW[path].items() if key in made
    }
    assert api.get(one, "operator").json() == made
    assert made in api.get(f"{OURS}/{path}/", "operator").json()
    assert api.call("PATCH", one, {}, "operator").json() == made
    assert api.call("PUT", one, NEW[path], "operator").json() == made
    assert "secret" not in api.get(f"{OURS}/{path}/", "operator").text
    assert api.call("DELETE", one, user="operator").status_code == 204
    assert api.get(one, "operator").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("job-flavors", {"name": "default"}, "name"),
        ("job-flavors", {"name": "x", "cpus": 0}, "cpus"),
        ("job-flavors", {"name": "x", "memory": "much"}, "memory"),
        ("job-runtime-steps", {**NEW["job-runtime-steps"], "step_type": "dance"}, "step_type"),
        ("job-runtime-steps", {**NEW["job-runtime-steps"], "step_type": "stage_data"}, "non_field_errors"),
        ("job-runtime-steps", {**NEW["job-runtime-steps"], "runtime": 9}, "runtime"),
        ("lando-connections", {"queue_name": "q"}, "host"),
        ("lando-connections", {"queue_name": "q", "host": "h", "cluster_type": "cloud"}, "cluster_type"),
        ("lando-connections", {"queue_name": "q", "url": "https://mq"}, "url"),
        ("job-settings", {"name": "x", "lando_connection": 9}, "lando_connection"),
        ("job-settings", {**NEW["job-settings"], "job_runtime_openstack": 1}, "job_runtime_openstack"),
        ("job-strategies", {**NEW["job-strategies"], "volume_mounts": "{"}, "volume_mounts"),
        ("job-strategies", {**NEW["job-strategies"], "job_flavor": "x"}, "job_flavor"),
        ("share-groups", {"name": "x", "users": [7]}, "users"),
        ("workflows", {"name": "x", "tag": "a/b"}, "tag"),
        ("workflows", {"name": "x", "tag": "a", "state": "X"}, "state"),
        ("workflow-versions", {**VERSION, "fields": [{"name": "a"}]}, "fields"),
        ("workflow-versions", {**VERSION, "url": "no url"}, "url"),
        ("workflow-versions", {**VERSION, "workflow": 9}, "workflow"),
        ("workflow-versions", {**VERSION, "type": "tarred"}, "type"),
        ("workflow-configurations", {**NEW["workflow-configurations"], "system_job_order": []}, "system_job_order"),
        ("users", {"username": "operator"}, "username"),
    ],
)
def test_what_can_not_be_is_refused_naming_the_field(api: Api, path: str, body: dict[str, Any], field: str) -> None:
    with_a_workflow(api, path)
    answer = api.post(f"{OURS}/{path}/", body, "operator")
    assert (answer.status_code, list(answer.json())) == (400, [field]), answer.text


def test_what_something_uses_is_not_removed(api: Api) -> None:
    for path in ("job-flavors", "job-runtimes", "lando-connections", "job-settings", "dds-endpoints", "share-groups"):
        api.register()
        answer = api.call("DELETE", f"{OURS}/{path}/1/", user="operator")
        assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"]), path
    api.new_job()
    assert api.call("DELETE", f"{OURS}/workflows/1/", user="operator").status_code == 400
    assert api.call("DELETE", f"{OURS}/workflow-versions/1/", user="operator").status_code == 400


def test_secrets_are_stored_though_never_shown(api: Api) -> None:
    for path in ("users", "lando-connections", "dds-endpoints", "dds-user-credentials"):
        create(api, path, NEW[path])
    url = "amqps://lando:hidden@mq/x"
    shown = create(api, "lando-connections", {"url": url, "queue_name": "q"})
    assert shown["broker"] == "amqps://mq/x"
    with api.site.database.read() as session:
        assert [row.password for row in session.scalars(select(LandoConnection))][1] == "secret"
        assert [row.url for row in session.scalars(select(LandoConnection))][2] == url
        assert [row.agent_key for row in session.scalars(select(StorageEndpoint))][1] == "secret"
        assert [row.token for row in session.scalars(select(StorageCredential))][1] == "secret"
        bob = session.scalars(select(User).where(User.username == "bob")).one()
        assert auth.is_password("secret", bob.password_hash)


def test_a_put_keeps_secrets_that_it_does_not_name(api: Api) -> None:
    made = create(api, "lando-connections", NEW["lando-connections"])
    one = f"{OURS}/lando-connections/{made['id']}"
    api.call("PUT", one, api.get(one, "operator").json(), "operator")
    with api.site.database.read() as session:
        row = session.get(LandoConnection, made["id"])
        assert row is not None
        assert (row.password, row.host) == ("secret", "mq")


def test_staff_can_not_lock_themselves_out(api: Api) -> None:
    me = api.get("/api/users/current-user/", "operator").json()["id"]
    for change in ({"is_staff": False}, {"is_active": False}):
        assert api.call("PATCH", f"{OURS}/users/{me}", change, "operator").status_code == 400
    bob = create(api, "users", {"username": "bob"})["id"]
    assert api.call("PATCH", f"{OURS}/users/{bob}", {"is_staff": True}, "operator").json()["is_staff"] is True


def test_a_user_is_not_removed_while_others_need_what_is_theirs(api: Api) -> None:
    me = api.get("/api/users/current-user/", "operator").json()["id"]
    assert list(api.call("DELETE", f"{OURS}/users/{me}", user="operator").json()) == ["is_staff"]
    bob = create(api, "users", {"username": "bob", "is_staff": True})["id"]
    assert list(api.call("DELETE", f"{OURS}/users/{bob}", user="operator").json()) == ["is_staff"]
    api.as_user("ada")
    ada = api.get("/api/users/current-user/").json()["id"]
    api.call("PATCH", f"{OURS}/users/{ada}", {"is_staff": True}, "operator")
    api.post("/api/lando/v1/workflows", {"name": "Exome", "packed": PACKED, "public": True})
    api.call("PATCH", f"{OURS}/users/{ada}", {"is_staff": False}, "operator")
    assert list(api.call("DELETE", f"{OURS}/users/{ada}", user="operator").json()) == ["non_field_errors"]
    api.call("DELETE", f"{OURS}/workflows/1", user="operator")
    assert api.call("DELETE", f"{OURS}/users/{ada}", user="operator").status_code == 204
    assert api.get("/api/v2/jobs/").status_code == 401


def test_a_deactivated_user_is_signed_out(api: Api) -> None:
    ada = api.get("/api/users/current-user/").json()["id"]
    api.call("PATCH", f"{OURS}/users/{ada}", {"is_active": False}, "operator")
    assert api.get("/api/v2/jobs/").status_code == 401


WORKFLOW = {"id": 1, "name": "Exome", "tag": "exome", "state": "A"}
CONFIGURATION = {"id": 1, **NEW["workflow-configurations"]}
STRATEGY = {
    "id": 2,
    "name": "gpu",
    "job_flavor": 1,
    "job_settings": 1,
    "volume_size_base": 100,
    "volume_size_factor": 0,
    "volume_mounts": '{"/dev/vdb1": "/work"}',
}
CONNECTION = {"id": 2, "cluster_type": "k8s", "host": "mq", "username": "lando", "queue_name": "q"}
SETTINGS = {"id": 2, "name": "gpu", "lando_connection": 1, "job_runtime_openstack": None, "job_runtime_k8s": 1}


@pytest.mark.parametrize(
    ("path", "shown", "removable"),
    [
        ("workflows", WORKFLOW, False),
        ("workflow-configurations", CONFIGURATION, False),
        ("workflow-version-tool-details", {"id": 1, **NEW["workflow-version-tool-details"]}, False),
        ("job-strategies", STRATEGY, True),
        ("job-settings", SETTINGS, False),
        ("lando-connections", CONNECTION, False),
    ],
)
def test_the_originals_routes_take_and_show_exactly_its_keys(
    api: Api, path: str, shown: dict[str, Any], removable: bool
) -> None:
    with_a_workflow(api, path)
    assert create(api, path, NEW[path], BESPIN) == shown
    one = f"{BESPIN}/{path}/{shown['id']}/"
    assert api.get(one, "operator").json() == shown
    assert shown in api.get(f"{BESPIN}/{path}", "operator").json()
    for method in ("PUT", "PATCH") if removable else ("PUT", "PATCH", "DELETE"):
        answer = api.call(method, one, NEW[path], "operator")
        assert (answer.status_code, list(answer.json())) == (405, ["detail"])
    if removable:
        assert api.call("DELETE", one, user="operator").status_code == 204


def test_a_version_of_the_original_form_is_made_hidden_from_the_front_end(api: Api) -> None:
    with_a_workflow(api, "workflow-versions")
    made = create(api, "workflow-versions", {**VERSION, "workflow": "1", "enable_ui": True}, BESPIN)
    assert made.pop("created").endswith("Z")
    assert made == {
        "id": 1,
        "workflow": 1,
        "description": "",
        "type": "packed",
        "workflow_path": "#main",
        "version": "1.0",
        "version_info_url": None,
        "url": "https://x.org/a.cwl",
        "fields": FIELDS,
        "enable_ui": False,
        "tool_details": None,
    }
    again = api.post(f"{BESPIN}/workflow-versions/", VERSION, "operator")
    assert (again.status_code, list(again.json())) == (400, ["non_field_errors"])
    for version in ("1.10", "1.9"):
        create(api, "workflow-versions", {**VERSION, "version": version}, BESPIN)
    for base in (BESPIN, "/api/v2", OURS):
        listed = api.get(f"{base}/workflow-versions/", "operator").json()
        assert [row["version"] for row in listed] == ["1.0", "1.9", "1.10"]


def test_the_users_side_shows_tool_details_and_endpoints_and_credentials_without_secrets(api: Api) -> None:
    with_a_workflow(api, "workflow-version-tool-details")
    create(api, "workflow-version-tool-details", NEW["workflow-version-tool-details"])
    create(api, "dds-endpoints", NEW["dds-endpoints"], "/api/v2")
    create(api, "dds-user-credentials", {**NEW["dds-user-credentials"], "endpoint": 2})
    assert api.get("/api/v2/workflow-version-tool-details/").json() == [
        {"id": 1, "workflow_version": 1, "details": [{"name": "bwa"}]}
    ]
    store = {"id": 2, "name": "store", "api_root": "https://x.org"}
    assert api.get("/api/v2/dds-endpoints/2").json() == store
    assert api.call("PATCH", "/api/v2/dds-endpoints/2/", {"name": "x"}).status_code == 403
    assert api.get("/api/v2/dds-user-credentials/2").json() == {"id": 2, "user": 1, "endpoint": 2, "dds_id": "d"}
    daemons = {"id": 2, "user": 1, "endpoint": store, "dds_id": "d"}
    assert api.get(f"{BESPIN}/dds-user-credentials/2", "operator").json() == daemons
    assert api.get(f"{BESPIN}/dds-user-credentials/?user=99", "operator").json() == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("workflows/?tag=exome", 1),
        ("workflows/?tag=other", 0),
        ("workflows/?state=D", 0),
        ("workflow-versions/?workflow=1&workflow__tag=exome&version=1.0", 1),
        ("workflow-versions/?workflow__tag=other", 0),
        ("workflow-versions/?workflow=x", 0),
        ("workflow-versions/?version=2.0", 0),
        ("workflow-configurations/?tag=b37&workflow=1&workflow__tag=exome", 1),
        ("workflow-configurations/?workflow__tag=other", 0),
        ("job-strategies/?name=default", 1),
        ("job-strategies/?name=x", 0),
        ("share-groups/?name=default&email=", 1),
        ("share-groups/?email=x", 0),
        ("job-file-stage-groups/?job=1", 0),
    ],
)
def test_lists_are_filtered_by_what_the_contract_names(api: Api, query: str, found: int) -> None:
    create(api, "workflows", NEW["workflows"])
    create(api, "workflow-versions", VERSION)
    create(api, "workflow-configurations", NEW["workflow-configurations"])
    assert len(api.get(f"/api/v2/{query}").json()) == found


def test_the_index_names_every_list(api: Api) -> None:
    index = api.get("/api/v2/").json()
    assert index["workflows"] == "http://testserver/api/v2/workflows/"
    assert {"jobs", "admin/jobs", "admin/lando-connections", "workflow-version-tool-details"} <= set(index)
    for url in index.values():
        assert api.get(url, "operator").status_code == 200, url


def test_a_site_is_set_up_by_rest_alone_from_runtime_to_a_started_job(api: Api) -> None:
    flavor = create(api, "job-flavors", {"name": "f", "cpus": 2, "memory": "2Gi"})["id"]
    runtime = create(api, "job-runtimes", {"name": "r"})["id"]
    for step in ("stage_data", "run_workflow", "organize_output", "save_output"):
        body = {
            "runtime": runtime,
            "flavor": flavor,
            "step_type": step,
            "image_name": "lando:1",
            "base_command": [step],
        }
        create(api, "job-runtime-steps", body)
    connection = create(api, "lando-connections", {"queue_name": "q", "url": "amqp://mq"})["id"]
    settings = create(api, "job-settings", {"name": "s", "lando_connection": connection, "job_runtime_k8s": runtime})
    strategy = create(api, "job-strategies", {"name": "s", "job_flavor": flavor, "job_settings": settings["id"]})["id"]
    member = create(api, "dds-users", {"name": "Grace", "dds_id": "1c"})["id"]
    group = create(api, "share-groups", {"name": "g", "users": [member]})["id"]
    workflow = create(api, "workflows", NEW["workflows"])["id"]
    version = create(api, "workflow-versions", {**VERSION, "workflow": workflow})["id"]
    create(api, "workflow-methods-documents", {"workflow_version": version, "content": "text"})
    configuration = {"workflow": workflow, "tag": "b37", "system_job_order": {"threads": 4}, "share_group": group}
    create(api, "workflow-configurations", {**configuration, "default_job_strategy": strategy})

    job = api.new_job(tag="exome/1.0/b37", job_order={"reads": [{"class": "File", "path": "a"}]})
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    shown = api.get(f"{BESPIN}/jobs/{job}/", "lando").json()
    assert json.loads(shown["job_order"]) == {"threads": 4, "reads": [{"class": "File", "path": "a"}]}
    steps = shown["job_settings"]["job_runtime_k8s"]["steps"]
    assert [(step["step_type"], step["flavor"]["memory"]) for step in steps] == [
        ("stage_data", "2Gi"), ("run_workflow", "2Gi"), ("organize_output", "2Gi"), ("save_output", "2Gi"),
    ]  # fmt: skip
    assert shown["workflow_version"]["methods_document"] == 1
    members = api.get(f"{BESPIN}/share-groups/{shown['share_group']}", "lando").json()["users"]
    assert members == [{"id": member, "name": "Grace", "dds_id": "1c"}]


@pytest.mark.parametrize(
    ("path", "field"),
    [("dds-endpoints", "api_root"), ("workflow-versions", "url"), ("workflow-versions", "version_info_url")],
)
def test_urls_that_everybody_is_shown_take_no_password(api: Api, path: str, field: str) -> None:
    with_a_workflow(api, path)
    body = {**NEW[path], field: "https://ada:secret@x.org/w.cwl"}
    for base in (OURS, "/api/v2/admin") if path == "workflow-versions" else (OURS, "/api/v2"):
        refused = api.post(f"{base}/{path}/", body, "operator")
        assert (refused.status_code, list(refused.json())) == (400, [field])


def test_passwords_in_urls_that_are_stored_already_are_not_shown(api: Api) -> None:
    version = api.register()
    with api.site.database.write() as session:
        session.scalars(select(StorageEndpoint)).one().api_root = "https://ada:secret@x.org/api"
        row = session.scalars(select(WorkflowVersion)).one()
        row.url = row.version_info_url = "https://ada:secret@x.org/w.cwl?v=1"
    assert api.get("/api/v2/dds-endpoints/").json()[0]["api_root"] == "https://x.org/api"
    assert api.get("/api/v2/workflow-versions/").json()[0]["url"] == "https://x.org/w.cwl?v=1", version
    for path in ("v2/dds-endpoints", "v2/admin/dds-user-credentials", "v2/workflow-versions",
                 "v2/admin/workflow-versions", "lando/v1/admin/dds-endpoints"):  # fmt: skip
        assert "secret" not in api.get(f"/api/{path}/", "operator").text, path
