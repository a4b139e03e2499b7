"""Jobs from definitions: the routes of :mod:`lando.definitions.router` with this server's sign-ins."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Security
from sqlalchemy import select

from lando.api import answers, auth
from lando.api.media_types import JOBS
from lando.api.models import User
from lando.api.site import TheSite, site_of
from lando.definitions.http.answers import Refusal
from lando.definitions.manager import JobManager
from lando.definitions.router import create_router
from lando.definitions.signing import UserSigner
from lando.definitions.spec import V1Job
from lando.errors import Unavailable

_ID = re.compile(r"[0-9]{1,9}")


def _authorize(request: Request) -> None:
    """Let in whom the settings name; the refusals are told as all the errors of these routes."""
    site = site_of(request)
    try:
        caller = auth.caller_of(site, request)
    except answers.Refusal as error:
        code = "Unauthorized" if error.status == 401 else "Forbidden"
        raise Refusal(error.status, code, str(error.body["detail"]), dict(error.headers)) from error
    except Unavailable as error:
        raise Refusal(503, "Unavailable", "The database is not available; try again.", {"Retry-After": "2"}) from error
    if not caller.is_staff and site.settings.definitions_for != "users":
        raise Refusal(403, "Forbidden", "Only staff may do this here.")
    request.state.caller = caller


def _manager(request: Request) -> JobManager:
    site = site_of(request)
    if site.definitions is None:
        raise Refusal(404, "NotFound", "This server has no job definitions: its setting definitions names no file.")
    caller: auth.Caller = request.state.caller
    return site.definitions.manager_for(str(caller.id), caller.username, knows_all=caller.is_staff)


def _more(request: Request, jobs: Sequence[V1Job]) -> list[dict[str, Any]]:
    """Whose each Job is: the user's name, or the number of one who is no more."""
    users = [UserSigner.user_of(job) for job in jobs]
    ids = {int(user) for user in users if user is not None and _ID.fullmatch(user)}
    with site_of(request).database.read() as session:
        found = session.execute(select(User.id, User.username).where(User.id.in_(ids)))
        names = {str(number): name for number, name in found}
    return [{"user": names.get(user, user) if user is not None else None} for user in users]


async def _turn(site: TheSite) -> AsyncIterator[None]:
    """Wait for a place, in which the route is at work until it has its answer; what is followed holds none."""
    async with site.definition_calls:
        yield


router = APIRouter()
router.include_router(
    create_router(
        _manager,
        _authorize,
        is_health_open=False,
        more=_more,
        turn=_turn,
        is_stopping=lambda request: site_of(request).changes.closed,
    ),
    prefix=JOBS,
    tags=["job definitions"],
    # The ways are only named here: _authorize looks.
    dependencies=[Security(way) for way in auth.WAYS],
)
