"""A user's way from a tag to a finished job, and the daemon's beside it."""

from __future__ import annotations

import json

import pytest
from tests.unit.api.serving import Api


def test_a_job_goes_from_a_tag_to_its_end(api: Api) -> None:
    tag = api.register()
    template = api.post("/api/v2/job-templates/init", {"tag": tag})
    assert template.status_code == 201
    assert template.json() == {
        "tag": tag,
        "name": "<String Value>",
        "fund_code": "<String Value>",
        "job_order": {
            "threads": "<Integer Value>",
            "reads": [{"class": "File", "path": "dds://<Project Name>/<File Path>"}],
        },
    }
    group = api.post("/api/v2/job-file-stage-groups/", {})
    assert group.status_code == 201
    assert group.json() == {"id": 1, "user": group.json()["user"], "dds_files": [], "url_files": []}
    job = api.new_job(tag=tag, stage_group=1)
    assert api.post(f"/api/v2/jobs/{job}/start/", {}).json()["state"] == "S"
    assert api.published() == [("start", job)]

    api.write(job, "R/", "R/V", "R/S", "R/R", "R/o", "R/O", "F/")

    shown = api.get(f"/api/v2/jobs/{job}/").json()
    assert (shown["state"], shown["step"]) == ("F", "")
    assert json.loads(shown["job_order"]) == {"threads": 4, "reads": [{"class": "File", "path": "a.fastq"}]}
    letters = [(row["state"], row["step"]) for row in api.get(f"/api/job-activities/?job={job}").json()]
    assert letters == [
        ("A", ""), ("S", ""), ("R", ""), ("R", "V"), ("R", "S"), ("R", "R"), ("R", "o"), ("R", "O"), ("F", ""),
    ]  # fmt: skip


def test_the_users_job_has_exactly_the_contracts_keys(api: Api) -> None:
    job = api.new_job()
    shown = api.get(f"/api/v2/jobs/{job}/").json()
    assert list(shown) == [
        "id", "workflow_version", "user", "name", "created", "state", "step", "last_updated", "job_settings",
        "vm_instance_name", "vm_volume_name", "job_order", "output_project", "job_errors", "stage_group",
        "volume_size", "fund_code", "share_group", "run_token", "usage",
    ]  # fmt: skip
    assert shown["created"].endswith("Z")
    assert shown["usage"] == {"vm_hours": 0.0, "cpu_hours": 0.0}
    assert shown["run_token"] is None


def test_the_admin_job_has_everything_the_daemon_reads(api: Api) -> None:
    job = api.new_job()
    answer = api.get(f"/api/v2/admin/jobs/{job}/", "lando")
    shown = answer.json()
    assert {"id", "workflow_version", "user", "job_settings", "job_flavor", "output_project", "generation"} <= set(
        shown
    )
    assert [step["step_type"] for step in shown["job_settings"]["job_runtime_k8s"]["steps"]] == [
        "stage_data", "run_workflow", "organize_output", "save_output",
    ]  # fmt: skip
    assert shown["job_settings"]["job_runtime_openstack"] is None
    assert json.loads(shown["vm_volume_mounts"]) is not None
    assert shown["workflow_version"]["workflow_path"] == "#main"
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("path", ["/api/v2/jobs", "/api/v2/jobs/", "/api/v2//jobs//", "/api//v2/jobs"])
def test_slashes_do_not_matter(api: Api, path: str) -> None:
    assert api.get(path).json() == []
