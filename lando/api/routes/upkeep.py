"""``resync``: what an operator has done between the runs and the cluster's objects; for staff."""

from __future__ import annotations

from fastapi import APIRouter

from lando.api.answers import Json, detail
from lando.api.auth import Staff
from lando.api.site import Site, TheSite
from lando.k8s.upkeep import Upkeep

router = APIRouter(tags=["operations"])


@router.get("/resync")
def read_findings(site: TheSite, _staff: Staff) -> Json:
    """What does not fit between the runs and the cluster's objects, by run; nothing is done about it."""
    return {"findings": [finding.document() for finding in _upkeep(site).resync(dry_run=True)]}


@router.post("/resync")
def resync(site: TheSite, _staff: Staff) -> Json:
    """The same, and the daemon is asked to put right what it can."""
    return {"findings": [finding.document() for finding in _upkeep(site).resync()]}


def _upkeep(site: Site) -> Upkeep:
    if site.upkeep is None:
        text = "This server does not know the cluster; start it with --daemons FILE, or name that file to the command."
        raise detail(409, text)
    return site.upkeep
