"""Jobs and their causes as the server shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from kubernetes import client

from lando.definitions.causes import document_of
from lando.definitions.manager import JobManager
from lando.definitions.signing import JobSigner
from lando.definitions.spec import V1Job
from lando.runs import Cause

KEPT = "lando.kept"
"""An annotation of a Job that is read from where it was put aside: since when."""
LOST = "lando.lost"
"""Another of these: what of it could not be kept, in sentences."""


def is_kept(job: V1Job) -> bool:
    """Whether the Job is read from where it was put aside: the cluster has it no more."""
    return KEPT in (job.metadata.annotations or {})


def status(job: V1Job) -> dict[str, Any]:
    """The Job's status with snake_case keys, absent values as null and times as HTTP dates; of a Job that is being
    deleted also since when."""
    found = job.status or client.V1JobStatus()
    shown: dict[str, Any] = _shown(found.to_dict())
    if job.metadata.deletion_timestamp is not None:
        shown["deletion_timestamp"] = _shown(job.metadata.deletion_timestamp)
    return shown


def job(found: V1Job, manager: JobManager, cause: Cause | None) -> dict[str, Any]:
    """All there is to say about one Job."""
    return {
        "job_name": found.metadata.name,
        "job_definition_name": (found.metadata.labels or {}).get(JobSigner.JOB_DEFINITION_NAME_KEY),
        "kept": (found.metadata.annotations or {}).get(KEPT),
        "lost": (found.metadata.annotations or {}).get(LOST),
        "created": _shown(found.metadata.creation_timestamp),
        "state": manager.job_status(found).value,
        "status": status(found),
        "cause": cause and document_of(cause),
    }


def event(found: Mapping[str, Any]) -> dict[str, Any]:
    """One event, in short."""
    about = found.get("involvedObject") or {}
    times = (found.get(key) for key in ("lastTimestamp", "eventTime", "firstTimestamp"))
    return {
        "time": next((time for time in times if time), None),
        "object": f"{about.get('kind')} {about.get('name')}",
        **{key: found.get(key) for key in ("type", "reason", "message", "count")},
    }


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value
