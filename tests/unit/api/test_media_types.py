"""Both media types of Bespin's routes: plain JSON, and the same under the name of its resource."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.api import media_types
from lando.api.media_types import JSON, ROOT_OBJECT
from tests.unit.api.serving import Api, described

ROOT = {"Content-Type": ROOT_OBJECT, "Accept": ROOT_OBJECT}


def test_every_route_of_bespins_is_declared_with_its_resource(api: Api) -> None:
    """A new route fails here until lando/api/media_types.py names its resource, or says that it has none."""
    asked = 0
    for _, path, _ in described(api):
        if media_types.has_resources(path):
            media_types.resource_of(path)
            asked += 1
    assert asked > 50


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v2/jobs", "jobs"),
        ("/api/v2/jobs/7", "jobs"),
        ("/api/v2/jobs/7/start", "jobs"),
        ("/api/v2/jobs/7/authorize", "job-tokens"),
        ("/api/v2/jobs/7/live-usage", "job-usage"),
        ("/api/v2/share-groups/1", "share-group"),
        ("/api/v2/admin/share-groups/1", "share-groups"),
        ("/api/v2/workflow-configurations", "workflow-configuration"),
        ("/api/v2/admin/workflow-configurations", "workflow-configuration"),
        ("/api/v2/admin/lando-connections", "lando-connection"),
        ("/api/v2/admin/job-settings", "job-settings"),
        ("/api/v2/admin/email-messages/1/send", "email-messages"),
        ("/api/users/current-user", "users"),
        ("/api/admin/job-tokens", "job-tokens"),
        ("/api/v2/job-templates/init", None),
        ("/api/v2", None),
        ("/api/lando/v1/runs", None),
    ],
)
def test_a_path_tells_the_name_of_its_resource(path: str, name: str | None) -> None:
    assert media_types.resource_of(path) == name


def test_a_front_end_reads_and_writes_everything_under_root_keys(api: Api) -> None:
    made = api.call("POST", "/api/v2/job-file-stage-groups/", {"job-file-stage-groups": {}}, headers=ROOT)
    assert (made.status_code, made.headers["content-type"]) == (201, ROOT_OBJECT)
    group = made.json()["job-file-stage-groups"]
    assert group["url_files"] == []
    file = {
        "stage_group": str(group["id"]),
        "url": "https://x.org/a",
        "destination_path": "a",
        "sequence_group": None,
        "sequence": None,
    }
    answer = api.call("POST", "/api/v2/url-job-input-files/", {"url-job-input-files": file}, headers=ROOT)
    assert answer.json()["url-job-input-files"]["stage_group"] == group["id"]
    listed = api.get("/api/v2/url-job-input-files/", headers=ROOT)
    assert [row["url"] for row in listed.json()["url-job-input-files"]] == ["https://x.org/a"]
    assert int(listed.headers["content-length"]) == len(listed.content)
    assert "Accept" in listed.headers["vary"]
    assert api.call("DELETE", f"/api/v2/job-file-stage-groups/{group['id']}/", headers=ROOT).content == b""


def test_each_direction_is_chosen_for_itself(api: Api) -> None:
    path, body = "/api/v2/job-file-stage-groups/", {"job-file-stage-groups": {}}
    plain = api.call("POST", path, body, headers={"Content-Type": ROOT_OBJECT})
    assert (plain.status_code, plain.headers["content-type"], next(iter(plain.json()))) == (201, JSON, "id")
    wrapped = api.call("POST", path, {}, headers={"Accept": ROOT_OBJECT})
    assert list(wrapped.json()) == ["job-file-stage-groups"]


@pytest.mark.parametrize("body", [{}, {"jobs": {}}, [], 0, "job-file-stage-groups"], ids=repr)
def test_a_body_without_its_root_key_is_400(api: Api, body: Any) -> None:
    headers = {"Content-Type": ROOT_OBJECT}
    answer = api.client.post("/api/v2/job-file-stage-groups/", json=body, headers={**api.as_user("ada"), **headers})
    assert answer.status_code == 400
    assert "job-file-stage-groups" in answer.json()["detail"]


def test_an_action_needs_no_body_in_either_type(api: Api) -> None:
    job = api.new_job()
    answer = api.call("POST", f"/api/v2/jobs/{job}/start/", headers=ROOT)
    assert (answer.status_code, answer.json()["jobs"]["state"]) == (200, "S")


def test_all_findings_are_told_each_with_its_field(api: Api) -> None:
    answer = api.call("POST", "/api/v2/url-job-input-files/", {"url-job-input-files": {"url": "x"}}, headers=ROOT)
    assert (answer.status_code, answer.headers["content-type"], list(answer.json())) == (400, ROOT_OBJECT, ["errors"])
    pointers = {error["source"]["pointer"] for error in answer.json()["errors"]}
    fields = ("stage_group", "destination_path", "sequence_group", "sequence", "url")
    assert pointers == {f"/data/attributes/{field}" for field in fields}
    for error in answer.json()["errors"]:
        assert error["status"] == 400
        assert isinstance(error["detail"], list)


def test_errors_of_every_status_look_alike(api: Api) -> None:
    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    calls = {
        401: api.client.get("/api/v2/jobs/", headers=ROOT),
        403: api.get("/api/v2/admin/jobs/", headers=ROOT),
        404: api.get("/api/v2/jobs/99/", headers=ROOT),
        405: api.call("PUT", "/api/v2/jobs/", headers=ROOT),
        415: api.call("POST", f"/api/v2/jobs/{job}/start/", content=b"x", headers={**ROOT, "Content-Type": "text/x"}),
        400: api.call("POST", f"/api/v2/jobs/{job}/start/", headers=ROOT),
    }
    for status, answer in calls.items():
        assert answer.status_code == status
        (error,) = answer.json()["errors"]
        assert (error["status"], error["source"], type(error["detail"])) == (status, {"pointer": "/data"}, str)


def test_job_templates_take_and_answer_plain_json_only(api: Api) -> None:
    body = {"tag": api.register()}
    refused = api.call("POST", "/api/v2/job-templates/init", {"job-templates": body}, headers=ROOT)
    assert refused.status_code == 400
    assert JSON in refused.json()["errors"][0]["detail"]
    answer = api.call("POST", "/api/v2/job-templates/init", body, headers={"Accept": ROOT_OBJECT})
    assert answer.json()["tag"] == body["tag"]


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b'{"job-file-stage-groups": ' + b"9" * 5000 + b"}"])
def test_hostile_bodies_under_a_root_key_are_400(api: Api, content: bytes) -> None:
    answer = api.call("POST", "/api/v2/job-file-stage-groups/", content=content, headers=ROOT)
    assert answer.status_code == 400
    assert list(answer.json()) == ["errors"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (ROOT_OBJECT, ROOT_OBJECT),
        (f"{ROOT_OBJECT}, */*", ROOT_OBJECT),
        (f"{ROOT_OBJECT}, {JSON}", JSON),
        (f"{ROOT_OBJECT};q=0.5, {JSON};q=0.4", ROOT_OBJECT),
        (f"{JSON};q=0, */*", ROOT_OBJECT),
        (f"text/html, {ROOT_OBJECT.upper()} ; q=0.2", ROOT_OBJECT),
        ("text/html", None),
        ("*/*;q=0", None),
        (f"{JSON};q=much", JSON),
    ],
)
def test_the_clients_weights_choose_the_media_type(accept: str, chosen: str | None) -> None:
    assert media_types.chosen(accept, "/api/v2/jobs") == chosen


def test_where_there_is_only_json_the_other_type_is_not_acceptable(api: Api) -> None:
    assert media_types.chosen(ROOT_OBJECT, "/api-auth-token") is None
    answer = api.client.post("/auth/api-token-verify/", json={"token": "x"}, headers={"Accept": ROOT_OBJECT})
    assert (answer.status_code, list(answer.json())) == (406, ["detail"])


@given(st.text() | st.text("*/;q=0.1,aplicton/json"))
def test_any_accept_header_is_understood_somehow(accept: str) -> None:
    assert media_types.chosen(accept, "/api/v2/jobs") in (JSON, ROOT_OBJECT, None)
