"""``/api/lando/v1/admin``: everything that a site's staff set up, each kind of row described once.

The original has web pages for most of it; where it has routes, :mod:`lando.api.routes.admin_catalog` serves the same
descriptions in its shapes. Secrets can be written and are never shown.
"""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from lando.api import auth, documents, registering
from lando.api import models as m
from lando.api.answers import NON_FIELD, Json, invalid
from lando.api.auth import Caller
from lando.api.files import FileUrls
from lando.api.resource import Resource, add_routes, plain
from lando.api.routes import LANDO
from lando.api.shapes import catalog as shapes
from lando.api.site import Site
from lando.api.staff_bodies import (
    ConnectionBody,
    CredentialBody,
    EndpointBody,
    FlavorBody,
    MethodsBody,
    NewVersionBody,
    OverridableConfigurationBody,
    RuntimeBody,
    RuntimeStepBody,
    SettingsBody,
    ShareGroupBody,
    StorageUserBody,
    StrategyBody,
    ToolDetailsBody,
    UserBody,
    VersionBody,
    WorkflowBody,
)
from lando.stores.urls import masked, without_user_info

router = APIRouter(prefix=f"{LANDO}/admin", tags=["staff"])


def _fill_user(_site: Site, session: Session, caller: Caller, row: m.User, changes: Json) -> None:
    if row.id == caller.id and (changes.get("is_staff") is False or changes.get("is_active") is False):
        raise invalid("is_staff", "You can't take your own rights away; let somebody else of the staff do it.")
    password = changes.pop("password", None)
    if password is not None:
        row.password_hash = auth.hash_password(password)
    _assign(row, changes)


def _fill_connection(_site: Site, session: Session, _caller: Caller, row: m.LandoConnection, changes: Json) -> None:
    if row not in session and changes.get("cluster_type") == "vm":
        changes.setdefault("message_format", "pickle")  # nobody else reads there
    _assign(row, changes)
    if not row.host and not row.url:
        raise invalid("host", "Give the broker's host, or its url.")


def _fill_settings(_site: Site, _session: Session, _caller: Caller, row: m.JobSettings, changes: Json) -> None:
    if changes.pop("job_runtime_openstack", None) is not None:
        raise invalid("job_runtime_openstack", "This server runs jobs on Kubernetes; give job_runtime_k8s.")
    _assign(row, changes)


def _fill_share_group(_site: Site, session: Session, _caller: Caller, row: m.ShareGroup, changes: Json) -> None:
    ids = changes.pop("users", None)
    if ids is not None:
        members = list(session.scalars(select(m.StorageUser).where(m.StorageUser.id.in_(ids))))
        if missing := sorted(set(ids) - {member.id for member in members}):
            raise invalid("users", f'Invalid id "{missing[0]}": there is none of that id.')
        row.users = members
    _assign(row, changes)


def _complete_version(site: Site, caller: Caller, body: NewVersionBody) -> NewVersionBody:
    """With the fields that the file at its URL says, when they are left out."""
    given = body.model_fields_set
    if "fields" in given:
        return body
    path = body.workflow_path if "workflow_path" in given else None
    new = registering.NewWorkflow(url=body.url, type=body.type, workflow_path=path)
    process = registering.derived(site, caller, new)
    found = {"fields": process.fields, "workflow_path": process.workflow_path, "description": process.description}
    return body.model_copy(update={key: value for key, value in found.items() if key not in given})


def _fill_version(site: Site, session: Session, caller: Caller, row: m.WorkflowVersion, changes: Json) -> None:
    if "url" in changes:
        changes["url"] = registering.stored_url(site, session, caller, changes["url"], known=row.url)
    _assign(row, changes)


def _assign(row: m.Base, changes: Json) -> None:
    for key, value in changes.items():
        setattr(row, key, value)


def _remove_user(session: Session, row: m.User) -> None:
    if row.is_staff:
        raise invalid("is_staff", "Take the staff's mark away first; nobody can do that to themselves.")
    files = set(session.scalars(select(m.UploadedFile.id).where(m.UploadedFile.owner_id == row.id)))
    public = select(m.WorkflowVersion.url).join(m.Workflow).where(m.Workflow.owner_id.is_(None))
    if files and any(FileUrls.file_id(url) in files for url in session.scalars(public)):
        raise invalid(NON_FIELD, "A public workflow is a file of this user's; make the user inactive instead.")


def _remove_version(session: Session, row: m.WorkflowVersion) -> None:
    _refuse_while_at_work(session, [row.id])


def _remove_workflow(session: Session, row: m.Workflow) -> None:
    _refuse_while_at_work(session, [version.id for version in row.versions])


def _refuse_while_at_work(session: Session, versions: list[int]) -> None:
    at_work = select(m.Job.id).where(m.Job.workflow_version_id.in_(versions), m.Job.state.not_in(["F", "D"]))
    job = session.scalars(at_work.limit(1)).first()
    if job is not None:
        raise invalid("workflow_version", f"Job {job} still needs it; make the workflow's state D to hide it.")


def _show_connection(site: Site, row: m.LandoConnection) -> Json:
    return {**_CONNECTION(site, row), "broker": masked(row.url) if row.url else row.host}


def _show_endpoint(site: Site, row: m.StorageEndpoint) -> Json:
    return {**_ENDPOINT(site, row), "api_root": without_user_info(row.api_root)}


_CONNECTION = plain(ConnectionBody, {}, "password", "url")
_LINK_TO_VERSION = {
    "methods": {"workflow_version": m.MethodsDocument.workflow_version_id},
    "tools": {"workflow_version": m.ToolDetails.workflow_version_id},
}
_ENDPOINT = plain(EndpointBody, {}, "agent_key")
_CREDENTIAL = {"user": m.StorageCredential.user_id, "endpoint": m.StorageCredential.endpoint_id}
_RUNTIME_STEP = {"runtime": m.JobRuntimeStep.runtime_id, "flavor": m.JobRuntimeStep.flavor_id}
_STRATEGY = {"job_flavor": m.JobStrategy.job_flavor_id, "job_settings": m.JobStrategy.job_settings_id}
_CONFIGURATION = {
    "workflow": m.WorkflowConfiguration.workflow_id,
    "default_job_strategy": m.WorkflowConfiguration.default_job_strategy_id,
    "share_group": m.WorkflowConfiguration.share_group_id,
}

USERS: Resource[m.User] = Resource(
    path="users",
    model=m.User,
    show=plain(UserBody, {}, "password"),
    staff_only=True,
    body=UserBody,
    fill=_fill_user,
    remove=_remove_user,
    unique=[("username",)],
    filters={"username": m.User.username},
)
FLAVORS: Resource[m.JobFlavor] = Resource(
    path="job-flavors",
    model=m.JobFlavor,
    show=plain(FlavorBody, {}),
    staff_only=True,
    body=FlavorBody,
    unique=[("name",)],
    filters={"name": m.JobFlavor.name},
)
RUNTIMES: Resource[m.JobRuntime] = Resource(
    path="job-runtimes",
    model=m.JobRuntime,
    show=lambda _site, row: {**documents.job_runtime(row), "name": row.name},
    shape=shapes.NamedRuntime,
    staff_only=True,
    body=RuntimeBody,
    unique=[("name",)],
    filters={"name": m.JobRuntime.name},
    options=(selectinload(m.JobRuntime.steps).joinedload(m.JobRuntimeStep.flavor),),
)
RUNTIME_STEPS: Resource[m.JobRuntimeStep] = Resource(
    path="job-runtime-steps",
    model=m.JobRuntimeStep,
    show=plain(RuntimeStepBody, _RUNTIME_STEP),
    staff_only=True,
    body=RuntimeStepBody,
    links=_RUNTIME_STEP,
    unique=[("runtime_id", "step_type")],
    filters={"runtime": m.JobRuntimeStep.runtime_id, "step_type": m.JobRuntimeStep.step_type},
)
CONNECTIONS: Resource[m.LandoConnection] = Resource(
    path="lando-connections",
    model=m.LandoConnection,
    show=_show_connection,
    shape=shapes.Connection,
    staff_only=True,
    body=ConnectionBody,
    fill=_fill_connection,
)
SETTINGS: Resource[m.JobSettings] = Resource(
    path="job-settings",
    model=m.JobSettings,
    show=lambda _site, row: documents.plain_job_settings(row),
    shape=shapes.PlainSettings,
    staff_only=True,
    body=SettingsBody,
    links={"lando_connection": m.JobSettings.lando_connection_id, "job_runtime_k8s": m.JobSettings.runtime_id},
    fill=_fill_settings,
    unique=[("name",)],
    filters={"name": m.JobSettings.name},
)
STRATEGIES: Resource[m.JobStrategy] = Resource(
    path="job-strategies",
    model=m.JobStrategy,
    show=plain(StrategyBody, _STRATEGY),
    staff_only=True,
    body=StrategyBody,
    links=_STRATEGY,
    unique=[("name",)],
    filters={"name": m.JobStrategy.name},
)
STORAGE_USERS: Resource[m.StorageUser] = Resource(
    path="dds-users",
    model=m.StorageUser,
    show=plain(StorageUserBody, {}),
    staff_only=True,
    body=StorageUserBody,
    unique=[("dds_id",)],
    filters={"dds_id": m.StorageUser.dds_id},
)
SHARE_GROUPS: Resource[m.ShareGroup] = Resource(
    path="share-groups",
    model=m.ShareGroup,
    show=lambda _site, row: documents.share_group(row),
    shape=shapes.ShareGroup,
    staff_only=True,
    body=ShareGroupBody,
    fill=_fill_share_group,
    filters={"name": m.ShareGroup.name},
    options=(selectinload(m.ShareGroup.users),),
)
ENDPOINTS: Resource[m.StorageEndpoint] = Resource(
    path="dds-endpoints",
    model=m.StorageEndpoint,
    show=_show_endpoint,
    shape=_ENDPOINT.shape("StorageEndpointRow", m.StorageEndpoint),
    staff_only=True,
    body=EndpointBody,
    unique=[("name",)],
    filters={"name": m.StorageEndpoint.name},
)
CREDENTIALS: Resource[m.StorageCredential] = Resource(
    path="dds-user-credentials",
    model=m.StorageCredential,
    show=plain(CredentialBody, _CREDENTIAL, "token"),
    staff_only=True,
    body=CredentialBody,
    links=_CREDENTIAL,
    filters={"user": m.StorageCredential.user_id},
)
WORKFLOWS: Resource[m.Workflow] = Resource(
    path="workflows",
    model=m.Workflow,
    show=lambda site, row: {**plain(WorkflowBody, {})(site, row), "owner": row.owner_id},
    shape=shapes.OwnedWorkflow,
    staff_only=True,
    body=WorkflowBody,
    unique=[("tag",)],
    remove=_remove_workflow,
    filters={"tag": m.Workflow.tag, "state": m.Workflow.state},
)
VERSIONS: Resource[m.WorkflowVersion] = Resource(
    path="workflow-versions",
    model=m.WorkflowVersion,
    show=lambda site, row: documents.admin_workflow_version(row, without_user_info(site.urls.for_user(row.url))),
    shape=shapes.AdminVersion,
    staff_only=True,
    body=VersionBody,
    links={"workflow": m.WorkflowVersion.workflow_id},
    prepare=_complete_version,
    fill=_fill_version,
    unique=[("workflow_id", "version")],
    remove=_remove_version,
    filters={"workflow": m.WorkflowVersion.workflow_id, "version": m.WorkflowVersion.version},
    sort_key=documents.version_order,
    options=(joinedload(m.WorkflowVersion.tool_details),),
)
CONFIGURATIONS: Resource[m.WorkflowConfiguration] = Resource(
    path="workflow-configurations",
    model=m.WorkflowConfiguration,
    show=plain(OverridableConfigurationBody, _CONFIGURATION),
    staff_only=True,
    body=OverridableConfigurationBody,
    links=_CONFIGURATION,
    unique=[("workflow_id", "tag")],
    filters={"workflow": m.WorkflowConfiguration.workflow_id, "tag": m.WorkflowConfiguration.tag},
)
TOOL_DETAILS: Resource[m.ToolDetails] = Resource(
    path="workflow-version-tool-details",
    model=m.ToolDetails,
    show=plain(ToolDetailsBody, _LINK_TO_VERSION["tools"]),
    staff_only=True,
    body=ToolDetailsBody,
    links=_LINK_TO_VERSION["tools"],
    unique=[("workflow_version_id",)],
    filters={"workflow_version": m.ToolDetails.workflow_version_id},
)
METHODS: Resource[m.MethodsDocument] = Resource(
    path="workflow-methods-documents",
    model=m.MethodsDocument,
    show=plain(MethodsBody, _LINK_TO_VERSION["methods"]),
    staff_only=True,
    body=MethodsBody,
    links=_LINK_TO_VERSION["methods"],
    unique=[("workflow_version_id",)],
    filters={"workflow_version": m.MethodsDocument.workflow_version_id},
)

for _resource in (
    USERS,
    FLAVORS,
    RUNTIMES,
    RUNTIME_STEPS,
    CONNECTIONS,
    SETTINGS,
    STRATEGIES,
    STORAGE_USERS,
    SHARE_GROUPS,
    ENDPOINTS,
    CREDENTIALS,
    WORKFLOWS,
    VERSIONS,
    CONFIGURATIONS,
    TOOL_DETAILS,
    METHODS,
):
    add_routes(router, _resource)
