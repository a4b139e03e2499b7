"""Bespin's routes, table by table: exactly the contract's methods and paths, and its forms of answers."""

from __future__ import annotations

import pytest
from tests.unit.api.serving import Api
from tests.unit.api.test_ownership import routes

READ = {"GET"}
ONCE = {"GET", "POST"}
ALL = {"GET", "POST", "PUT", "PATCH", "DELETE"}
V2 = {
    "workflows": READ,
    "workflow-versions": READ,
    "workflow-version-tool-details": READ,
    "workflow-configurations": READ,
    "job-strategies": READ,
    "share-groups": READ,
    "job-file-stage-groups": ALL,
    "dds-job-input-files": ALL,
    "url-job-input-files": ALL,
    "dds-endpoints": ALL,
    "dds-user-credentials": READ,
    "jobs": {"GET", "DELETE"},
    "admin/workflows": ONCE,
    "admin/workflow-versions": ONCE,
    "admin/workflow-version-tool-details": ONCE,
    "admin/workflow-configurations": ONCE,
    "admin/job-strategies": {"GET", "POST", "DELETE"},
    "admin/job-settings": ONCE,
    "admin/lando-connections": ONCE,
    "admin/jobs": ALL - {"POST"},  # the original's POST can only fail: a job needs a user, who can't be named
    "admin/job-errors": ALL,
    "admin/job-dds-output-projects": ALL,
    "admin/share-groups": ALL,
    "admin/job-file-stage-groups": READ,
    "admin/dds-user-credentials": READ,
    "admin/workflow-methods-documents": READ,
    "admin/email-templates": ALL,
    "admin/email-messages": ALL,
}
V1 = {
    "job-errors": READ,
    "job-activities": READ,
    "tokens": {"GET", "POST", "DELETE"},
    "admin/job-tokens": ALL,
}
ACTIONS = {"authorize", "start", "cancel", "restart", "live-usage"}


def served(api: Api, prefix: str, not_under: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Methods by list, those of single rows included; without actions on single rows."""
    found: dict[str, set[str]] = {}
    for method, path in routes(api):
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and not path.startswith(not_under) and name.count("{}/") == 0:
            found.setdefault(name.removesuffix("/{}"), set()).add(method)
    return found


def test_bespins_second_version_has_the_contracts_routes_and_no_others(api: Api) -> None:
    found = served(api, "/api/v2/")
    templates = {name: found.pop(f"job-templates/{name}") for name in ("init", "validate", "create-job")}
    assert set(map(frozenset, templates.values())) == {frozenset({"POST"})}
    assert found == V2


def test_of_bespins_first_version_only_what_clients_still_use_is_served(api: Api) -> None:
    assert served(api, "/api/", ("/api/v2", "/api/lando")) == {**V1, "users/current-user": READ}
    for path in ("jobs/", "workflows/", "dds-projects/", "job-questionnaires/", "job-answer-sets/1/create-job/",
                 "admin/jobs/", "admin/import-workflow-questionnaire/", "nothing"):  # fmt: skip
        for method in ("GET", "POST"):
            answer = api.call(method, f"/api/{path}", user="operator")
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."}), path


def test_each_action_is_a_post_of_the_users_jobs(api: Api) -> None:
    found = {path for method, path in routes(api) if method == "POST" and path.startswith("/api/v2/jobs/")}
    assert {path.rpartition("/")[2] for path in found} == ACTIONS


def test_every_route_of_bespins_answers_options_head_and_other_methods_in_one_form(api: Api) -> None:
    methods: dict[str, set[str]] = {}
    for method, path in routes(api):
        methods.setdefault(path.replace("{}", "0"), set()).add(method)
    for path, known in methods.items():
        if not path.startswith("/api/") or path.startswith("/api/lando/"):
            continue
        assert api.client.options(path + "/").status_code == 200, path
        head = api.call("HEAD", path, user="operator")
        assert head.content == b""
        assert head.status_code == 405 if "GET" not in known else head.status_code in (200, 404), (path, head)
        for method in sorted(ALL - known):
            answer = api.call(method, path, {}, "operator")
            assert (answer.status_code, list(answer.json())) == (405, ["detail"]), (method, path)


def test_staff_hide_an_ended_job_and_remove_it_for_good(api: Api) -> None:
    never_ran, ended = api.new_job(), api.new_job()
    api.write(ended, "R/S")
    one = f"/api/v2/admin/jobs/{ended}/"
    answer = api.call("DELETE", one, user="operator")
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    api.write(ended, "E/S")
    assert api.call("DELETE", one, user="operator").status_code == 204
    assert api.get(f"/api/v2/jobs/{ended}/").status_code == 404
    assert api.get(one, "operator").json()["state"] == "D"
    assert api.call("DELETE", one, user="operator").status_code == 204
    assert api.get(one, "operator").status_code == 404
    assert api.call("DELETE", f"/api/v2/admin/jobs/{never_ran}", user="operator").status_code == 204
    assert api.get("/api/v2/jobs/").json() == []


def test_usage_counts_the_hours_of_work_and_shows_none_while_running(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/S", "R/R")
    assert api.get(f"/api/v2/jobs/{job}/").json()["usage"] is None
    live = api.post(f"/api/v2/jobs/{job}/live-usage/")
    assert (live.status_code, set(live.json())) == (200, {"vm_hours", "cpu_hours"})
    api.write(job, "F/")
    usage = api.get(f"/api/v2/jobs/{job}/").json()["usage"]
    assert usage["cpu_hours"] == pytest.approx(usage["vm_hours"] * 1)
    assert api.post(f"/api/v2/jobs/{job}/live-usage/").json() == usage


def test_activities_are_one_for_each_change_and_leave_with_the_job(api: Api) -> None:
    job = api.new_job()
    api.write(job, "R/", "R/", "F/")
    rows = api.get(f"/api/job-activities/?job={job}").json()
    assert [{key: row[key] for key in ("id", "state", "step", "job")} for row in rows] == [
        {"id": 1, "state": "A", "step": "", "job": job},
        {"id": 2, "state": "R", "step": "", "job": job},
        {"id": 3, "state": "F", "step": "", "job": job},
    ]
    assert set(rows[0]) == {"id", "created", "state", "step", "job"}
    assert api.get("/api/job-activities/2/").json() == rows[1]
    api.post("/api/v2/admin/job-errors/", {"job": str(job), "job_step": "S", "content": "x"}, "lando")
    assert api.call("DELETE", f"/api/v2/jobs/{job}/").status_code == 204
    assert api.get("/api/job-activities/").json() == api.get("/api/job-errors/").json() == []
    assert api.get("/api/job-activities/2/").status_code == 404


def test_a_job_token_is_written_read_and_removed_by_staff(api: Api) -> None:
    made = api.post("/api/admin/job-tokens/", {"token": " T-1 "}, "operator")
    assert (made.status_code, made.json()) == (201, {"id": 1, "token": "T-1", "job": None})
    assert list(api.post("/api/admin/job-tokens/", {}, "operator").json()) == ["token"]
    assert api.call("PATCH", "/api/admin/job-tokens/1/", {"token": "T-2"}, "operator").json()["token"] == "T-2"
    assert api.get("/api/admin/job-tokens/", "operator").json() == [{"id": 1, "token": "T-2", "job": None}]
    assert api.call("DELETE", "/api/admin/job-tokens/1/", user="operator").status_code == 204
    assert api.get("/api/v2/admin/job-tokens/", "operator").status_code == 404
