"""``resync`` and ``prune``: what an operator has done about runs and the cluster's objects; for staff."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from lando.api.answers import Json, detail
from lando.api.auth import Staff
from lando.api.bodies import MAX_ID
from lando.api.routes import LANDO
from lando.api.shapes import upkeep as shapes
from lando.api.site import Site, TheSite
from lando.errors import ConfigError, InputError
from lando.k8s.upkeep import Upkeep

LONGEST_S = 100 * 366 * 24 * 3600

router = APIRouter(prefix=LANDO, tags=["operations"], responses={404: {}})

OlderThan = Annotated[int | None, Query(ge=0, le=LONGEST_S)]
Unknown = Annotated[list[Annotated[int, Query(ge=0, le=MAX_ID)]], Query(max_length=100)]


@router.get("/resync", response_model=shapes.Findings)
def read_findings(site: TheSite, _staff: Staff) -> Json:
    """What does not fit between the runs and the cluster's objects, by run; nothing is done about it."""
    with _upkeep(site) as upkeep:
        return {"findings": [finding.document() for finding in upkeep.resync(dry_run=True)]}


@router.post("/resync", response_model=shapes.Findings)
def resync(site: TheSite, _staff: Staff) -> Json:
    """The same, and the daemon is asked to put right what it can."""
    with _upkeep(site) as upkeep:
        return {"findings": [finding.document() for finding in upkeep.resync()]}


@router.get("/prune", response_model=shapes.AllPrunable)
def read_prunable(
    site: TheSite,
    _staff: Staff,
    older_than_s: OlderThan = None,
    logs: bool = True,
    unknown: Unknown = [],  # noqa: B006 - FastAPI copies it
) -> Json:
    """What ended runs hold longer than they need to, or what runs hold that are ``unknown`` here; nothing goes."""
    return _prune(site, older_than_s, logs, unknown, dry_run=True)


@router.post("/prune", response_model=shapes.AllPrunable)
def prune(
    site: TheSite,
    _staff: Staff,
    older_than_s: OlderThan = None,
    logs: bool = True,
    unknown: Unknown = [],  # noqa: B006
) -> Json:
    """The same, and it goes: logs at once, objects of known runs by the daemon."""
    return _prune(site, older_than_s, logs, unknown, dry_run=False)


def _prune(site: Site, older_than_s: int | None, logs: bool, unknown: list[int], *, dry_run: bool) -> Json:
    older_than = None if older_than_s is None else timedelta(seconds=older_than_s)
    with _upkeep(site) as upkeep:
        if unknown:
            found = upkeep.prune_unknown(unknown, dry_run=dry_run)
        else:
            found = upkeep.prune(older_than=older_than, with_logs=logs, dry_run=dry_run)
    return {"prunable": [one.document() for one in found]}


@contextmanager
def _upkeep(site: Site) -> Iterator[Upkeep]:
    if site.upkeep is None:
        text = "This server does not know the cluster; start it with --daemons FILE, or name that file to the command."
        raise detail(404, text)
    try:
        yield site.upkeep
    except (ConfigError, InputError) as error:
        raise detail(400, str(error)) from error
