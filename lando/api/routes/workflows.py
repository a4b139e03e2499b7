"""``/api/lando/v1/workflows``: register a workflow of one's own, or, as staff, one for everybody."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from lando.api import models as m
from lando.api import registering
from lando.api.auth import SignedIn
from lando.api.routes import LANDO
from lando.api.shapes import catalog as shapes
from lando.api.site import TheSite
from lando.stores.urls import without_user_info

router = APIRouter(prefix=f"{LANDO}/workflows", tags=["workflows"])


@router.post("", status_code=201)
def register(new: registering.NewWorkflow, site: TheSite, caller: SignedIn) -> shapes.Registered:
    """Make it a version of a workflow, checked by cwltool where that is installed; answers the tag of its jobs."""
    version_id, is_checked = registering.register(site, caller, new)
    query = select(m.WorkflowConfiguration).where(m.WorkflowConfiguration.tag == registering.CONFIGURATION)
    with site.database.read() as session:
        version = session.get_one(m.WorkflowVersion, version_id)
        configuration = session.scalars(query.where(m.WorkflowConfiguration.workflow_id == version.workflow_id)).one()
        return {
            "tag": f"{version.tag}/{configuration.tag}",
            "workflow": version.workflow_id,
            "workflow_version": version.id,
            "workflow_configuration": configuration.id,
            "type": version.type,
            "workflow_path": version.workflow_path,
            "url": without_user_info(site.urls.for_user(version.url)),
            "fields": version.fields,
            "checked": is_checked,
        }
