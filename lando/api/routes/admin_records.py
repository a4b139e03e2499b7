"""Staff's records around a job: inputs, methods, share groups, errors, output projects, job tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from lando.api import documents, jobs
from lando.api import models as m
from lando.api.answers import Json, invalid
from lando.api.auth import Caller
from lando.api.bodies import AnyText, Body, LogText, Name, Number, Reference, ShortText, StepLetter
from lando.api.files import FileUrls
from lando.api.ordering import visible
from lando.api.resource import Query, Resource, add_routes
from lando.api.routes import BESPIN, BESPIN_V1
from lando.api.shapes import catalog
from lando.api.shapes import jobs as shapes
from lando.api.site import Site
from lando.runs import Category, cut_middle

NO_TEXT = "No cause was given."
"""Stands for an empty text of a job error."""

router = APIRouter(prefix=f"{BESPIN}/admin", tags=["daemons"])
tokens_router = APIRouter(prefix=f"{BESPIN_V1}/admin", tags=["staff"])
"""As in the original not under Bespin's newer prefix."""


class PlainShareGroupBody(Body):
    """A share group; its members can't be written here."""

    name: Name
    email: Annotated[ShortText, Field(max_length=254)] = ""


class JobErrorBody(Body):
    """Why a job failed; ``category`` and ``generation`` are ours, the original ignores them."""

    job: Reference
    job_step: StepLetter
    content: LogText = Field(default="")
    category: ShortText | None = None
    generation: Number | None = None


class OutputProjectBody(Body):
    """Where a job's results are."""

    job: Reference
    project_id: AnyText = ""
    readme_file_id: AnyText = ""
    dds_user_credentials: Reference = 0


class JobTokenBody(Body):
    """A job token."""

    token: Name


def _visible_methods(query: Query, caller: Caller) -> Query:
    if caller.is_staff:
        return query
    return query.join(m.WorkflowVersion).join(m.Workflow).where(visible(caller))


def _groups_of_job(query: Query, _caller: Caller) -> Query:
    return query.outerjoin(m.Job, m.Job.stage_group_id == m.StageGroup.id)


def _known_error(site: Site, session: Session, changes: Json) -> m.JobError | None:
    """A daemon tells again what it can't know to have been told; its first telling may even come later."""
    if changes.get("generation") is None:
        return None
    session.execute(select(m.Job.id).where(m.Job.id == changes["job"]).with_for_update())  # one after the other
    same = select(m.JobError).where(
        m.JobError.job_id == changes["job"],
        m.JobError.generation == changes["generation"],
        m.JobError.job_step == changes["job_step"],
        m.JobError.content == _error_text(site, changes),
    )
    return session.scalars(same.order_by(m.JobError.id)).first()


def _error_text(site: Site, changes: Json) -> str:
    text = changes.get("content", "").strip()
    return cut_middle(text, site.settings.job_error_bytes) if text else NO_TEXT


def _fill_error(site: Site, session: Session, _caller: Caller, row: m.JobError, changes: Json) -> None:
    if "job" in changes:
        row.job_id = _existing_job(session, changes["job"])
    jobs.note_change(session, row.job_id)
    if "job_step" in changes:
        row.job_step = changes["job_step"]
    if "content" in changes or row.content is None:
        row.content = _error_text(site, changes)
    if row not in session:
        given = changes.get("generation")
        own = select(m.Job.generation).where(m.Job.id == row.job_id)
        row.generation = session.scalars(own).one() if given is None else given
    site.notices.hurry(session, row.job_id)
    site.notices.wake()
    if changes.get("category") in {category.value for category in Category}:
        row.category = changes["category"]


def _fill_output_project(_site: Site, session: Session, _caller: Caller, row: m.OutputProject, changes: Json) -> None:
    if "job" in changes:
        row.job_id = _existing_job(session, changes["job"])
        taken = session.scalars(select(m.OutputProject.id).where(m.OutputProject.job_id == row.job_id)).first()
        if taken is not None and taken != row.id:
            raise invalid("job", "This job has an output project already.")
    jobs.note_change(session, row.job_id)
    for key in ("project_id", "readme_file_id"):
        if key in changes:
            setattr(row, key, changes[key])
    if "dds_user_credentials" in changes:
        if session.get(m.StorageCredential, changes["dds_user_credentials"]) is None:
            raise invalid("dds_user_credentials", "There is no such credential.")
        row.dds_user_credentials_id = changes["dds_user_credentials"]
    elif row.dds_user_credentials_id is None:
        raise invalid("dds_user_credentials", "This field is required.")


def _fill_token(_site: Site, session: Session, _caller: Caller, row: m.JobToken, changes: Json) -> None:
    if "token" in changes and changes["token"] != row.token:
        if session.scalars(select(m.JobToken.id).where(m.JobToken.token == changes["token"])).first() is not None:
            raise invalid("token", "There is such a job token already.")
        row.token = changes["token"]


def _existing_job(session: Session, job_id: int) -> int:
    if session.get(m.Job, job_id) is None:
        raise invalid("job", f'Invalid id "{job_id}": there is no such job.')
    return job_id


add_routes(
    router,
    Resource(
        path="job-file-stage-groups",
        model=m.StageGroup,
        show=lambda site, row: documents.stage_group(row, FileUrls(site.settings, site.key), signed=True),
        shape=shapes.StageGroup,
        scope=_groups_of_job,
        staff_only=True,
        filters={"job": m.Job.id},
        options=documents.STAGE_GROUP,
    ),
)
add_routes(
    router,
    # Any signed-in user may read these, as in the original; those of private workflows only owner and staff.
    Resource(
        path="workflow-methods-documents",
        model=m.MethodsDocument,
        show=lambda _site, row: documents.methods_document(row),
        shape=catalog.MethodsDocument,
        scope=_visible_methods,
    ),
)
add_routes(
    router,
    Resource(
        path="share-groups",
        model=m.ShareGroup,
        show=lambda _site, row: documents.admin_share_group(row),
        shape=catalog.AdminShareGroup,
        staff_only=True,
        body=PlainShareGroupBody,
        options=(selectinload(m.ShareGroup.users),),
    ),
)
add_routes(
    router,
    Resource(
        path="job-errors",
        model=m.JobError,
        show=lambda _site, row: documents.job_error(row),
        shape=shapes.JobError,
        staff_only=True,
        body=JobErrorBody,
        fill=_fill_error,
        known=_known_error,
        filters={"job": m.JobError.job_id},
    ),
)
add_routes(
    router,
    Resource(
        path="job-dds-output-projects",
        model=m.OutputProject,
        show=lambda _site, row: documents.admin_output_project(row),
        shape=shapes.RecordedProject,
        staff_only=True,
        body=OutputProjectBody,
        fill=_fill_output_project,
        filters={"job": m.OutputProject.job_id},
    ),
)
add_routes(
    tokens_router,
    Resource(
        path="job-tokens",
        model=m.JobToken,
        show=lambda _site, row: documents.job_token(row),
        shape=shapes.JobToken,
        staff_only=True,
        body=JobTokenBody,
        fill=_fill_token,
        filters={"token": m.JobToken.token},
        options=(selectinload(m.JobToken.job).load_only(m.Job.id),),
    ),
)
