"""``dead-letters``: what the lando daemons put aside, on the broker of every lando connection; for staff."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from sqlalchemy import select

from lando import queues
from lando.api import dead_letters
from lando.api import models as m
from lando.api.answers import Json, Refusal, detail, not_found
from lando.api.auth import Staff
from lando.api.bodies import MAX_ID, Body
from lando.api.outbox import Connection, connection_of, queue_settings
from lando.api.routes import LANDO
from lando.api.shapes import upkeep as shapes
from lando.api.site import Site, TheSite
from lando.errors import LandoError
from lando.queues.dead import DeadLetters, Fate

router = APIRouter(prefix=f"{LANDO}/dead-letters", tags=["dead letters"])

Identity = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
_Answer = TypeVar("_Answer")


class Named(Body):
    """The letters that something is to be done with."""

    ids: Annotated[list[Identity], Field(min_length=1, max_length=dead_letters.MOST)]


@router.get("", response_model=shapes.DeadLetters)
def list_letters(
    site: TheSite,
    _staff: Staff,
    limit: Annotated[int, Query(ge=1, le=dead_letters.MOST)] = dead_letters.DEFAULT_LIMIT,
    run: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    reason: str | None = None,
) -> Json:
    """By queue, the oldest ``limit`` letters; of these the ones about ``run``, and whose reason holds ``reason``.

    A queue whose broker can't be asked has ``trouble``, a sentence, and no letters.
    """
    found = []
    for connection in _queues(site):
        named: Json = {"connection": connection.id, "queue": connection.queue, "trouble": None}
        try:
            answer = _ask(connection, lambda one: dead_letters.survey(one, limit=limit, run=run, reason=reason))
        except LandoError as error:
            answer = {"count": None, "looked_at": 0, "letters": [], "trouble": str(error)}
        found.append(named | answer)
    return {"queues": found}


@router.get("/{identity}", response_model=shapes.WholeDeadLetter)
def read_letter(identity: str, site: TheSite, _staff: Staff) -> Json:
    """One letter with its message (never unpickled), its history, and the first 64 KiB of its body."""
    troubles: list[LandoError] = []
    for connection in _queues(site):
        try:
            found = _ask(connection, lambda one: dead_letters.find(one, identity))
        except LandoError as error:
            troubles.append(error)
            continue
        if found is not None:
            return found | {"connection": connection.id, "queue": connection.queue}
    raise _away(troubles) if troubles else not_found()


@router.post("/retry")
def retry_letters(body: Named, site: TheSite, _staff: Staff) -> shapes.Settled:
    """Back to their command queues with the named ones, counted anew; ``done`` and ``missing`` hold their ids."""
    return _settle(site, body.ids, Fate.RETRY)


@router.post("/drop")
def drop_letters(body: Named, site: TheSite, _staff: Staff) -> shapes.Settled:
    """Away with the named ones for good; ``done`` and ``missing`` hold their ids."""
    return _settle(site, body.ids, Fate.DROP)


def _settle(site: Site, identities: list[str], fate: Fate) -> shapes.Settled:
    wanted, left = frozenset(identities), set(identities)
    troubles: list[LandoError] = []
    for connection in _queues(site):
        try:
            left -= _ask(connection, lambda one: dead_letters.settle(one, wanted, fate))
        except LandoError as error:
            troubles.append(error)
    if left and troubles:
        raise _away(troubles)
    return {"done": sorted(wanted - left), "missing": sorted(left)}


def _away(troubles: list[LandoError]) -> Refusal:
    told = "; ".join(str(error).removeprefix("broker: ") for error in troubles)
    return detail(503, f"Not every queue could be asked: {told}", {"Retry-After": "2"})


def _ask(connection: Connection, question: Callable[[DeadLetters], _Answer]) -> _Answer:
    return question(queues.dead_letters(queue_settings(connection)))


def _queues(site: Site) -> Iterator[Connection]:
    """The lando connections, but one for each queue of a broker."""
    with site.database.read() as session:
        rows = session.scalars(select(m.LandoConnection).order_by(m.LandoConnection.id)).all()
        connections = [connection_of(row) for row in rows]
    seen: list[Any] = []
    for connection in connections:
        place = replace(connection, id=0, message_format="json")
        if place not in seen:
            seen.append(place)
            yield connection
