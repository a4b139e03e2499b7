"""Rows as the JSON documents of Bespin's API; keys and their order are the contract's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import overload

from sqlalchemy.orm import object_session, selectinload

from lando.api import models as m
from lando.api import usage
from lando.api.files import FileUrls
from lando.api.shapes import catalog, jobs, people
from lando.stores.urls import without_user_info


@overload
def timestamp(moment: datetime) -> str: ...


@overload
def timestamp(moment: datetime | None) -> str | None: ...


def timestamp(moment: datetime | None) -> str | None:
    """UTC ISO 8601 with ``Z``; microseconds when they are not zero."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def user(row: m.User) -> people.User:
    """Somebody who signs in."""
    return {
        "id": row.id,
        "username": row.username,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "email": row.email,
    }


def flavor(row: m.JobFlavor) -> catalog.Flavor:
    """An amount of CPU and memory."""
    return {"id": row.id, "name": row.name, "cpus": row.cpus, "memory": row.memory}


def workflow(row: m.Workflow) -> catalog.Workflow:
    """A workflow and the ids of its versions."""
    return {
        "id": row.id,
        "name": row.name,
        "versions": sorted(version.id for version in row.versions),
        "tag": row.tag,
        "state": row.state,
    }


def workflow_version(row: m.WorkflowVersion, url: str) -> catalog.Version:
    """A version; ``url`` is the form of its URL that the reader may use."""
    return {
        "id": row.id,
        "workflow": row.workflow_id,
        "name": row.workflow.name,
        "description": row.description,
        "type": row.type,
        "workflow_path": row.workflow_path,
        "created": timestamp(row.created),
        "url": url,
        "version": row.version,
        "version_info_url": row.version_info_url and without_user_info(row.version_info_url),
        "methods_document": row.methods_document.id if row.methods_document else None,
        "fields": row.fields,
        "tag": row.tag,
        "enable_ui": row.enable_ui,
        "tool_details": row.tool_details.id if row.tool_details else None,
    }


def admin_workflow_version(row: m.WorkflowVersion, url: str) -> catalog.AdminVersion:
    """A version as staff write it."""
    return {
        "id": row.id,
        "workflow": row.workflow_id,
        "description": row.description,
        "type": row.type,
        "workflow_path": row.workflow_path,
        "created": timestamp(row.created),
        "version": row.version,
        "version_info_url": row.version_info_url and without_user_info(row.version_info_url),
        "url": url,
        "fields": row.fields,
        "enable_ui": row.enable_ui,
        "tool_details": row.tool_details.id if row.tool_details else None,
    }


def version_order(row: m.WorkflowVersion) -> tuple[int, list[tuple[bool, int, str]]]:
    """By workflow, then by the version's parts (split at ``.`` and ``-``), numbers as numbers and before words."""
    parts = re.split(r"[.-]", row.version)
    numeric = [part.isascii() and part.isdigit() for part in parts]
    return row.workflow_id, [
        (not number, int(part[:18]) if number else 0, "" if number else part)
        for part, number in zip(parts, numeric, strict=True)
    ]


def workflow_configuration(row: m.WorkflowConfiguration) -> catalog.Configuration:
    """A configuration."""
    return {
        "id": row.id,
        "tag": row.tag,
        "system_job_order": row.system_job_order,
        "workflow": row.workflow_id,
        "default_job_strategy": row.default_job_strategy_id,
        "share_group": row.share_group_id,
    }


def job_strategy(row: m.JobStrategy) -> catalog.Strategy:
    """A strategy."""
    return {
        "id": row.id,
        "job_flavor": flavor(row.job_flavor),
        "name": row.name,
        "volume_size_base": row.volume_size_base,
        "volume_size_factor": row.volume_size_factor,
        "volume_mounts": row.volume_mounts,
        "job_settings": row.job_settings_id,
    }


def share_group(row: m.ShareGroup) -> catalog.ShareGroup:
    """A share group for users: whom it holds by id."""
    return {"id": row.id, "name": row.name, "email": row.email, "users": [member.id for member in row.users]}


def admin_share_group(row: m.ShareGroup) -> catalog.AdminShareGroup:
    """A share group for daemons: whom it holds, as the store knows them."""
    return {
        "id": row.id,
        "users": [{"id": member.id, "name": member.name, "dds_id": member.dds_id} for member in row.users],
        "name": row.name,
        "email": row.email,
    }


def admin_credential(row: m.StorageCredential) -> catalog.AdminCredential:
    """A service credential for daemons, without its secrets: a step has its own from the cluster."""
    place = row.endpoint
    endpoint: catalog.Endpoint = {
        "id": place.id,
        "name": place.name,
        "api_root": without_user_info(place.api_root),
    }
    return {"id": row.id, "user": row.user_id, "endpoint": endpoint, "dds_id": row.dds_id}


def methods_document(row: m.MethodsDocument) -> catalog.MethodsDocument:
    """The methods text of a version."""
    return {"id": row.id, "workflow_version": row.workflow_version_id, "content": row.content}


def dds_file(row: m.DdsInputFile) -> jobs.DdsFile:
    """An input in the data store."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "file_id": row.file_id,
        "destination_path": row.destination_path,
        "size": row.size,
        "sequence_group": row.sequence_group,
        "sequence": row.sequence,
        "stage_group": row.stage_group_id,
        "dds_user_credentials": row.dds_user_credentials_id,
    }


def url_file(row: m.UrlInputFile, url: str) -> jobs.UrlFile:
    """An input at a URL; ``url`` is the form that the reader may use."""
    return {
        "id": row.id,
        "url": url,
        "destination_path": row.destination_path,
        "size": row.size,
        "sequence_group": row.sequence_group,
        "sequence": row.sequence,
        "stage_group": row.stage_group_id,
    }


STAGE_GROUP = (selectinload(m.StageGroup.dds_files), selectinload(m.StageGroup.url_files))
"""What :func:`stage_group` reads, to load it for many at once."""


def stage_group(row: m.StageGroup, urls: FileUrls, *, signed: bool = False) -> jobs.StageGroup:
    """The inputs of a job; ``signed`` for the daemon, whose pods fetch without signing in."""
    shown = urls.for_daemon if signed else urls.for_user
    return {
        "id": row.id,
        "user": row.user_id,
        "dds_files": [dds_file(file) for file in row.dds_files],
        "url_files": [url_file(file, shown(file.url)) for file in row.url_files],
    }


def output_project(row: m.OutputProject) -> jobs.OutputProject:
    """Where results are, as it stands in a job."""
    return {
        "id": row.id,
        "job": row.job_id,
        "project_id": row.project_id,
        "dds_user_credentials": row.dds_user_credentials_id,
    }


def _recorded_project(row: m.OutputProject) -> jobs.RecordedProject:
    """With the readme's id too (ours): the daemon sees what it need not write again."""
    return {**output_project(row), "readme_file_id": row.readme_file_id}


def admin_output_project(row: m.OutputProject) -> jobs.RecordedProject:
    """Where results are, as the daemon writes it."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "readme_file_id": row.readme_file_id,
        "job": row.job_id,
        "dds_user_credentials": row.dds_user_credentials_id,
    }


def job_error(row: m.JobError) -> jobs.JobError:
    """Why a job failed."""
    return {
        "id": row.id,
        "content": row.content,
        "job_step": row.job_step,
        "created": timestamp(row.created),
        "job": row.job_id,
    }


def job_activity(row: m.JobActivity) -> jobs.JobActivity:
    """One change of state or step."""
    return {
        "id": row.id,
        "created": timestamp(row.created),
        "state": row.state,
        "step": row.step,
        "job": row.job_id,
    }


def job_token(row: m.JobToken) -> jobs.JobToken:
    """A job token and the job that used it."""
    return {"id": row.id, "token": row.token, "job": row.job.id if row.job else None}


def job_usage(row: m.Job) -> jobs.Usage:
    """Hours of machine and CPU, until now."""
    hours = usage.hours(row.activities, m.now())
    return {"vm_hours": round(hours, 6), "cpu_hours": round(hours * row.job_flavor.cpus, 6)}


def job(row: m.Job) -> jobs.Job:
    """A job as its owner sees it."""
    return {
        "id": row.id,
        "workflow_version": row.workflow_version_id,
        "user": row.user_id,
        "name": row.name,
        "created": timestamp(row.created),
        "state": row.state,
        "step": row.step,
        "last_updated": timestamp(row.last_updated),
        "job_settings": row.job_settings_id,
        "vm_instance_name": row.vm_instance_name,
        "vm_volume_name": row.vm_volume_name,
        "job_order": row.job_order,
        "output_project": output_project(row.output_project) if row.output_project else None,
        "job_errors": [job_error(error) for error in row.errors],
        "stage_group": row.stage_group_id,
        "volume_size": row.volume_size,
        "fund_code": row.fund_code,
        "share_group": row.share_group_id,
        "run_token": row.run_token.token if row.run_token else None,
        "usage": None if row.state == "R" else job_usage(row),
    }


def job_after_action(row: m.Job) -> jobs.JobAfterAction:
    """The same with both names of its settings: the original answers actions in its older form."""
    session = object_session(row)
    if session is not None:
        session.expire(row, ["activities"])
    return {**job(row), "vm_settings": row.job_settings_id}


def job_runtime(row: m.JobRuntime) -> catalog.Runtime:
    """A runtime with its steps."""
    return {
        "id": row.id,
        "steps": [
            {
                "id": step.id,
                "flavor": flavor(step.flavor),
                "step_type": step.step_type,
                "image_name": step.image_name,
                "base_command": step.base_command,
            }
            for step in row.steps
        ],
    }


def job_settings(row: m.JobSettings) -> catalog.Settings:
    """Settings with the runtime's steps."""
    return {
        "id": row.id,
        "job_runtime_openstack": None,
        "job_runtime_k8s": job_runtime(row.runtime) if row.runtime else None,
        "name": row.name,
        "lando_connection": row.lando_connection_id,
    }


def plain_job_settings(row: m.JobSettings) -> catalog.PlainSettings:
    """Settings as staff write them: all by id."""
    return {
        "id": row.id,
        "name": row.name,
        "lando_connection": row.lando_connection_id,
        "job_runtime_openstack": None,
        "job_runtime_k8s": row.runtime_id,
    }


def admin_job(row: m.Job, urls: FileUrls) -> jobs.AdminJob:
    """A job as the daemon reads it; ``generation`` and ``held`` (its start or restart waits for its turn: a daemon
    leaves it alone) are ours, the original ignores them."""
    version = row.workflow_version
    return {
        "id": row.id,
        "workflow_version": workflow_version(version, urls.for_daemon(version.url)) if version else None,
        "user": user(row.user),
        "name": row.name,
        "created": timestamp(row.created),
        "state": row.state,
        "step": row.step,
        "last_updated": timestamp(row.last_updated),
        "job_settings": job_settings(row.job_settings),
        "job_flavor": flavor(row.job_flavor),
        "vm_instance_name": row.vm_instance_name,
        "vm_volume_name": row.vm_volume_name,
        "vm_volume_mounts": row.vm_volume_mounts,
        "job_order": row.job_order,
        "output_project": _recorded_project(row.output_project) if row.output_project else None,
        "stage_group": row.stage_group_id,
        "volume_size": row.volume_size,
        "share_group": row.share_group_id,
        "cleanup_vm": row.cleanup_vm,
        "fund_code": row.fund_code,
        "generation": row.generation,
        "held": row.held is not None,
    }
