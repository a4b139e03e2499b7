"""Whether a Bespin job can be run as it is described, before anything of it is made."""

from __future__ import annotations

from dataclasses import dataclass

from lando.bespin.documents import BespinJob, Flavor, WorkflowVersion
from lando.bespin.letters import ORGANIZE_OUTPUT, RUN_WORKFLOW, SAVE_OUTPUT, STAGE_DATA
from lando.errors import StepError
from lando.plans import cwl_names
from lando.runs import Category, Cause

_REQUIRED_STEPS = (STAGE_DATA, RUN_WORKFLOW, ORGANIZE_OUTPUT, SAVE_OUTPUT)
_TYPES = ("packed", "zipped")
_ASK = "Ask the administrator to complete the configuration, then restart the job."


@dataclass(frozen=True, kw_only=True)
class Runnable:
    """A job whose parts that may be null are there."""

    job: BespinJob
    version: WorkflowVersion
    flavor: Flavor
    """What the workflow's tools may take together."""


def runnable(job: BespinJob) -> Runnable:
    """``job`` with its parts; :class:`lando.errors.StepError` names all that are missing, or what is wrong."""
    version, flavor = job.workflow_version, job.job_flavor
    missing = []
    if version is None:
        missing.append("workflow version (it was deleted)")
    if job.output_project is None:
        missing.append("output project")
    if flavor is None:
        missing.append("flavor")
    if job.job_settings is None or job.job_settings.job_runtime_k8s is None:
        missing.append("Kubernetes runtime in its job settings")
    else:
        missing += [f"runtime step {step}" for step in _REQUIRED_STEPS if step not in job.runtime_steps]
    if version is None or flavor is None or missing:
        raise _refusal(f"Job {job.id} has no {', no '.join(missing)}.", _ASK)
    if version.type not in _TYPES:
        raise _refusal(f"The workflow version's type is {version.type!r}; Lando knows {' and '.join(_TYPES)}.", _ASK)
    if not cwl_names.workflow_file(version):
        raise _refusal(f"The workflow URL {version.url.split('?', 1)[0]} ends in no file name.", _ASK)
    path = version.workflow_path
    if version.type == "zipped" and (not path or path.startswith("/") or ".." in path.split("/")):
        raise _refusal(f"The workflow path {path!r} is no path inside the workflow's archive.", _ASK)
    return Runnable(job=job, version=version, flavor=flavor)


def _refusal(sentence: str, advice: str) -> StepError:
    return StepError(Cause(category=Category.USER, sentence=sentence, advice=advice))
