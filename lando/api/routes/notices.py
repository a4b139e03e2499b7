"""``notices``: what programs and people are told of jobs, and whether they took it; for staff."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from lando.api import models as m
from lando.api.answers import invalid, not_found
from lando.api.auth import Staff
from lando.api.bodies import MAX_ID, Empty, id_of
from lando.api.database import time_of
from lando.api.documents import timestamp
from lando.api.notices.telling import DELIVERED, FAILED, WAITING
from lando.api.routes import LANDO
from lando.api.shapes import runs as shapes
from lando.api.site import TheSite
from lando.api.usage import STATE_WORDS

router = APIRouter(prefix=f"{LANDO}/notices", tags=["notices"])

STATES = (WAITING, DELIVERED, FAILED)


@router.get("")
def list_notices(
    site: TheSite,
    _staff: Staff,
    state: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    run: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[shapes.Notice]:
    """The newest ``limit`` notices, the newest first; ``?state=waiting&state=failed`` picks. Delivered ones are kept
    for 30 days."""
    if unknown := [word for word in state if word not in STATES]:
        raise invalid("state", f'"{unknown[0][:64]}" is no state; use {", ".join(STATES)}.')
    query = select(m.Notice).order_by(m.Notice.id.desc()).limit(limit)
    if state:
        query = query.where(m.Notice.state.in_(state))
    if run is not None:
        query = query.where(m.Notice.job_id == run)
    with site.database.read() as session:
        return [show(row) for row in session.scalars(query)]


@router.post("/{number}/retry")
def retry_notice(number: str, site: TheSite, _staff: Staff, _body: Empty | None = None) -> shapes.Notice:
    """Try a notice that waits or has failed again at once."""
    with site.database.write() as session:
        row = session.get(m.Notice, id_of(number), with_for_update=True)
        if row is None:
            raise not_found()
        if row.state == DELIVERED:
            raise invalid("state", "This notice has been delivered.")
        row.state, row.settled, row.due = WAITING, None, time_of(session)
        row.attempts = min(row.attempts, 1)  # it begins anew, with the words that it has
        session.flush()
        answer = show(row)
    site.notices.wake()
    return answer


def show(row: m.Notice) -> shapes.Notice:
    """One notice."""
    return {
        "id": row.id,
        "notice_id": row.notice_id,
        "run": row.job_id,
        "run_state": STATE_WORDS[row.job_state],
        "channel": row.channel,
        "email_message": row.email_message_id,
        "state": row.state,
        "attempts": row.attempts,
        "due": timestamp(row.due) if row.state == WAITING else None,
        "last_error": row.last_error,
        "created": timestamp(row.created),
        "settled": timestamp(row.settled),
    }
