"""Every route there is, asked by nobody, by somebody else and by staff: a new route can't be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route
from tests.unit.api.serving import SIGN_IN, Api

OPEN = {"/healthz", "/readyz", "/metrics", "/api/lando/v1/openapi.json", *SIGN_IN}
"""Routes that need no sign-in."""
EVERYBODYS = {
    "/api/v2/workflows/{}",
    "/api/v2/workflow-versions/{}",
    "/api/v2/workflow-configurations/{}",
    "/api/v2/job-strategies/{}",
    "/api/v2/share-groups/{}",
    "/api/v2/dds-endpoints/{}",
    "/api/v2/dds-user-credentials/{}",
    "/api/v2/admin/workflow-methods-documents/{}",
}
"""Routes of single rows that any signed-in user may read; private workflows are hidden there, see below."""
STAFF_OUTSIDE_ADMIN = {
    ("POST", "/api/v2/dds-endpoints"),
    ("PUT", "/api/v2/dds-endpoints/{}"),
    ("PATCH", "/api/v2/dds-endpoints/{}"),
    ("DELETE", "/api/v2/dds-endpoints/{}"),
    ("PUT", "/api/lando/v1/runs/{}/condition"),
    ("PUT", "/api/lando/v1/runs/{}/attempts"),
    ("GET", "/api/lando/v1/dead-letters"),
    ("GET", "/api/lando/v1/dead-letters/{}"),
    ("POST", "/api/lando/v1/dead-letters/retry"),
    ("POST", "/api/lando/v1/dead-letters/drop"),
    ("GET", "/api/lando/v1/resync"),
    ("POST", "/api/lando/v1/resync"),
    ("GET", "/api/lando/v1/prune"),
    ("POST", "/api/lando/v1/prune"),
}


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


def test_nobody_gets_further_than_the_sign_in(api: Api) -> None:
    api.new_job()
    for method, path in routes(api):
        if path in OPEN:
            continue
        for headers in ({}, {"Authorization": "Token " + "0" * 40}):
            answer = api.client.request(method, path.replace("{}", "1"), headers=headers)
            assert answer.status_code == 401, (method, path, answer.status_code)
            assert answer.headers["www-authenticate"] == 'JWT realm="api"'
            assert list(answer.json()) == ["detail"]


def test_what_is_for_staff_is_for_staff_only(api: Api) -> None:
    api.new_job()
    assert set(routes(api)) >= STAFF_OUTSIDE_ADMIN
    for method, path in routes(api):
        is_admin = "/admin/" in path and "workflow-methods-documents" not in path
        if is_admin or (method, path) in STAFF_OUTSIDE_ADMIN:
            answer = api.call(method, path.replace("{}", "1"), None if method == "GET" else {})
            assert answer.status_code == 403, (method, path, answer.status_code)


@pytest.mark.parametrize("user", ["eve", "operator"])
def test_nobody_else_reaches_a_users_rows_not_even_staff_by_a_users_route(api: Api, user: str) -> None:
    """Ada has one row of every kind, of id 1; whoever else asks for row 1 of anything is told that there is none."""
    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200
    api.write(job, "R/S", "E/S")
    assert api.post("/api/v2/admin/job-errors/", {"job": job, "job_step": "S", "content": "x"}, "lando").is_success
    stage = {"stage_group": 1, "destination_path": "a", "sequence_group": 0, "sequence": 0}
    assert api.post("/api/v2/url-job-input-files/", {**stage, "url": "https://x.org/a"}).is_success
    store = {"project_id": "p", "file_id": "f", "dds_user_credentials": 1, "destination_path": "b"}
    assert api.post("/api/v2/dds-job-input-files/", {**stage, **store}).is_success
    before = api.get(f"/api/v2/jobs/{job}/").json()
    asked = 0
    for method, path in routes(api):
        is_admin = "/admin/" in path or (method, path) in STAFF_OUTSIDE_ADMIN
        is_private = path not in EVERYBODYS or "/workflow" in path
        if "{}" not in path or is_admin or not is_private or path.endswith("/priority"):
            continue  # staff may set any run's priority: test_fair_use.py
        asked += 1
        answer = api.call(method, path.replace("{}", "1"), None if method == "GET" else {}, user)
        if method in ("PUT", "POST") and answer.status_code == 400:
            whole = {**stage, **store, "url": "https://x.org/a"}
            answer = api.call(method, path.replace("{}", "1"), whole, user)
        assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
    assert asked > 20
    assert api.get(f"/api/v2/jobs/{job}/").json() == before
    for path in ("jobs/", "workflows/", "workflow-versions/", "workflow-configurations/", "job-file-stage-groups/",
                 "url-job-input-files/", "dds-job-input-files/"):  # fmt: skip
        assert api.get(f"/api/v2/{path}", user).json() == []
    for path in ("/api/job-errors/", "/api/job-activities/", "/api/lando/v1/runs/", "/api/job-errors/?job=1"):
        assert api.get(path, user).json() == []


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
