"""``admin/runs``: how a daemon reads runs of the kinds besides cwl and writes their states, steps and errors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from lando.api import models as m
from lando.api import phased_documents, runs
from lando.api.answers import not_found
from lando.api.auth import Staff
from lando.api.bodies import MAX_ID, Body, LogText, Number, StepName, id_of, ids_of
from lando.api.routes import LANDO
from lando.api.routes.admin_jobs import CHANGED, tags
from lando.api.shapes import runs as shapes
from lando.api.site import TheSite
from lando.runs import CAUSE_TEXT_LIMIT, Category, RunState, StepState, cut_middle

PAGE = 500
"""Runs of one answer."""

router = APIRouter(prefix=f"{LANDO}/admin/runs", tags=["daemons"])

_EVERYTHING = (selectinload(m.Run.user), selectinload(m.Run.steps))


class RunChanges(Body):
    """What may be written; what is left out keeps its value."""

    state: RunState | None = None
    steps: dict[StepName, StepState] = {}  # noqa: RUF012 - pydantic copies it


class ErrorBody(Body):
    """Why a step failed, or (null) the run as a whole."""

    step: StepName | None = None
    category: Category | None = None
    content: LogText
    exit_code: Number | None = None
    generation: Annotated[int, Query(ge=0, le=MAX_ID)] | None = None


@router.get("")
def list_runs(
    site: TheSite,
    _staff: Staff,
    state: Annotated[list[RunState], Query()] = [],  # noqa: B006 - FastAPI copies it
    id: Annotated[list[str], Query()] = [],  # noqa: B006
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> list[shapes.DaemonRun]:
    """Runs of the kinds besides cwl, by their ids: a page of those with larger ids than ``after``, in one of the states
    and of the ids that are asked for."""
    query = select(m.Run).where(m.Run.id > after).order_by(m.Run.id).limit(limit).options(selectinload(m.Run.steps))
    if id:
        query = query.where(m.Run.id.in_(ids_of(id)))
    if state:
        query = query.where(m.Run.state.in_([one.value for one in state]))
    with site.database.read() as session:
        return [phased_documents.for_daemon(run) for run in session.scalars(query)]


@router.get("/{run_id}")
def read_run(run_id: str, site: TheSite, _staff: Staff, response: Response) -> shapes.WholeDaemonRun:
    """One run; its version is the header ``ETag``."""
    with site.database.read() as session:
        run = session.get(m.Run, id_of(run_id), options=_EVERYTHING)
        if run is None:
            raise not_found()
        response.headers["ETag"] = f'"{run.version}"'
        return phased_documents.whole_for_daemon(run)


@router.get("/{run_id}/document")
def read_document(run_id: str, site: TheSite, _staff: Staff) -> shapes.RunDocument:
    """What the run was handed in as; it never changes."""
    with site.database.read() as session:
        document: shapes.RunDocument | None = session.scalars(
            select(m.Run.document).where(m.Run.id == id_of(run_id))
        ).first()
    if document is None:
        raise not_found()
    return document


@router.put("/{run_id}", responses=CHANGED)
def write_run(
    run_id: str,
    changes: RunChanges,
    site: TheSite,
    _staff: Staff,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> shapes.WholeDaemonRun:
    """Write state, steps or both; with ``If-Match`` only when nobody has changed the run since it was read."""
    with site.database.write() as session:
        run = runs.locked_run(session, id_of(run_id))
        runs.record(session, run, changes.state, changes.steps, tags(if_match))
        response.headers["ETag"] = f'"{run.version}"'
        answer = phased_documents.whole_for_daemon(run)
    site.changes.announce()
    return answer


@router.post("/{run_id}/errors", status_code=201)
def add_error(run_id: str, body: ErrorBody, site: TheSite, _staff: Staff) -> shapes.DaemonRunError:
    """Tell why a step of the run failed; the very same of one generation is kept once."""
    content = cut_middle(body.content, min(site.settings.job_error_bytes, CAUSE_TEXT_LIMIT))
    with site.database.write() as session:
        run = runs.locked_run(session, id_of(run_id))
        if body.step is not None:
            runs.check_step(run, body.step)
        row = runs.add_error(
            run,
            m.RunError(
                step=body.step,
                category=body.category.value if body.category else None,
                content=content,
                exit_code=body.exit_code,
                generation=run.generation if body.generation is None else body.generation,
            ),
        )
        session.flush()
        answer: shapes.DaemonRunError = {
            "id": row.id,
            "step": row.step,
            "category": row.category,
            "content": row.content,
        }
    site.changes.announce()
    return answer
