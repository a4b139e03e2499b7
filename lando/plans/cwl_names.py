"""Names and paths of a cwl run (lando-jobs contract, 1): the original's, so that its runs are recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from lando.bespin.documents import BespinJob, WorkflowVersion
from lando.errors import StepError
from lando.runs import Category, Cause

JOB_DATA = "/bespin/job-data"
WORKFLOW = f"{JOB_DATA}/workflow"
JOB_ORDER = f"{JOB_DATA}/job-order.json"
INPUT_METADATA = f"{JOB_DATA}/workflow-input-files-metadata.json"
CONFIG = "/bespin/config"
OUTPUT_DATA = "/bespin/output-data"
RESULTS = f"{OUTPUT_DATA}/results"
TMPOUT = f"{OUTPUT_DATA}/tmpout"  # noqa: S108 - a folder of the run's own volume
RUNNER_STDOUT = f"{OUTPUT_DATA}/bespin-workflow-output.json"
RUNNER_STDERR = f"{OUTPUT_DATA}/bespin-workflow-output.log"
ANNOTATE_SCRIPT = f"{OUTPUT_DATA}/annotate_project_details.sh"
CREDENTIAL = "/etc/ddsclient"

_RESERVED = ("job-order.json", "workflow-input-files-metadata.json", "workflow")
_NAME_LIMIT = 63  # of a DNS label, which a Job's name becomes in its pods' labels
_LONGEST_PREFIX = "record-output-project-"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def suffix(run_id: int, username: str) -> str:
    """``<job id>-<user name up to the first @>``; a name that can't stand in a DNS label is mapped to one that can."""
    user = username.split("@", 1)[0]
    room = _NAME_LIMIT - len(_LONGEST_PREFIX) - len(f"{run_id}-")
    if not (_LABEL.fullmatch(user) and len(user) <= room):
        user = re.sub(r"[^a-z0-9-]", "-", user.lower()).strip("-")[:room].rstrip("-") or "user"
    return f"{run_id}-{user}"


@dataclass(frozen=True, kw_only=True)
class CwlNames:
    """What the objects of one run are called."""

    suffix: str

    @classmethod
    def of(cls, job: BespinJob) -> CwlNames:
        """The names for a Bespin job."""
        return cls(suffix=suffix(job.id, job.user.username))

    @property
    def job_data(self) -> str:
        return f"job-data-{self.suffix}"

    @property
    def output_data(self) -> str:
        return f"output-data-{self.suffix}"

    @property
    def system_data(self) -> str:
        return f"system-data-{self.suffix}"

    @property
    def data_store(self) -> str:
        return f"data-store-{self.suffix}"

    @property
    def usage_report(self) -> str:
        return f"{OUTPUT_DATA}/job-{self.suffix}-resource-usage.json"

    def step(self, step_type: str) -> str:
        """Job and ConfigMap of a step type."""
        return f"{step_type.replace('_', '-')}-{self.suffix}"


def workflow_file(version: WorkflowVersion) -> str:
    """The last part of the workflow URL's path: the name of the local file; empty when the URL has none."""
    name = urlsplit(version.url).path.rsplit("/", 1)[-1]
    return "" if name in (".", "..") else name


def downloaded_workflow(version: WorkflowVersion) -> str:
    """Where the workflow is downloaded to."""
    return f"{WORKFLOW}/{workflow_file(version)}"


def workflow_document(version: WorkflowVersion) -> str:
    """The file that holds the main workflow: the download itself, or a file inside the unpacked archive."""
    return f"{WORKFLOW}/{version.workflow_path}" if version.type == "zipped" else downloaded_workflow(version)


def workflow_argument(version: WorkflowVersion) -> str:
    """What the runner is told to run: packed documents carry the id of their main workflow behind the path."""
    document = workflow_document(version)
    return document if version.type == "zipped" else f"{document}{version.workflow_path}"


def staged(destination_path: str) -> str:
    """Where an input file goes; :class:`lando.errors.StepError` when it would leave its place on the volume."""
    path = PurePosixPath(destination_path)
    wrong = (
        "is empty"
        if not path.parts
        else "is absolute"
        if path.is_absolute()
        else "leads out of the data folder"
        if ".." in path.parts
        else "holds a character that no path may hold"
        if "\0" in destination_path
        else "is where Lando keeps a file of its own"
        if path.parts[0] in _RESERVED
        else ""
    )
    if wrong:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"The destination path {destination_path!r} of an input file {wrong}.",
                advice="Use a relative path such as reads/a.fastq.",
            )
        )
    return f"{JOB_DATA}/{path}"
