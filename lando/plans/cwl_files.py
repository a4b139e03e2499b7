"""The command files of a cwl run's steps (lando-jobs contract, 6), and what Lando's own images get besides."""

from __future__ import annotations

import math
import re
from typing import Any

from lando.bespin.documents import BespinJob, MethodsDocument, ShareGroup, StageGroup, WorkflowVersion
from lando.config import DataStoreSettings, StagingSettings
from lando.plans import StepTimes, cwl_names
from lando.plans.cwl_names import CwlNames

_SLUG_LIMIT = 40  # characters of the job's name in the name of its project


def input_volume_gib(base_gib: int, group: StageGroup | None) -> int:
    """GiB of the input volume: the base, and the inputs' sizes rounded up together."""
    sizes = [file.size for file in group.dds_files] + [file.size for file in group.url_files] if group else []
    return base_gib + math.ceil(sum(sizes) / 2**30)


def stage_data(
    job: BespinJob, version: WorkflowVersion, group: StageGroup | None, policy: StagingSettings | None
) -> dict[str, Any]:
    """stagedata.json: the workflow, the job order, then the input files in the API's order.

    With ``policy`` (our own image) it also says what may be fetched, and how large each file should be.
    Raises :class:`lando.errors.StepError` for a destination path that leaves the volume.
    """
    workflow = {"type": "url", "source": version.url, "dest": cwl_names.downloaded_workflow(version)}
    if version.type == "zipped":
        workflow["unzip_to"] = cwl_names.WORKFLOW
    items: list[dict[str, Any]] = [
        workflow,
        {"type": "write", "source": job.job_order, "dest": cwl_names.JOB_ORDER},
    ]
    for dds_file in group.dds_files if group else []:
        dest = cwl_names.staged(dds_file.destination_path)
        items.append({"type": "DukeDS", "source": dds_file.file_id, "dest": dest})
    for url_file in group.url_files if group else []:
        item: dict[str, Any] = {
            "type": "url",
            "source": url_file.url,
            "dest": cwl_names.staged(url_file.destination_path),
        }
        if policy is not None and url_file.size > 0:
            item["size"] = url_file.size
        items.append(item)
    if policy is None:
        return {"items": items}
    return {
        "items": items,
        "policy": {
            "schemes": list(policy.schemes),
            "file_roots": list(policy.file_roots),
            "store_roots": list(policy.store_roots),
            "allow_local_addresses": policy.allow_local_addresses,
            "max_bytes": policy.max_bytes,
            "timeout_s": policy.timeout_s,
        },
    }


def organize_output(
    job: BespinJob,
    names: CwlNames,
    version: WorkflowVersion,
    methods: MethodsDocument | None,
    times: StepTimes,
) -> dict[str, Any]:
    """organizeoutput.json; the run's times are left out when they are not known."""
    document: dict[str, Any] = {
        "bespin_job_id": job.id,
        "destination_dir": cwl_names.RESULTS,
        "downloaded_workflow_path": cwl_names.downloaded_workflow(version),
        "workflow_to_read": cwl_names.workflow_document(version),
        "workflow_type": version.type,
        "job_order_path": cwl_names.JOB_ORDER,
        "bespin_workflow_stdout_path": cwl_names.RUNNER_STDOUT,
        "bespin_workflow_stderr_path": cwl_names.RUNNER_STDERR,
        "methods_template": methods.content if methods else None,
        "additional_log_files": [names.usage_report],
    }
    if times.started and times.finished:
        document["bespin_workflow_started"] = times.started
        document["bespin_workflow_finished"] = times.finished
    return document


def save_output(
    job: BespinJob,
    version: WorkflowVersion,
    group: ShareGroup | None,
    times: StepTimes,
    store: DataStoreSettings | None,
) -> dict[str, Any]:
    """saveoutput.json; with ``store`` (our own image) also where the results go."""
    titled = f"{version.name} v{version.version.removeprefix('v')}"
    document: dict[str, Any] = {
        "destination": f"Bespin {titled} {job.name} {job.created[:10]}",
        "readme_file_path": "results/docs/README.md",
        "paths": [cwl_names.RESULTS],
        "share": {"dds_user_ids": [user.dds_id for user in group.users] if group else []},
        "activity": {
            "name": f"{job.name} - Bespin Job {job.id}",
            "description": f"Bespin Job {job.id} - Workflow {titled}",
            "started_on": times.started,
            "ended_on": times.finished,
            "input_file_versions_json_path": cwl_names.INPUT_METADATA,
            "workflow_output_json_path": cwl_names.RUNNER_STDOUT,
        },
    }
    if store is not None:
        if store.url:
            document["store"] = {"url": store.url, "project": project_name(job)}
        if job.output_project and job.output_project.project_id:
            document["project_id"] = job.output_project.project_id
    return document


def project_name(job: BespinJob) -> str:
    """``<id>-<slug of the job's name>``: one project per job, told apart by the id."""
    slug = re.sub(r"[^a-z0-9]+", "-", job.name.lower()).strip("-")[:_SLUG_LIMIT].rstrip("-")
    return f"{job.id}-{slug}" if slug else str(job.id)
