"""Every route there is, asked by nobody, by somebody else and by staff: a new route can't be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from lando.api.media_types import JOBS
from starlette.routing import BaseRoute, Mount, Route
from tests.unit.api.serving import SIGN_IN, Api

OPEN = {"/healthz", "/readyz", "/metrics", "/api/lando/v1/openapi.json", *SIGN_IN}
"""Routes that need no sign-in."""
BY_SESSION = {"/auth/api-token-session"}
"""Routes that only a browser's session opens, and no token."""
EVERYBODYS = {
    ("GET", "/api/v2/job-strategies/{}"),
    ("GET", "/api/v2/share-groups/{}"),
    ("GET", "/api/v2/dds-endpoints/{}"),
    ("GET", "/api/v2/dds-user-credentials/{}"),
    ("GET", "/api/v2/admin/workflow-methods-documents"),
}
"""Single rows that hold nothing private, and the one staff route that is not for staff only."""
STAFF_OUTSIDE_ADMIN = {
    ("POST", "/api/v2/dds-endpoints"),
    ("PUT", "/api/v2/dds-endpoints/{}"),
    ("PATCH", "/api/v2/dds-endpoints/{}"),
    ("DELETE", "/api/v2/dds-endpoints/{}"),
    ("PUT", "/api/lando/v1/runs/{}/condition"),
    ("PUT", "/api/lando/v1/runs/{}/attempts"),
    ("GET", "/api/lando/v1/notices"),
    ("POST", "/api/lando/v1/notices/{}/retry"),
    ("GET", "/api/lando/v1/dead-letters"),
    ("GET", "/api/lando/v1/dead-letters/{}"),
    ("POST", "/api/lando/v1/dead-letters/retry"),
    ("POST", "/api/lando/v1/dead-letters/drop"),
    ("GET", "/api/lando/v1/resync"),
    ("POST", "/api/lando/v1/resync"),
    ("GET", "/api/lando/v1/prune"),
    ("POST", "/api/lando/v1/prune"),
}
OWNERS_AND_STAFFS = {
    ("GET", "/api/v2/admin/workflow-methods-documents/{}"),
    ("PUT", "/api/lando/v1/runs/{}/priority"),
}
"""Of single rows, what staff may do with everybody's."""


def who(method: str, path: str) -> str:
    """Whose a route is: ``open``, ``everybody``'s who signs in, ``staff``'s, or the ``owner``'s of the row it names."""
    route = (method, path)
    if path in OPEN:
        return "open"
    if route in STAFF_OUTSIDE_ADMIN or path.startswith(JOBS):
        return "staff"
    if route in EVERYBODYS or ("{}" not in path and "/admin/" not in path):
        return "everybody"
    return "owner" if route in OWNERS_AND_STAFFS or "/admin/" not in path else "staff"


def routes(api: Api) -> Iterator[tuple[str, str]]:
    """Method and path, with ``{}`` for each parameter, of every route of the application."""
    found = 0
    for method, path in _walk(api.app.routes, ""):
        found += 1
        yield method, re.sub(r"\{[^}]*\}", "{}", path)
    assert found > 60, "the walk has missed routes"


def _walk(known: list[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
    for route in known:
        if isinstance(route, (APIRoute, Route)):
            for method in sorted(route.methods or ()):
                if method != "HEAD":
                    yield method, prefix + route.path
        elif isinstance(route, Mount):
            yield from _walk(list(route.routes), prefix + route.path)
        elif (router := getattr(route, "original_router", None)) is not None:
            context = getattr(route, "include_context", None)
            yield from _walk(list(router.routes), prefix + str(getattr(context, "prefix", "")))
        else:
            raise AssertionError(f"the walk does not know {route!r}")


def test_every_route_lets_each_role_do_what_is_its_to_do(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """Ada owns row 1 of every kind of private row; nobody, somebody else, she and the staff ask for each."""
    before = rows_of_ada(api)
    found = list(routes(api))
    assert set(found) >= EVERYBODYS | STAFF_OUTSIDE_ADMIN | OWNERS_AND_STAFFS
    asked = dict.fromkeys(("nobody", "another user", "owner", "staff"), 0)
    for number, (method, path) in enumerate(found):
        whose, one = who(method, path), path.replace("{}", "1")
        if whose == "open":
            continue
        body = None if method == "GET" else {}
        asked["nobody"] += 1
        answer = api.client.request(method, one, headers={"Authorization": "Token " + "0" * 40} if number % 2 else {})
        told = ["error", "message"] if path.startswith(JOBS) else ["detail"]
        assert (answer.status_code, list(answer.json())) == (401, told), (method, path)
        assert answer.headers["www-authenticate"] == 'JWT realm="api"'

        if path in BY_SESSION:
            continue

        asked["another user"] += 1
        status = refused(api, method, one, "eve")
        assert (status in (401, 403)) == (whose == "staff"), (method, path, status)
        assert whose != "owner" or status == 404, (method, path, status)

        if whose == "staff" or method == "GET":
            asked["owner"] += 1
            status = api.call(method, one, body).status_code
            assert (status in (401, 403)) == (whose == "staff"), (method, path, status)

        asked["staff"] += 1
        status = refused(api, method, one.replace("/1", "/0") if whose == "staff" else one, "operator")
        assert status not in (401, 403), (method, path, status)
        assert whose != "owner" or (status == 404) != ((method, path) in OWNERS_AND_STAFFS), (method, path, status)
    assert api.get("/api/v2/jobs/1/").json() == before
    with capsys.disabled():
        print(f"\nroutes x roles: {len(found)} x {len(asked)}, {sum(asked.values())} requests answered as they should")


def rows_of_ada(api: Api) -> Any:
    """A private row of every kind, each of id 1; her job."""
    job = api.new_job()
    assert api.post("/api/v2/url-job-input-files/", {**INPUT, "url": "https://x.org/a"}).is_success
    assert api.post("/api/v2/dds-job-input-files/", {**INPUT, **STORED, "destination_path": "b"}).is_success
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    api.write(job, "R/S", "E/S")
    assert api.post("/api/v2/admin/job-errors/", {"job": job, "job_step": "S", "content": "x"}, "lando").is_success
    for kind, text in (("methods-documents", {"content": "x"}), ("version-tool-details", {"details": []})):
        body = {"workflow_version": 1, **text}
        assert api.post(f"/api/lando/v1/admin/workflow-{kind}/", body, "operator").is_success
    return api.get(f"/api/v2/jobs/{job}/").json()


INPUT = {"stage_group": 1, "destination_path": "a", "sequence_group": 0, "sequence": 0}
STORED = {"project_id": "p", "file_id": "f", "dds_user_credentials": 1}


def refused(api: Api, method: str, path: str, user: str) -> int:
    """The status of a request, with a whole body where an empty one is not looked at further."""
    status = api.call(method, path, None if method == "GET" else {}, user).status_code
    if method == "PUT" and status == 400:
        status = api.call(method, path, {**INPUT, **STORED, "url": "https://x.org/a", "priority": 1}, user).status_code
    return status


@pytest.mark.parametrize("user", ["eve", "operator"])
def test_lists_show_everybody_their_own_rows_only_also_staff(api: Api, user: str) -> None:
    rows_of_ada(api)
    for path in ("jobs/", "workflows/", "workflow-versions/", "workflow-configurations/", "job-file-stage-groups/",
                 "url-job-input-files/", "dds-job-input-files/", "workflow-version-tool-details/"):  # fmt: skip
        assert api.get(f"/api/v2/{path}", user).json() == [], path
    for path in ("/api/job-errors/", "/api/job-activities/", "/api/lando/v1/runs/", "/api/job-errors/?job=1"):
        assert api.get(path, user).json() == [], path
    assert api.get("/api/v2/admin/workflow-methods-documents/", "eve").json() == []


def test_no_input_may_name_a_file_of_somebody_else(api: Api) -> None:
    answer = api.call("POST", "/api/lando/v1/files?name=secret.txt", content=b"secret")
    made = answer.json()
    path = f"/api/lando/v1/files/{made['id']}"
    group = api.stage_group("eve")
    body = {"stage_group": group, "destination_path": "a", "sequence_group": None, "sequence": None}
    for url in (
        made["url"],
        f"http://testserver{path}/x/../secret.txt",
        f"http://testserver{path}",
        f"{path}/secret.txt",
        f"http://testserver{path}/secret.txt?expires=1",
    ):
        answer = api.post("/api/v2/url-job-input-files/", {**body, "url": url}, "eve")
        assert answer.status_code == 400, url
    for number, url in enumerate(
        (
            f"http://testserver/{path}/secret.txt",
            f"HTTP://testserver{path}/secret.txt",
            f"http://eve@testserver{path}/secret.txt",
            f"http://testserver/api/lando/v1/%66iles/{made['id']}/secret.txt",
            f"http://testserver/x/..{path}/secret.txt",
        )
    ):
        answer = api.post("/api/v2/url-job-input-files/", {**body, "url": url, "destination_path": f"{number}"}, "eve")
        assert answer.status_code in (201, 400)
    staged = api.get(f"/api/v2/admin/job-file-stage-groups/{group}", "lando").json()["url_files"]
    assert staged, "some forms are taken for addresses elsewhere"
    for file in staged:
        assert "signature" not in file["url"]
        assert api.client.get(file["url"]).status_code in (400, 401, 404)
    mine = api.post("/api/v2/url-job-input-files/", {**body, "url": "https://x.org/a", "destination_path": "m"}, "eve")
    for method in ("PUT", "PATCH"):
        change = {**body, "destination_path": "m", "url": made["url"]}
        assert api.call(method, f"/api/v2/url-job-input-files/{mine.json()['id']}/", change, "eve").status_code == 400


def test_a_job_may_not_be_made_of_somebody_elses_inputs_or_workflow(api: Api) -> None:
    theirs = api.form("ada")
    own_group = api.stage_group("eve")
    answer = api.post("/api/v2/job-templates/create-job", {**theirs, "stage_group": own_group}, "eve")
    assert list(answer.json()) == ["tag"]
    own_tag = api.register("eve")
    answer = api.post("/api/v2/job-templates/create-job", {**theirs, "tag": own_tag}, "eve")
    assert list(answer.json()) == ["stage_group"]
    for action in ("init", "validate"):
        assert api.post(f"/api/v2/job-templates/{action}", theirs, "eve").status_code == 400
