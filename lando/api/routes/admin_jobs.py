"""``admin/jobs``: how a daemon reads a job and writes its state and step."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from lando.api import documents, fair_use, jobs
from lando.api import models as m
from lando.api.answers import invalid, not_found
from lando.api.auth import Staff
from lando.api.bodies import (
    MAX_ID,
    AnyText,
    Body,
    Name,
    Number,
    Reference,
    ShortText,
    StateLetter,
    StepLetter,
    id_of,
    ids_of,
)
from lando.api.files import FileUrls
from lando.api.routes import BESPIN
from lando.api.shapes import Detail
from lando.api.shapes import jobs as shapes
from lando.api.site import Site, TheSite

router = APIRouter(prefix=f"{BESPIN}/admin", tags=["daemons"])

_EVERYTHING = (
    joinedload(m.Job.user),
    joinedload(m.Job.job_flavor),
    joinedload(m.Job.output_project),
    joinedload(m.Job.workflow_version).joinedload(m.WorkflowVersion.workflow),
    joinedload(m.Job.workflow_version).joinedload(m.WorkflowVersion.methods_document),
    joinedload(m.Job.workflow_version).joinedload(m.WorkflowVersion.tool_details),
    joinedload(m.Job.job_settings).joinedload(m.JobSettings.runtime),
    selectinload(m.Job.job_settings, m.JobSettings.runtime, m.JobRuntime.steps).joinedload(m.JobRuntimeStep.flavor),
    selectinload(m.Job.pending),
)


CHANGED: dict[int | str, dict[str, Any]] = {
    412: {"description": "Somebody has changed the job since that version.", "model": Detail}
}
"""What a guarded write may also answer."""


class JobChanges(Body):
    """What may be written; what is left out keeps its value, other keys are ignored."""

    state: StateLetter = ""
    step: StepLetter = ""
    name: Name = ""
    fund_code: ShortText = ""
    vm_instance_name: ShortText = ""
    vm_volume_name: ShortText = ""
    vm_volume_mounts: AnyText = ""
    job_order: AnyText = ""
    volume_size: Number = 0
    stage_group: Reference | None = None
    cleanup_vm: bool = True


@router.get("/jobs")
def list_jobs(
    site: TheSite,
    _staff: Staff,
    state: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    id: Annotated[list[str], Query()] = [],  # noqa: B006
    vm_instance_name: str | None = None,
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> list[shapes.AdminJob]:
    """All jobs, or those in one of the states ``?state=R&state=S``, or those of the ids ``?id=1&id=2``; by their ids,
    a page of at most ``limit`` with larger ids than ``after``."""
    query = select(m.Job).order_by(m.Job.id).where(m.Job.id > after).limit(limit)
    if id:
        query = query.where(m.Job.id.in_(ids_of(id)))
    if state:
        query = query.where(m.Job.state.in_([letter for letter in state if "\0" not in letter]))
    if vm_instance_name is not None:
        query = query.where(m.Job.vm_instance_name == vm_instance_name.replace("\0", ""))
    with site.database.read() as session:
        urls = FileUrls(site.settings, site.key)
        return [documents.admin_job(job, urls) for job in session.scalars(query.options(*_EVERYTHING)).unique()]


@router.get("/jobs/{job_id}")
def read_job(job_id: str, site: TheSite, _staff: Staff, response: Response) -> shapes.AdminJob:
    """One job with everything that running it takes; its version is the header ``ETag``."""
    with site.database.read() as session:
        return _answer(site, _job(session, job_id), response)


@router.put("/jobs/{job_id}", responses=CHANGED)
@router.patch("/jobs/{job_id}", responses=CHANGED)
def write_job(
    job_id: str,
    changes: JobChanges,
    site: TheSite,
    _staff: Staff,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> shapes.AdminJob:
    """Write state, step or both; with ``If-Match`` only when nobody has changed the job since it was read."""
    with site.database.write() as session:
        # Writers of one job queue here, so that a write without a guard never fails because of another.
        session.execute(select(m.Job.id).where(m.Job.id == id_of(job_id)).with_for_update())
        job = _job(session, job_id)
        before = job.state
        job = jobs.record(session, job, _columns(session, job, changes), tags(if_match))
        if job.state != before:
            site.notices.note(session, job)
        answer = _answer(site, job, response)
    if answer["state"] not in fair_use.AT_WORK:
        site.outbox.wake()  # its place may be free
    site.notices.wake()
    site.changes.announce()
    return answer


@router.delete("/jobs/{job_id}", status_code=204, responses={400: {}})
def delete_job(job_id: str, site: TheSite, _staff: Staff) -> None:
    """Hide an ended job from its owner; remove for good what never ran or is hidden already."""
    with site.database.write() as session:
        jobs.remove_by_staff(session, id_of(job_id))
    site.changes.announce()


def _job(session: Session, text: str) -> m.Job:
    query = select(m.Job).where(m.Job.id == id_of(text)).options(*_EVERYTHING)
    job = session.scalars(query).unique().first()
    if job is None:
        raise not_found()
    return job


def _answer(site: Site, job: m.Job, response: Response) -> shapes.AdminJob:
    response.headers["ETag"] = f'"{job.version}"'
    return documents.admin_job(job, FileUrls(site.settings, site.key))


def _columns(session: Session, job: m.Job, body: JobChanges) -> dict[str, Any]:
    changes = body.changes()
    if "stage_group" in changes:
        group_id = changes.pop("stage_group")
        if group_id is not None and session.get(m.StageGroup, group_id) is None:
            raise invalid("stage_group", f'Invalid id "{group_id}": there is no such stage group.')
        taken = select(m.Job.id).where(m.Job.stage_group_id == group_id, m.Job.id != job.id)
        if group_id is not None and session.scalars(taken).first() is not None:
            raise invalid("stage_group", "Another job uses this stage group.")
        changes["stage_group_id"] = group_id
    return changes


def tags(header: str | None) -> list[str] | None:
    """The versions of an ``If-Match`` header; None when there is none."""
    if header is None:
        return None
    return [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
