"""Stage groups and input files: the contract's rules and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from lando.api import destinations, setup
from lando.api.models import JobToken, ShareGroup, StorageUser, User
from sqlalchemy import Engine, event, select
from tests.unit.api.serving import Api


def url_file(group: int, **changes: Any) -> dict[str, Any]:
    body = {
        "stage_group": group,
        "url": "https://files.example.org/b.bed",
        "destination_path": "b.bed",
        "size": 10,
        "sequence_group": 1,
        "sequence": 0,
    }
    return {**body, **changes}


def dds_file(group: int, **changes: Any) -> dict[str, Any]:
    body = {
        "stage_group": group,
        "project_id": "9d2c",
        "file_id": "5b0f",
        "dds_user_credentials": 1,
        "destination_path": "dds_proj_a.fastq",
        "size": 2147483653,
        "sequence_group": 0,
        "sequence": 0,
    }
    return {**body, **changes}


def test_files_of_both_kinds_come_back_with_an_id(api: Api) -> None:
    group = api.stage_group()
    url = api.post("/api/v2/url-job-input-files/", url_file(group))
    assert (url.status_code, url.json()) == (201, {"id": 1, **url_file(group)})
    dds = api.post("/api/v2/dds-job-input-files/", dds_file(str(group)))  # type: ignore[arg-type]
    assert (dds.status_code, dds.json()) == (201, {"id": 1, **dds_file(group)})
    shown = api.get(f"/api/v2/job-file-stage-groups/{group}").json()
    assert shown["dds_files"] == [dds.json()]
    assert shown["url_files"] == [url.json()]


def test_lists_are_in_the_order_of_their_sequence(api: Api) -> None:
    group = api.stage_group()
    for place in [(1, 1), (0, 1), (1, 0)]:
        body = url_file(group, sequence_group=place[0], sequence=place[1], destination_path=f"f{place}")
        assert api.post("/api/v2/url-job-input-files/", body).status_code == 201
    listed = [(row["sequence_group"], row["sequence"]) for row in api.get("/api/v2/url-job-input-files/").json()]
    assert listed == [(0, 1), (1, 0), (1, 1)]


def test_sequences_may_be_null_more_than_once_but_must_be_there(api: Api) -> None:
    group = api.stage_group()
    for number in range(2):
        body = url_file(group, sequence_group=None, sequence=None, destination_path=f"f{number}")
        assert api.post("/api/v2/url-job-input-files/", body).status_code == 201
    body = url_file(group, destination_path="g")
    del body["sequence"]
    assert api.post("/api/v2/url-job-input-files/", body).json() == {"sequence": ["This field is required."]}


def test_size_may_be_left_out(api: Api) -> None:
    body = url_file(api.stage_group())
    del body["size"]
    assert api.post("/api/v2/url-job-input-files/", body).json()["size"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "not a url"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://a b/c"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"size": "many"}, "size"),
        ({"size": -1}, "size"),
        ({"size": 2**63}, "size"),
        ({"sequence": "x"}, "sequence"),
        ({"destination_path": "/etc/passwd"}, "destination_path"),
        ({"destination_path": "../x"}, "destination_path"),
        ({"destination_path": ""}, "destination_path"),
        ({"destination_path": "job-order.json"}, "destination_path"),
        ({"destination_path": "a\0b"}, "destination_path"),
        ({"stage_group": 999}, "non_field_errors"),
    ],
)
def test_a_field_that_can_not_be_is_named(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = api.post("/api/v2/url-job-input-files/", url_file(api.stage_group(), **changes))
    assert (answer.status_code, list(answer.json())) == (400, [field])


def test_a_place_or_a_destination_is_taken_once(api: Api) -> None:
    group = api.stage_group()
    assert api.post("/api/v2/url-job-input-files/", url_file(group, destination_path="d/b.bed")).status_code == 201
    twice = api.post("/api/v2/url-job-input-files/", url_file(group, destination_path="other"))
    assert list(twice.json()) == ["non_field_errors"]
    for destination in ("d/b.bed", "d", "d/b.bed/c"):
        for path, body in (
            ("url", url_file(group, sequence=1, destination_path=destination)),
            ("dds", dds_file(group, destination_path=destination)),
        ):
            answer = api.post(f"/api/v2/{path}-job-input-files/", body)
            assert (answer.status_code, list(answer.json())) == (400, ["destination_path"])
    assert (
        api.post("/api/v2/url-job-input-files/", url_file(group, sequence=2, destination_path="d/c")).status_code == 201
    )


def test_files_are_changed_and_deleted_by_their_owner_only(api: Api) -> None:
    group = api.stage_group()
    url = f"/api/v2/url-job-input-files/{api.post('/api/v2/url-job-input-files/', url_file(group)).json()['id']}/"
    assert api.put(url, url_file(group, size=11), user="ada").json()["size"] == 11
    assert api.call("PATCH", url, {"size": 12}).json() == {"id": 1, **url_file(group, size=12)}
    for method, body in (("GET", None), ("PUT", url_file(group)), ("PATCH", {"size": 1}), ("DELETE", None)):
        assert api.call(method, url, body, "eve").status_code == 404
    assert api.post("/api/v2/url-job-input-files/", url_file(group, sequence=5), "eve").status_code == 400
    assert api.call("DELETE", url).status_code == 204
    assert api.get(url).status_code == 404


def test_a_stage_group_is_deleted_with_its_files_unless_a_job_uses_it(api: Api) -> None:
    group = api.stage_group()
    api.post("/api/v2/url-job-input-files/", url_file(group))
    assert api.call("DELETE", f"/api/v2/job-file-stage-groups/{group}/").status_code == 204
    assert api.get("/api/v2/url-job-input-files/").json() == []
    used = api.stage_group()
    api.new_job(stage_group=used)
    assert api.call("DELETE", f"/api/v2/job-file-stage-groups/{used}/").status_code == 400


@pytest.mark.parametrize("path", ["a", "a/b.fastq", ".hidden", "wörk/ä", "workflow.cwl", "a b"])
def test_ordinary_destinations_are_fine(path: str) -> None:
    assert destinations.problem(path) is None


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a//b", "a/", "./a", "a/./b", "..", "a/../b", "workflow", "workflow/x", "job-order.json",
             "job-order.json/x", "workflow-input-files-metadata.json", "a\0"],
)  # fmt: skip
def test_destinations_that_would_break_the_job_are_refused(path: str) -> None:
    assert destinations.problem(path)


@pytest.mark.parametrize(
    "path", ["/api/v2/admin/job-file-stage-groups/", "/api/v2/admin/share-groups/", "/api/admin/job-tokens/"]
)
def test_a_longer_list_takes_no_more_questions_to_the_database(api: Api, path: str) -> None:
    def add(token: str) -> None:
        api.stage_group()
        with api.site.database.write() as session:
            member = StorageUser(name="x", dds_id=token)
            session.add_all((JobToken(token=token), ShareGroup(name=token, users=[member])))

    def questions() -> int:
        asked: list[str] = []
        note = lambda *what: asked.append(what[2])  # noqa: E731
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert api.get(path, "operator").status_code == 200
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(asked)

    add("a")
    few = questions()
    add("b")
    add("c")
    assert questions() == few


def test_an_input_may_be_fetched_with_the_sites_credentials_and_ones_own_but_with_nobody_elses(api: Api) -> None:
    api.as_user("ada")
    api.as_user("bob")
    with api.site.database.write() as session:
        people = {user.username: user for user in session.scalars(select(User))}
        own, others = (setup.create_credential(session, people[name], endpoint="x").id for name in ("ada", "bob"))
        sites = setup.create_credential(session, people["operator"], endpoint="x").id
    offered = [row["id"] for row in api.get("/api/v2/dds-user-credentials/").json()]
    assert offered == [1, own, sites]
    for number, credential in enumerate(offered):
        body = dds_file(api.stage_group(), dds_user_credentials=credential, sequence=number)
        assert api.post("/api/v2/dds-job-input-files/", body).status_code == 201
    refused = api.post("/api/v2/dds-job-input-files/", dds_file(api.stage_group(), dds_user_credentials=others))
    assert (refused.status_code, list(refused.json())) == (400, ["dds_user_credentials"])
    patched = api.call("PATCH", "/api/v2/dds-job-input-files/1/", {"dds_user_credentials": others})
    assert (patched.status_code, list(patched.json())) == (400, ["dds_user_credentials"])


@pytest.mark.parametrize(("kind", "body"), [("url", url_file), ("dds", dds_file)])
def test_the_inputs_of_a_job_stay_as_they_were_when_it_started(api: Api, kind: str, body: Any) -> None:
    path, group, another = f"/api/v2/{kind}-job-input-files/", api.stage_group(), api.stage_group()
    assert api.post(path, body(group)).status_code == 201
    assert api.post(path, body(another)).status_code == 201
    job = api.new_job(stage_group=group)
    assert api.call("PATCH", f"{path}1/", {"size": 11}).status_code == 200, "it has not been started"
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    tries = [
        api.post(path, body(group, sequence=5, destination_path="more")),
        api.put(f"{path}1/", body(group, size=12), "ada"),
        api.call("PATCH", f"{path}1/", {"size": 12}),
        api.call("PATCH", f"{path}1/", {"stage_group": another, "sequence": 6, "destination_path": "moved"}),
        api.call("PATCH", f"{path}2/", {"stage_group": group, "sequence": 6, "destination_path": "moved"}),
        api.call("DELETE", f"{path}1/"),
    ]
    said = {"non_field_errors": [f"Job {job} has started: its inputs can't be changed any more."]}
    assert [(answer.status_code, answer.json()) for answer in tries] == [(400, said)] * len(tries)
    assert api.get(f"{path}1/").json()["size"] == 11
    assert api.call("DELETE", f"{path}2/").status_code == 204
