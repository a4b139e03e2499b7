"""A user's inputs: stage groups and the files in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from lando.api import destinations, documents, registering
from lando.api import models as m
from lando.api.answers import NON_FIELD, Json, invalid
from lando.api.auth import Caller
from lando.api.bodies import Body, Empty, LongName, Name, Number, Reference, Size, Url
from lando.api.files import FileUrls
from lando.api.resource import Query, Resource, add_routes
from lando.api.routes import BESPIN
from lando.api.shapes import jobs as shapes
from lando.api.site import Site
from lando.api.storage_rights import is_offered

router = APIRouter(prefix=BESPIN, tags=["inputs"])


def _destination(path: str) -> str:
    if problem := destinations.problem(path):
        raise ValueError(problem)
    return path


class InputFileBody(Body):
    """What the inputs of both kinds have."""

    stage_group: Reference
    destination_path: Annotated[LongName, AfterValidator(_destination)]
    size: Size = 0
    sequence_group: Number | None
    sequence: Number | None


class DdsFileBody(InputFileBody):
    """An input in the data store."""

    project_id: Name
    file_id: Name
    dds_user_credentials: Reference


class UrlFileBody(InputFileBody):
    """An input at a URL."""

    url: Url


def _own_groups(query: Query, caller: Caller) -> Query:
    return query.outerjoin(m.Job, m.Job.stage_group_id == m.StageGroup.id).where(m.StageGroup.user_id == caller.id)


def _own_dds(query: Query, caller: Caller) -> Query:
    return query.join(m.StageGroup, m.StageGroup.id == m.DdsInputFile.stage_group_id).where(
        m.StageGroup.user_id == caller.id
    )


def _own_url(query: Query, caller: Caller) -> Query:
    return query.join(m.StageGroup, m.StageGroup.id == m.UrlInputFile.stage_group_id).where(
        m.StageGroup.user_id == caller.id
    )


def _fill_group(_site: Site, _session: Session, caller: Caller, row: m.StageGroup, _changes: Json) -> None:
    row.user_id = caller.id


def _remove_group(session: Session, row: m.StageGroup) -> None:
    if session.scalars(select(m.Job.id).where(m.Job.stage_group_id == row.id)).first() is not None:
        raise invalid(NON_FIELD, "A job uses this stage group.")


def _fill_dds(_site: Site, session: Session, caller: Caller, row: m.DdsInputFile, changes: Json) -> None:
    if "dds_user_credentials" in changes:
        number = changes["dds_user_credentials"]
        offered = select(m.StorageCredential.id).where(m.StorageCredential.id == number, is_offered(caller))
        if session.scalars(offered).first() is None:
            raise invalid("dds_user_credentials", "The site offers you no such credential.")
        changes["dds_user_credentials_id"] = changes.pop("dds_user_credentials")
    _fill_file(session, caller, row, changes)


def _fill_url(site: Site, session: Session, caller: Caller, row: m.UrlInputFile, changes: Json) -> None:
    if "url" in changes:
        changes["url"] = registering.stored_url(site, session, caller, changes["url"])
    _fill_file(session, caller, row, changes)


def _fill_file(session: Session, caller: Caller, row: m.DdsInputFile | m.UrlInputFile, changes: Json) -> None:
    group_id = changes.pop("stage_group", row.stage_group_id)
    # Held, so that what is checked against the group's other files stays true until the commit.
    group = session.get(m.StageGroup, group_id, with_for_update=True)
    if group is None or group.user_id != caller.id:
        raise invalid(NON_FIELD, f"You have no stage group {group_id}.")
    for one in {group_id, row.stage_group_id} - {None}:
        _refuse_started(session, one)
    changes["stage_group_id"] = group_id
    for key, value in changes.items():
        setattr(row, key, value)
    _check_sequence(session, row)
    _check_destination(session, row)


def _remove_file(session: Session, row: m.DdsInputFile | m.UrlInputFile) -> None:
    _refuse_started(session, row.stage_group_id)


def _refuse_started(session: Session, group_id: int) -> None:
    """Raise the 400 for the group of a job that has started, and keep it from being started before the commit."""
    using = select(m.Job.id, m.Job.state).where(m.Job.stage_group_id == group_id).with_for_update()
    for job_id, state in session.execute(using):
        if state not in ("N", "A"):
            raise invalid(NON_FIELD, f"Job {job_id} has started: its inputs can't be changed any more.")


def _check_sequence(session: Session, row: m.DdsInputFile | m.UrlInputFile) -> None:
    if row.sequence_group is None or row.sequence is None:
        return
    kind = type(row)
    taken = select(kind.id).where(
        kind.stage_group_id == row.stage_group_id,
        kind.sequence_group == row.sequence_group,
        kind.sequence == row.sequence,
    )
    if session.scalars(taken if row.id is None else taken.where(kind.id != row.id)).first() is not None:
        raise invalid(NON_FIELD, "The fields stage_group, sequence_group, sequence must make a unique set.")


def _check_destination(session: Session, row: m.DdsInputFile | m.UrlInputFile) -> None:
    path = row.destination_path
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for kind in (m.DdsInputFile, m.UrlInputFile):
        near = select(kind.destination_path).where(
            kind.stage_group_id == row.stage_group_id,
            or_(kind.destination_path.in_(above), kind.destination_path.startswith(path + "/", autoescape=True)),
        )
        if row.id is not None and isinstance(row, kind):
            near = near.where(kind.id != row.id)
        if problem := destinations.clash(path, list(session.scalars(near.limit(1)))):
            raise invalid("destination_path", problem)


add_routes(
    router,
    Resource(
        path="job-file-stage-groups",
        model=m.StageGroup,
        show=lambda site, row: documents.stage_group(row, FileUrls(site.settings, site.key)),
        shape=shapes.StageGroup,
        scope=_own_groups,
        body=Empty,
        fill=_fill_group,
        remove=_remove_group,
        filters={"job": m.Job.id},
        options=documents.STAGE_GROUP,
    ),
)
add_routes(
    router,
    Resource(
        path="dds-job-input-files",
        model=m.DdsInputFile,
        show=lambda _site, row: documents.dds_file(row),
        shape=shapes.DdsFile,
        scope=_own_dds,
        body=DdsFileBody,
        fill=_fill_dds,
        remove=_remove_file,
        filters={"stage_group": m.DdsInputFile.stage_group_id},
        order=(m.DdsInputFile.sequence_group, m.DdsInputFile.sequence, m.DdsInputFile.id),
    ),
)
add_routes(
    router,
    Resource(
        path="url-job-input-files",
        model=m.UrlInputFile,
        show=lambda site, row: documents.url_file(row, FileUrls(site.settings, site.key).for_user(row.url)),
        shape=shapes.UrlFile,
        scope=_own_url,
        body=UrlFileBody,
        fill=_fill_url,
        remove=_remove_file,
        filters={"stage_group": m.UrlInputFile.stage_group_id},
        order=(m.UrlInputFile.sequence_group, m.UrlInputFile.sequence, m.UrlInputFile.id),
    ),
)
