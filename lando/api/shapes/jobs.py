"""Jobs, what they take and what became of them."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from lando.api.shapes.catalog import Flavor, Settings, Version
from lando.api.shapes.people import User


class UploadedFile(TypedDict):
    """A file that the server keeps; inputs name it by its ``url``."""

    id: str
    url: str
    size: int
    sha256: str


class DdsFile(TypedDict):
    """An input in the data store."""

    id: int
    project_id: str
    file_id: str
    destination_path: str
    size: int
    sequence_group: int | None
    sequence: int | None
    stage_group: int
    dds_user_credentials: int


class UrlFile(TypedDict):
    """An input at a URL."""

    id: int
    url: str
    destination_path: str
    size: int
    sequence_group: int | None
    sequence: int | None
    stage_group: int


class StageGroup(TypedDict):
    """The inputs of a job."""

    id: int
    user: int
    dds_files: list[DdsFile]
    url_files: list[UrlFile]


class JobForm(TypedDict):
    """A form to fill in, or filled in."""

    tag: str
    name: str
    fund_code: str
    job_order: dict[str, Any]


class JobOrdered(JobForm):
    """A filled-in form and the job that came of it."""

    stage_group: int
    job_strategy: int | None
    job: int


class OutputProject(TypedDict):
    """Where results are."""

    id: int
    job: int
    project_id: str
    dds_user_credentials: int


class RecordedProject(OutputProject):
    """The same with the readme's id."""

    readme_file_id: str


class JobError(TypedDict):
    """Why a job failed."""

    id: int
    content: str
    job_step: str
    created: str
    job: int


class JobActivity(TypedDict):
    """One change of a job's state or step."""

    id: int
    created: str
    state: str
    step: str
    job: int


class JobToken(TypedDict):
    """A job token and the job that used it."""

    id: int
    token: str
    job: int | None


class Usage(TypedDict):
    """Hours of machine and CPU."""

    vm_hours: float
    cpu_hours: float


class Job(TypedDict):
    """A job as its owner sees it."""

    id: int
    workflow_version: int | None
    user: int
    name: str
    created: str
    state: str
    step: str
    last_updated: str
    job_settings: int
    vm_instance_name: str
    vm_volume_name: str
    job_order: str
    output_project: OutputProject | None
    job_errors: list[JobError]
    stage_group: int | None
    volume_size: int
    fund_code: str
    share_group: int
    run_token: str | None
    usage: Usage | None


class JobAfterAction(Job):
    """The same with both names of its settings."""

    vm_settings: int


class Permitted(TypedDict):
    """A job that may run, and the job token that permits it."""

    token: str | None
    job: JobAfterAction


class AdminJob(TypedDict):
    """A job as the daemon reads it."""

    id: int
    workflow_version: Version | None
    user: User
    name: str
    created: str
    state: str
    step: str
    last_updated: str
    job_settings: Settings
    job_flavor: Flavor
    vm_instance_name: str
    vm_volume_name: str
    vm_volume_mounts: str
    job_order: str
    output_project: RecordedProject | None
    stage_group: int | None
    volume_size: int
    share_group: int
    cleanup_vm: bool
    fund_code: str
    generation: int
    held: bool
