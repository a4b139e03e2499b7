"""Before a job starts, the service may read its inputs' projects; when that fails, nothing has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from lando.api.models import StorageCredential, StorageEndpoint, User
from lando.api.storage_rights import DukeDsRights
from requests.adapters import BaseAdapter
from sqlalchemy import select
from tests.unit.api.serving import Api

ROOT = "https://dds.example.org/api/v1"


@dataclass
class FakeDataService(BaseAdapter):
    """The five calls of the Duke Data Service that are used; users' keys and tokens read like their names."""

    roles: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: int | None = None
    answers_nonsense: bool = False

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        assert options["timeout"] is not None
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix("/api/v1")
        self.asked.append(f"{request.method} {path}")
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body or "")
        status, document = self._answer(str(request.method), path, parts.query, body, request)
        if self.answers_nonsense:
            document = ["It works!"]
        response = requests.Response()
        response.status_code, response.raw, response.request = status, BytesIO(json.dumps(document).encode()), request
        return response

    def _answer(
        self, method: str, path: str, query: str, body: str, request: requests.PreparedRequest
    ) -> tuple[int, Any]:
        if self.broken is not None:
            return self.broken, {"reason": "out of order"}
        if path == "/software_agents/api_token":
            keys = json.loads(body)
            return (201, {"api_token": keys["user_key"]}) if keys["agent_key"] == "agent" else (401, {})
        if path == "/user/api_token":
            return 201, {"api_token": parse_qs(query)["access_token"][0]}
        who = request.headers.get("Authorization")
        if path == "/current_user":
            return 200, {"id": who}
        _, _, project, _, user = path.split("/")
        if method == "GET":
            role = self.roles.get((project, user))
            return (200, {"auth_role": {"id": role}}) if role else (404, {"reason": "none"})
        if self.roles.get((project, str(who))) != "project_admin":
            return 403, {"reason": "not your project"}
        self.roles[project, user] = parse_qs(body)["auth_role[id]"][0]
        return 200, {}

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def service(api: Api) -> FakeDataService:
    service = FakeDataService()
    api.site.rights = DukeDsRights(service)
    with api.site.database.write() as session:
        endpoint = session.scalars(select(StorageEndpoint)).one()
        endpoint.api_root, endpoint.agent_key = ROOT, "agent"
        session.scalars(select(StorageCredential)).one().token = "bespin"
    return service


def new_job(api: Api, *projects: str) -> int:
    group = api.stage_group()
    for number, project in enumerate(projects):
        file = {"stage_group": group, "project_id": project, "file_id": "f", "dds_user_credentials": 1}
        place = {"destination_path": f"{number}", "sequence_group": 0, "sequence": number}
        assert api.post("/api/v2/dds-job-input-files/", {**file, **place}).status_code == 201
    return api.new_job(stage_group=group)


def give_token(api: Api, token: str) -> None:
    with api.site.database.write() as session:
        session.scalars(select(User).where(User.username == "ada")).one().provider_token = token


def test_the_service_gets_the_download_right_by_the_owners_sign_in_once_for_each_project(
    api: Api, service: FakeDataService
) -> None:
    job = new_job(api, "p1", "p1", "p2")
    give_token(api, "ada")
    service.roles = {("p1", "ada"): "project_admin", ("p2", "bespin"): "file_editor"}
    assert api.post(f"/api/v2/jobs/{job}/start/").json()["state"] == "S"
    assert service.roles["p1", "bespin"] == "file_downloader"
    assert [call for call in service.asked if call.startswith("PUT")] == ["PUT /projects/p1/permissions/bespin"]
    api.write(job, "R/S", "E/S")
    del service.roles["p1", "bespin"]
    assert api.post(f"/api/v2/jobs/{job}/restart/").json()["state"] == "r"
    assert service.roles["p1", "bespin"] == "file_downloader"


def test_a_credential_of_the_owners_goes_before_their_sign_in(api: Api, service: FakeDataService) -> None:
    job = new_job(api, "p1")
    give_token(api, "expired")
    ada = api.get("/api/users/current-user/").json()["id"]
    body = {"user": ada, "endpoint": 1, "token": "ada"}
    assert api.post("/api/lando/v1/admin/dds-user-credentials/", body, "operator").status_code == 201
    service.roles = {("p1", "ada"): "project_admin"}
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    assert service.roles["p1", "bespin"] == "file_downloader"


@pytest.mark.parametrize(
    ("token", "broken", "status", "words"),
    [
        ("eve", None, 403, "not your project"),
        (None, None, 403, "sign in with your browser"),
        ("ada", 404, 404, "out of order"),
        ("ada", 500, 503, "not available"),
    ],
)
def test_a_failure_passes_its_status_on_and_moves_nothing(
    api: Api, service: FakeDataService, token: str | None, broken: int | None, status: int, words: str
) -> None:
    job = new_job(api, "p1")
    if token is not None:
        give_token(api, token)
    service.broken = broken
    before = api.get(f"/api/v2/jobs/{job}/").json()
    answer = api.post(f"/api/v2/jobs/{job}/start/")
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert words in answer.json()["detail"]
    assert api.get(f"/api/v2/jobs/{job}/").json() == before
    assert api.published() == []


def test_what_is_no_data_service_is_told_as_not_available(api: Api, service: FakeDataService) -> None:
    service.answers_nonsense = True
    answer = api.post(f"/api/v2/jobs/{new_job(api, 'p1')}/start/")
    assert (answer.status_code, "not available" in answer.text) == (503, True)


def test_a_start_that_shares_very_many_projects_ends_and_the_next_goes_on(api: Api, service: FakeDataService) -> None:
    job = new_job(api, "p1", "p2")
    give_token(api, "ada")
    service.roles = {("p1", "ada"): "project_admin", ("p2", "ada"): "project_admin"}
    minutes = iter(range(0, 6000, 59))
    api.site.rights = DukeDsRights(service, clock=lambda: float(next(minutes)))
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 503
    assert ("p1", "bespin") in service.roles
    assert ("p2", "bespin") not in service.roles
    api.site.rights = DukeDsRights(service, clock=lambda: 0.0)
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200


def test_nothing_outside_is_asked_where_nothing_is_to_be_granted(api: Api, service: FakeDataService) -> None:
    assert api.post(f"/api/v2/jobs/{new_job(api)}/start/").status_code == 200
    job = new_job(api, "p1")
    assert api.post(f"/api/v2/jobs/{job}/restart/").status_code == 400
    assert api.post(f"/api/v2/jobs/{job}/start/", user="eve").status_code == 404
    assert api.post(f"/api/v2/jobs/{job}/cancel/").status_code == 200
    with api.site.database.write() as session:
        session.scalars(select(StorageEndpoint)).one().api_root = ""
    assert api.post(f"/api/v2/jobs/{new_job(api, 'p1')}/start/").status_code == 200
    assert service.asked == []
