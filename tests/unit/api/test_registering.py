"""Workflows registered: as a document, as an uploaded file, by URL; for oneself or for everybody."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.serving import PACKED, Api, Serve

REGISTER = "/api/lando/v1/workflows"
TOOL = {"class": "CommandLineTool", "cwlVersion": "v1.2", "baseCommand": "true", "inputs": {}, "outputs": {}}
FLOW = {**TOOL, "class": "Workflow", "label": "Count reads", "inputs": {"reads": "File[]"}, "steps": {}}
FIELDS = [{"name": "reads", "type": {"type": "array", "items": "File"}}]


def upload(api: Api, name: str, data: bytes, user: str = "ada") -> dict[str, Any]:
    made: dict[str, Any] = api.call("POST", f"/api/lando/v1/files?name={name}", user=user, content=data).json()
    return made


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("flow/count.cwl", json.dumps(FLOW))
        opened.writestr("flow/tool.cwl", json.dumps(TOOL))
    return stream.getvalue()


ARCHIVE = archive()


def test_an_uploaded_archive_becomes_a_version_whose_jobs_can_be_ordered(api: Api) -> None:
    file = upload(api, "count.zip", ARCHIVE)
    made = api.post(REGISTER, {"file": file["url"]})
    assert made.status_code == 201, made.text
    assert made.json() | {"type": "zipped", "workflow_path": "flow/count.cwl", "fields": FIELDS} == made.json()
    assert made.json()["tag"] == "ada-count-reads/1/default"
    again = api.post(REGISTER, {"url": file["url"]}).json()
    assert again["workflow_version"] == made.json()["workflow_version"]
    job = api.new_job(tag=made.json()["tag"], job_order={"reads": [{"class": "File", "path": "a"}]})
    version = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["workflow_version"]
    assert (version["type"], version["workflow_path"]) == ("zipped", "flow/count.cwl")
    assert api.client.get(version["url"]).content == ARCHIVE


def test_cwltool_has_its_say_unless_the_client_has_asked_it(serve: Serve) -> None:
    api = serve(check_workflows=True)
    wrong = {**TOOL, "inputs": {"a": "Integer"}}
    answer = api.post(REGISTER, {"name": "x", "packed": wrong})
    assert (answer.status_code, list(answer.json())) == (400, ["packed"])
    (sentence,) = answer.json()["packed"]
    assert sentence.startswith("x.cwl is not valid CWL: x.cwl:")
    assert "\n" not in sentence
    assert api.post(REGISTER, {"name": "x", "packed": wrong, "checked": True}).status_code == 201
    assert api.post(REGISTER, {"name": "x", "packed": wrong}).status_code == 201, "the same content, registered before"


def test_a_check_that_takes_too_long_is_given_up(serve: Serve) -> None:
    api = serve(check_timeout_s=0.001)
    file = upload(api, "count.zip", ARCHIVE)
    answer = api.post(REGISTER, {"file": file["id"]})
    assert answer.json() == {"file": ["It could not be checked within 0.001 s; try again, or ask the site's staff."]}


def test_a_workflow_is_not_fetched_from_the_servers_own_inside(api: Api) -> None:
    answer = api.post(REGISTER, {"url": "http://127.0.0.1:1/a.cwl"})
    assert (answer.status_code, list(answer.json())) == (400, ["url"])
    assert "staging does not go" in answer.json()["url"][0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "packed"),
        ({"packed": PACKED, "url": "https://x.org/a"}, "non_field_errors"),
        ({"file": "f" * 32}, "file"),
        ({"file": "../../etc/passwd"}, "file"),
        ({"packed": {}}, "packed"),
        ({"packed": PACKED, "version": "1/2"}, "version"),
        ({"packed": PACKED, "type": "tarred"}, "type"),
        ({"packed": PACKED, "tag": "exome"}, "tag"),
    ],
)
def test_what_is_no_workflow_is_refused_naming_the_field(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post(REGISTER, {"name": "x", **body})
    assert (answer.status_code, list(answer.json())) == (400, [field]), answer.text


def test_nobody_registers_what_somebody_else_uploaded(api: Api) -> None:
    file = upload(api, "count.zip", ARCHIVE)
    assert list(api.post(REGISTER, {"file": file["id"]}, "eve").json()) == ["file"]
    version = {"workflow": 1, "version": "1", "description": "", "url": file["url"], "fields": []}
    api.post("/api/v2/admin/workflows/", {"name": "x", "tag": "x"}, "operator")
    assert list(api.post("/api/v2/admin/workflow-versions/", version, "operator").json()) == ["url"]


def test_staff_register_workflows_for_everybody(api: Api) -> None:
    body = {"name": "Exome", "packed": PACKED, "public": True, "tag": "exome", "version": "4.1.0"}
    assert api.post(REGISTER, body).status_code == 403
    made = api.post(REGISTER, body, "operator").json()
    assert made["tag"] == "exome/4.1.0/default"
    next_one = api.post(REGISTER, {**body, "version": "4.2.0", "packed": TOOL}, "operator").json()
    assert next_one["workflow"] == made["workflow"]
    assert [row["version"] for row in api.get("/api/v2/workflow-versions/").json()] == ["4.1.0", "4.2.0"]
    assert api.get(made["url"]).json()["cwlVersion"] == "v1.2", "whoever may run it may read it"
    assert api.get(api.post(REGISTER, {"packed": PACKED}, "eve").json()["url"]).status_code == 404


def test_a_public_workflow_takes_no_tag_of_somebodys_own(api: Api) -> None:
    tag = api.register("ada", name="exome").partition("/")[0]
    body = {"name": "Exome", "packed": PACKED, "public": True, "tag": tag}
    answer = api.post(REGISTER, body, "operator")
    assert (answer.status_code, list(answer.json())) == (400, ["tag"])


def test_the_same_workflow_sent_several_times_at_once_is_registered_once(api: Api) -> None:
    body = {"name": "Read counts", "packed": PACKED}
    api.as_user("ada")
    with ThreadPoolExecutor(4) as senders:
        answers = list(senders.map(lambda _: api.post(REGISTER, body), range(4)))
    assert {(answer.status_code, answer.json()["workflow_version"]) for answer in answers} == {(201, 1)}


def test_a_version_without_fields_takes_them_from_its_file(api: Api) -> None:
    api.post("/api/v2/admin/workflows/", {"name": "x", "tag": "x"}, "operator")
    url = upload(api, "count.zip", ARCHIVE, "operator")["url"]
    made = api.post(
        "/api/v2/admin/workflow-versions/", {"workflow": 1, "version": "1", "type": "zipped", "url": url}, "operator"
    )
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["fields"], shown["workflow_path"], shown["description"]) == (FIELDS, "flow/count.cwl", "Count reads")
    body = {"workflow": 1, "version": "2", "url": "http://127.0.0.1:1/a.cwl"}
    answer = api.post("/api/v2/admin/workflow-versions/", body, "operator")
    assert (answer.status_code, list(answer.json())) == (400, ["url"])


def test_a_workflow_that_could_never_be_shown_again_is_refused(api: Api) -> None:
    """Whoever lists versions, or reads a job of this one, would get an error instead."""
    deep = {**FLOW, "inputs": {"a": "File" + "[]" * 300}}
    answer = api.post(REGISTER, {"name": "deep", "packed": deep, "checked": True})
    assert (answer.status_code, list(answer.json())) == (400, ["packed"]), answer.text
    odd = json.dumps({**FLOW, "steps": {}, "inputs": {"a": {"type": {"type": "enum", "symbols": [], "x": 1}}}})
    file = upload(api, "odd.cwl", odd.replace('"x": 1', '"x": NaN').encode())
    answer = api.post(REGISTER, {"file": file["id"]})
    assert (answer.status_code, list(answer.json())) == (400, ["file"]), answer.text
    assert api.get("/api/v2/workflow-versions/").status_code == 200


def test_a_large_file_is_copied_before_the_transaction_and_goes_when_nobody_needs_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: list[str] = []
    write, begin = api.site.database.write, api.site.files.begin

    @contextmanager
    def writing() -> Iterator[Any]:
        with write() as session:
            at_work.append("writing")
            yield session
            at_work.remove("writing")

    def copying(limit: int) -> Any:
        assert at_work == [], "nobody else could write meanwhile"
        return begin(limit)

    def kept() -> int:
        return sum(path.is_file() for path in Path(api.site.settings.files_dir).rglob("*"))

    api.as_user("ada")
    monkeypatch.setattr(api.site.database, "write", writing)
    monkeypatch.setattr(api.site.files, "begin", copying)
    body = {"name": "x", "packed": PACKED, "version": "1"}
    first = api.post(REGISTER, body)
    assert (first.status_code, kept()) == (201, 1)
    again = api.post(REGISTER, body)
    assert (again.json()["workflow_version"], kept()) == (first.json()["workflow_version"], 1)
    refused = api.post(REGISTER, {**body, "packed": {**PACKED, "doc": "other"}})
    assert (refused.status_code, list(refused.json()), kept()) == (400, ["version"], 1)
