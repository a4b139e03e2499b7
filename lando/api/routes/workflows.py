"""``/api/lando/v1/workflows``: register a packed workflow of one's own."""

from __future__ import annotations

from fastapi import APIRouter

from lando.api import registering
from lando.api.answers import Json, invalid
from lando.api.auth import SignedIn
from lando.api.bodies import Body, JsonObject, Name
from lando.api.files import FileUrls
from lando.api.site import TheSite

router = APIRouter(prefix="/workflows", tags=["workflows"])


class NewWorkflow(Body):
    """A workflow in one CWL document, as ``cwltool --pack`` makes it."""

    name: Name
    version: Name | None = None
    """Counted up when left out."""
    packed: JsonObject


@router.post("", status_code=201)
def register(new: NewWorkflow, site: TheSite, caller: SignedIn) -> Json:
    """Make it a private version of the caller's; answers the tag to order a job with."""
    if new.version is not None and "/" in new.version:
        raise invalid("version", "A version may not hold a slash.")
    with site.database.write() as session:
        version, configuration = registering.register(session, site.files, caller, new.name, new.version, new.packed)
        return {
            "tag": f"{version.tag}/{configuration.tag}",
            "workflow": version.workflow_id,
            "workflow_version": version.id,
            "workflow_configuration": configuration.id,
            "url": FileUrls(site.settings, site.key).for_user(version.url),
            "fields": version.fields,
        }
