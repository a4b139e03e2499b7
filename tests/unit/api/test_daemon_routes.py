"""The admin routes as the daemon calls them (A1 to A7)."""

from __future__ import annotations

import pytest
from lando.api.models import JobActivity, MethodsDocument, ShareGroup, StorageUser, UploadedFile
from lando.api.routes.admin_records import NO_TEXT
from sqlalchemy import func, select
from tests.unit.api.serving import Api, Serve


@pytest.mark.parametrize("slash", ["", "/"])
def test_state_and_step_are_written_one_or_both(api: Api, slash: str) -> None:
    job = api.new_job()
    url = f"/api/v2/admin/jobs/{job}{slash}"
    assert api.put(url, {"state": "R"}).json()["state"] == "R"
    answer = api.put(url, {"step": "S"})
    assert (answer.status_code, answer.json()["state"], answer.json()["step"]) == (200, "R", "S")
    assert api.put(url, {"state": "F", "step": ""}).json()["step"] == ""
    assert api.put(url, {}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "X"}, "state"),
        ({"state": ""}, "state"),
        ({"state": "RR"}, "state"),
        ({"state": None}, "state"),
        ({"step": "Z"}, "step"),
        ({"step": None}, "step"),
        ({"name": " "}, "name"),
        ({"stage_group": 999}, "stage_group"),
        ({"volume_size": "big"}, "volume_size"),
        ({"fund_code": "x\0y"}, "fund_code"),
    ],
)
def test_a_value_that_can_not_be_is_400_under_its_field(api: Api, body: dict[str, object], field: str) -> None:
    job = api.new_job()
    answer = api.put(f"/api/v2/admin/jobs/{job}/", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert all(isinstance(text, str) for text in answer.json()[field])
    assert api.state(job) == "A"


def test_read_only_and_unknown_keys_are_ignored(api: Api) -> None:
    job = api.new_job()
    body = {"id": 7, "user": 1, "job_settings": 9, "job_flavor": {}, "output_project": None, "whatever": 1, "step": "S"}
    answer = api.put(f"/api/v2/admin/jobs/{job}/", body).json()
    assert (answer["id"], answer["user"]["username"], answer["step"]) == (job, "ada", "S")


def test_a_guarded_write_fails_when_somebody_was_faster(api: Api) -> None:
    job = api.new_job()
    url = f"/api/v2/admin/jobs/{job}/"
    version = api.get(url, "lando").headers["etag"]
    assert api.put(url, {"state": "S"}, If_Match=version).status_code == 200
    late = api.put(url, {"state": "R"}, If_Match=version)
    assert (late.status_code, list(late.json())) == (412, ["detail"])
    assert api.state(job) == "S"
    fresh = api.get(url, "lando").headers["etag"]
    assert api.put(url, {"state": "R"}, If_Match=f'"0", W/{fresh}').status_code == 200
    assert api.put(url, {"state": "F"}, If_Match="*").status_code == 200


def test_a_users_cancel_makes_the_daemons_guarded_write_fail(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    etag = api.get(f"/api/v2/admin/jobs/{job}/", "lando").headers["etag"]
    api.post(f"/api/v2/jobs/{job}/cancel/")
    assert api.put(f"/api/v2/admin/jobs/{job}/", {"state": "R"}, If_Match=etag).status_code == 412
    assert api.state(job) == "c"


def test_an_activity_is_noted_only_when_state_or_step_change(api: Api) -> None:
    job = api.new_job()
    for body in ({"state": "R"}, {"state": "R"}, {"step": "S"}, {"step": "S", "vm_instance_name": "x"}):
        api.put(f"/api/v2/admin/jobs/{job}/", body)
    with api.site.database.read() as session:
        assert session.execute(select(func.count(JobActivity.id))).scalar() == 3


def test_writing_what_stands_there_already_changes_no_version(api: Api) -> None:
    job = api.new_job()
    first = api.put(f"/api/v2/admin/jobs/{job}/", {"state": "R"}).headers["etag"]
    assert api.put(f"/api/v2/admin/jobs/{job}/", {"state": "R"}).headers["etag"] == first


def test_lists_are_filtered_by_several_states(api: Api) -> None:
    jobs = [api.new_job() for _ in range(3)]
    api.write(jobs[0], "R/S")
    api.write(jobs[1], "F/")

    def listed(query: str) -> list[int]:
        return [job["id"] for job in api.get(f"/api/v2/admin/jobs/{query}", "lando").json()]

    assert listed("") == jobs
    assert listed("?state=R&state=F") == jobs[:2]
    assert listed("?limit=2") == jobs[:2]
    assert listed(f"?state=R&state=F&after={jobs[0]}&limit=2") == jobs[1:2]
    assert listed("?state=E") == []


def test_a_list_can_be_asked_for_by_ids(api: Api) -> None:
    jobs = [api.new_job() for _ in range(3)]
    query = f"?id={jobs[2]}&id={jobs[0]}&id=99999999999&id=x&id=2147483648"
    assert [job["id"] for job in api.get(f"/api/v2/admin/jobs/{query}", "lando").json()] == [jobs[0], jobs[2]]


def test_people_who_are_not_staff_see_no_admin_route(api: Api) -> None:
    job = api.new_job()
    for path in (f"jobs/{job}", "jobs", "job-errors", "share-groups/1", "job-file-stage-groups/1"):
        answer = api.get(f"/api/v2/admin/{path}")
        assert (answer.status_code, list(answer.json())) == (403, ["detail"])


def test_unknown_ids_are_404_whatever_they_look_like(api: Api) -> None:
    for text in ("999", "x", "1e3", "-1", "99999999999999999999", "%00", "٣"):
        answer = api.get(f"/api/v2/admin/jobs/{text}/", "lando")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_inputs_are_given_with_signed_urls_for_uploaded_files_only(api: Api) -> None:
    group = api.stage_group()
    uploaded = api.call("POST", "/api/lando/v1/files?name=a.fastq", content=b"ACGT").json()
    for number, url in enumerate([uploaded["url"], "https://files.example.org/b.bed"]):
        body = {"stage_group": group, "url": url, "destination_path": f"f{number}", "size": 10,
                "sequence_group": 0, "sequence": number}  # fmt: skip
        assert api.post("/api/v2/url-job-input-files/", body).json()["url"] == url
    files = api.get(f"/api/v2/admin/job-file-stage-groups/{group}", "lando").json()["url_files"]
    assert files[1]["url"] == "https://files.example.org/b.bed"
    assert files[0]["url"].startswith(uploaded["url"] + "?expires=")
    fetched = api.client.get(files[0]["url"].removeprefix("http://testserver"))
    assert fetched.content == b"ACGT"
    again = api.get(f"/api/v2/admin/job-file-stage-groups/{group}", "lando").json()["url_files"]
    assert again[0]["url"] == files[0]["url"]


def test_inputs_are_found_by_job(api: Api) -> None:
    group = api.stage_group()
    api.stage_group()
    job = api.new_job(stage_group=group)
    found = api.get(f"/api/v2/admin/job-file-stage-groups/?job={job}", "lando").json()
    assert [row["id"] for row in found] == [group]
    assert found[0]["dds_files"] == []


def test_the_workflow_is_given_with_a_signed_url_that_keeps_its_name(api: Api) -> None:
    job = api.new_job()
    url = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["workflow_version"]["url"]
    path = url.partition("?")[0]
    assert path.endswith("/read-counts.cwl")
    assert api.client.get(url.removeprefix("http://testserver")).json()["cwlVersion"] == "v1.2"


def test_methods_documents_are_read(api: Api) -> None:
    api.register()
    with api.site.database.write() as session:
        session.add(MethodsDocument(workflow_version_id=1, content="# Methods"))
    expected = {"id": 1, "workflow_version": 1, "content": "# Methods"}
    assert api.get("/api/v2/admin/workflow-methods-documents/1", "lando").json() == expected


def test_share_groups_name_their_members(api: Api) -> None:
    made = api.post("/api/v2/admin/share-groups/", {"name": "reviewers", "email": "r@example.org"}, "operator")
    assert made.status_code == 201
    group = made.json()["id"]
    with api.site.database.write() as session:
        row = session.get(ShareGroup, group)
        assert row is not None
        row.users.append(StorageUser(name="Grace Hopper", dds_id="1c1c"))
    shown = api.get(f"/api/v2/admin/share-groups/{group}", "lando").json()
    assert shown == {
        "id": group,
        "users": [{"id": 1, "name": "Grace Hopper", "dds_id": "1c1c"}],
        "name": "reviewers",
        "email": "r@example.org",
    }
    assert api.get(f"/api/v2/share-groups/{group}").json()["users"] == [1]
    patched = api.call("PATCH", f"/api/v2/admin/share-groups/{group}/", {"email": ""}, "operator")
    assert (patched.json()["name"], patched.json()["email"]) == ("reviewers", "")
    assert api.call("DELETE", f"/api/v2/admin/share-groups/{group}/", user="operator").status_code == 204
    assert api.get(f"/api/v2/admin/share-groups/{group}", "lando").status_code == 404


def test_a_job_error_is_recorded_as_the_daemon_sends_it(api: Api) -> None:
    job = api.new_job()
    body = {"job": str(job), "job_step": "S", "content": "  first line\nsecond line \n"}
    answer = api.post("/api/v2/admin/job-errors/", body, "lando")
    assert answer.status_code == 201
    shown = answer.json()
    assert list(shown) == ["id", "content", "job_step", "created", "job"]
    assert (shown["content"], shown["job"]) == ("first line\nsecond line", job)
    assert [row["id"] for row in api.get(f"/api/job-errors/?job={job}").json()] == [shown["id"]]
    assert api.get(f"/api/job-errors/?job={job}", "eve").json() == []
    assert api.get(f"/api/v2/admin/job-errors/?job={job}", "lando").json() == [shown]
    assert api.get("/api/v2/admin/job-errors/?job=0", "lando").json() == []


@pytest.mark.parametrize(
    ("step", "content", "stored"),
    [
        ("", "x", "x"),
        ("R", "", NO_TEXT),
        ("R", " \n ", NO_TEXT),
        ("R", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("R", "ü — 漢", "ü — 漢"),
    ],
)
def test_a_job_error_is_never_lost_for_its_text(api: Api, step: str, content: str, stored: str) -> None:
    job = api.new_job()
    answer = api.post("/api/v2/admin/job-errors/", {"job": job, "job_step": step, "content": content}, "lando")
    assert (answer.status_code, answer.json()["content"]) == (201, stored)


def test_a_lone_surrogate_in_an_error_is_replaced(api: Api) -> None:
    job = api.new_job()
    raw = b'{"job": %d, "job_step": "R", "content": "a\\ud800b"}' % job
    answer = api.call(
        "POST", "/api/v2/admin/job-errors/", user="lando", content=raw, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["content"]) == (201, "a?b")


def test_a_very_long_error_is_cut_in_the_middle(api: Api) -> None:
    job = api.new_job()
    content = "begin" + "x" * 6_000_000 + "end"
    answer = api.post("/api/v2/admin/job-errors/", {"job": job, "job_step": "R", "content": content}, "lando")
    stored = answer.json()["content"]
    assert answer.status_code == 201
    assert len(stored.encode()) <= 64 * 1024
    assert stored.startswith("begin")
    assert stored.endswith("end")
    assert "left out" in stored


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"job": "999", "job_step": "S", "content": "x"}, "job"),
        ({"job_step": "S", "content": "x"}, "job"),
        ({"job": "one", "job_step": "S", "content": "x"}, "job"),
        ({"job": "1", "job_step": "Q", "content": "x"}, "job_step"),
        ({"job": "1", "content": "x"}, "job_step"),
    ],
)
def test_a_job_error_of_no_job_or_step_is_refused(api: Api, body: dict[str, str], field: str) -> None:
    api.new_job()
    answer = api.post("/api/v2/admin/job-errors/", body, "lando")
    assert (answer.status_code, list(answer.json())) == (400, [field])


def test_the_output_project_is_written_with_text_ids(api: Api) -> None:
    job = api.new_job()
    project = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["output_project"]
    body = {"id": 99, "job": str(job), "project_id": "file:///results/1-x", "readme_file_id": "88bb"}
    answer = api.put(f"/api/v2/admin/job-dds-output-projects/{project['id']}/", body)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": project["id"],
        "project_id": "file:///results/1-x",
        "readme_file_id": "88bb",
        "job": job,
        "dds_user_credentials": project["dds_user_credentials"],
    }
    shown = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["output_project"]
    assert (shown["project_id"], shown["readme_file_id"]) == ("file:///results/1-x", "88bb")
    assert list(api.put(f"/api/v2/admin/job-dds-output-projects/{project['id']}/", {}).json()) == ["job"]


def test_a_second_output_project_of_a_job_is_refused(api: Api) -> None:
    job = api.new_job()
    body = {"job": job, "project_id": "x", "dds_user_credentials": 1}
    assert "job" in api.post("/api/v2/admin/job-dds-output-projects/", body, "lando").json()


def test_conditions_and_warnings_come_from_the_daemon_and_go_with_the_next_step(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S")
    url = f"/api/lando/v1/runs/{job}"
    body = {"step": "stage_data", "sentence": "It waits for a node.", "warnings": ["samtools ran without its image."]}
    assert api.put(f"{url}/condition", body).status_code == 200
    api.put(
        f"{url}/condition", {"step": "stage_data", "sentence": "It waits for a node.", "warnings": body["warnings"]}
    )
    shown = api.get(url).json()
    assert shown["condition"]["sentence"] == "It waits for a node."
    assert shown["warnings"] == ["samtools ran without its image."]
    api.write(job, "R/R")
    assert api.get(url).json()["condition"] is None
    api.put(f"{url}/condition", {"step": "run_workflow", "sentence": "It waits."})
    api.put(f"{url}/condition", {"sentence": None})
    assert api.get(url).json()["condition"] is None
    assert api.get(url).json()["warnings"] == ["samtools ran without its image."]
    assert api.call("PUT", f"{url}/condition", {"sentence": "mine"}).status_code == 403


def test_a_body_that_is_no_json_object_says_so(serve: Serve) -> None:
    api = serve(max_body_bytes=10_000)
    job = api.new_job()
    url = f"/api/v2/admin/jobs/{job}/"
    json_type = {"Content-Type": "application/json"}

    def put(content: bytes, headers: dict[str, str]) -> tuple[int, list[str]]:
        answer = api.call("PUT", url, user="lando", content=content, headers=headers)
        return answer.status_code, list(answer.json())

    assert put(b"{", json_type) == (400, ["detail"])
    assert put(b"[]", json_type) == (400, ["detail"])
    assert put(b'"x"', json_type) == (400, ["detail"])
    assert put(b"\xff\xfe", json_type) == (400, ["detail"])
    assert put(b"[" * 5000, json_type) == (400, ["detail"])
    assert put(b"state=R", {"Content-Type": "application/x-www-form-urlencoded"}) == (415, ["detail"])
    assert put(b" " * 20_000, json_type) == (413, ["detail"])
    assert api.call("POST", url, {}, "lando").status_code == 405
    assert api.call("OPTIONS", url, user="lando").status_code == 200
    head = api.call("HEAD", url, user="lando")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == '"1"'


def test_nothing_is_signed_for_a_file_of_somebody_else(api: Api) -> None:
    theirs = api.call("POST", "/api/lando/v1/files?name=secret.txt", user="ada", content=b"secret").json()
    group = api.stage_group("eve")
    body = {"stage_group": group, "url": theirs["url"], "destination_path": "x", "sequence_group": 0, "sequence": 0}
    answer = api.post("/api/v2/url-job-input-files/", body, "eve")
    assert (answer.status_code, list(answer.json())) == (400, ["url"])
    for disguised in (theirs["url"].replace("/api/", "//api/"), theirs["url"].replace("/api/", "/x/../api/")):
        assert api.post("/api/v2/url-job-input-files/", {**body, "url": disguised}, "eve").status_code in (201, 400)
    for file in api.get(f"/api/v2/admin/job-file-stage-groups/{group}", "lando").json()["url_files"]:
        assert "signature" not in file["url"]
    with api.site.database.read() as session:
        assert session.execute(select(func.count(UploadedFile.id))).scalar() == 1
