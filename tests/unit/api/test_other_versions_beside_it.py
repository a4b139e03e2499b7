"""The server beside daemons of the version before or after its own."""

from __future__ import annotations

from typing import Any

from tests.unit.api.serving import Api

MORE = {"since_next_version": {"a": [1]}}
ATTEMPT = {"step": "stage_data", "attempt": 1, "job": "stage-data-1-ada", "uid": "u-1", "state": "Running"}


def test_a_daemon_that_says_more_than_is_known_is_understood(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    project = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["output_project"]["id"]
    attempt = ATTEMPT | MORE | {"began": "2026-03-04T10:11:12Z"}
    said: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"/api/v2/admin/jobs/{job}/", {"state": "R", "step": "S"}),
        ("PUT", f"/api/lando/v1/runs/{job}/attempts", {"attempts": [attempt]}),
        ("PUT", f"/api/lando/v1/runs/{job}/condition", {"step": "stage_data", "sentence": "Waits."}),
        ("POST", "/api/v2/admin/job-errors/", {"job": str(job), "job_step": "S", "content": "x", "generation": 1}),
        ("PUT", f"/api/v2/admin/job-dds-output-projects/{project}/", {"id": project, "job": job, "project_id": "p"}),
    ]
    for method, path, body in said:
        assert api.call(method, path, body | MORE, "lando").status_code in (200, 201, 204), path
    run = api.get(f"/api/lando/v1/runs/{job}").json()
    assert (run["state"], run["condition"]["sentence"]) == ("Running", "Waits.")


def test_a_daemon_that_knows_nothing_of_generations_and_guards_is_served(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/", "R/S")
    body = {"job": str(job), "job_step": "S", "content": "exit 3"}
    assert api.post("/api/v2/admin/job-errors/", body, "lando").status_code == 201
    api.write(job, "E/S")
    errors = api.get(f"/api/v2/jobs/{job}/").json()["job_errors"]
    assert [(error["content"], error["job_step"]) for error in errors] == [("exit 3", "S")]
