"""What can be run: workflows, versions, configurations, strategies, share groups; for any signed-in user."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from lando.api import documents
from lando.api import models as m
from lando.api.answers import not_found
from lando.api.auth import Caller, SignedIn
from lando.api.bodies import id_of, ids_of
from lando.api.files import FileUrls
from lando.api.ordering import visible
from lando.api.resource import Query as Rows
from lando.api.resource import Resource, add_routes
from lando.api.routes import BESPIN, administration
from lando.api.shapes import catalog as shapes
from lando.api.site import Site, TheSite
from lando.api.storage_rights import is_offered
from lando.stores.urls import without_user_info

router = APIRouter(prefix=BESPIN, tags=["catalog"])

_VERSION = (
    joinedload(m.WorkflowVersion.workflow),
    joinedload(m.WorkflowVersion.methods_document),
    joinedload(m.WorkflowVersion.tool_details),
)


def _visible_tool_details(query: Rows, caller: Caller) -> Rows:
    return query.join(m.WorkflowVersion).join(m.Workflow).where(visible(caller))


def _visible_configurations(query: Rows, caller: Caller) -> Rows:
    return query.join(m.Workflow, m.Workflow.id == m.WorkflowConfiguration.workflow_id).where(visible(caller))


@router.get("/workflows")
def list_workflows(
    site: TheSite, caller: SignedIn, state: str | None = None, tag: str | None = None
) -> list[shapes.Workflow]:
    """Public and own workflows; deprecated ones only with ``?state=D``."""
    query = select(m.Workflow).where(visible(caller)).options(selectinload(m.Workflow.versions)).order_by(m.Workflow.id)
    query = query.where(m.Workflow.state != "D") if state is None else query.where(m.Workflow.state == _text(state))
    if tag is not None:
        query = query.where(m.Workflow.tag == _text(tag))
    with site.database.read() as session:
        return [documents.workflow(row) for row in session.scalars(query)]


@router.get("/workflows/{workflow_id}")
def read_workflow(workflow_id: str, site: TheSite, caller: SignedIn) -> shapes.Workflow:
    """One workflow."""
    with site.database.read() as session:
        row = session.scalars(select(m.Workflow).where(m.Workflow.id == id_of(workflow_id), visible(caller))).first()
        if row is None:
            raise not_found()
        return documents.workflow(row)


@router.get("/workflow-versions")
def list_versions(
    site: TheSite,
    caller: SignedIn,
    workflow: str | None = None,
    workflow__tag: str | None = None,
    workflow__state: str | None = None,
    version: str | None = None,
    enable_ui: Annotated[bool | None, Query()] = None,
) -> list[shapes.Version]:
    """Versions of public and own workflows, by workflow and then version; of deprecated ones only when asked for."""
    query = select(m.WorkflowVersion).join(m.Workflow).where(visible(caller)).options(*_VERSION)
    if workflow__state is None:
        query = query.where(m.Workflow.state != "D")
    else:
        query = query.where(m.Workflow.state == _text(workflow__state))
    if workflow is not None:
        query = query.where(m.WorkflowVersion.workflow_id.in_(ids_of([workflow])))
    if workflow__tag is not None:
        query = query.where(m.Workflow.tag == _text(workflow__tag))
    if version is not None:
        query = query.where(m.WorkflowVersion.version == _text(version))
    if enable_ui is not None:
        query = query.where(m.WorkflowVersion.enable_ui == enable_ui)
    with site.database.read() as session:
        rows = sorted(session.scalars(query), key=documents.version_order)
        return [_version(site, row) for row in rows]


@router.get("/workflow-versions/{version_id}")
def read_version(version_id: str, site: TheSite, caller: SignedIn) -> shapes.Version:
    """One version."""
    query = select(m.WorkflowVersion).join(m.Workflow).where(m.WorkflowVersion.id == id_of(version_id), visible(caller))
    with site.database.read() as session:
        row = session.scalars(query.options(*_VERSION)).first()
        if row is None:
            raise not_found()
        return _version(site, row)


def _version(site: Site, row: m.WorkflowVersion) -> shapes.Version:
    return documents.workflow_version(row, without_user_info(FileUrls(site.settings, site.key).for_user(row.url)))


def _text(value: str) -> str:
    return value.replace("\0", "")


def _resources() -> list[Resource[Any]]:
    return [
        Resource(
            path="workflow-configurations",
            model=m.WorkflowConfiguration,
            show=lambda _site, row: documents.workflow_configuration(row),
            shape=shapes.Configuration,
            scope=_visible_configurations,
            filters={
                "tag": m.WorkflowConfiguration.tag,
                "workflow": m.WorkflowConfiguration.workflow_id,
                "workflow__tag": m.Workflow.tag,
            },
        ),
        Resource(
            path="job-strategies",
            model=m.JobStrategy,
            show=lambda _site, row: documents.job_strategy(row),
            shape=shapes.Strategy,
            filters={"name": m.JobStrategy.name},
            options=(joinedload(m.JobStrategy.job_flavor),),
        ),
        Resource(
            path="share-groups",
            model=m.ShareGroup,
            show=lambda _site, row: documents.share_group(row),
            shape=shapes.ShareGroup,
            filters={"name": m.ShareGroup.name, "email": m.ShareGroup.email},
            options=(selectinload(m.ShareGroup.users),),
        ),
        Resource(
            path="workflow-version-tool-details",
            model=m.ToolDetails,
            show=administration.TOOL_DETAILS.show,
            scope=_visible_tool_details,
            filters={"workflow_version": m.ToolDetails.workflow_version_id},
        ),
        replace(administration.ENDPOINTS, staff_only=False, staff_writes=True),
        Resource(
            path="dds-user-credentials",
            model=m.StorageCredential,
            show=lambda _site, row: {
                "id": row.id,
                "user": row.user_id,
                "endpoint": row.endpoint_id,
                "dds_id": row.dds_id,
            },
            shape=shapes.Credential,
            scope=lambda query, caller: query.where(is_offered(caller)),
            filters={"user": m.StorageCredential.user_id},
        ),
    ]


for _resource in _resources():
    add_routes(router, _resource)
