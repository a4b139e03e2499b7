"""``/api/lando/v1/runs``: runs in people's words, for the command line and whoever follows a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from lando.api import jobs, phased_documents, run_documents, runs
from lando.api import models as m
from lando.api.answers import invalid
from lando.api.attempts import timeline
from lando.api.auth import Caller, SignedIn, Staff
from lando.api.bodies import Body, LogText, Priority, StepName, id_of
from lando.api.routes import LANDO
from lando.api.shapes import runs as shapes
from lando.api.site import Site, TheSite
from lando.api.usage import STATE_WORDS
from lando.runs import cut_middle

LONGEST_WAIT_S = 60.0
MAX_WARNINGS = 100
SENTENCE_BYTES = 4096

router = APIRouter(prefix=f"{LANDO}/runs", tags=["runs"])

_EVERYTHING = (
    joinedload(m.Job.user),
    joinedload(m.Job.output_project),
    joinedload(m.Job.workflow_version).joinedload(m.WorkflowVersion.workflow),
    joinedload(m.Job.job_settings).joinedload(m.JobSettings.runtime),
    selectinload(m.Job.job_settings, m.JobSettings.runtime, m.JobRuntime.steps),
    selectinload(m.Job.errors),
    selectinload(m.Job.activities),
    selectinload(m.Job.pending),
)
_HISTORY = (*_EVERYTHING, selectinload(m.Job.step_attempts))


class ConditionBody(Body):
    """What a run waits for (a sentence of null: nothing any more), and what a step had to say besides."""

    step: StepName | None = None
    sentence: LogText | None = None
    warnings: list[LogText] = []  # noqa: RUF012 - pydantic copies it


class PriorityBody(Body):
    """Whose turn comes first."""

    priority: Priority


@router.get("")
def list_runs(
    site: TheSite,
    caller: SignedIn,
    response: Response,
    state: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    after: str | None = None,
    wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0,
) -> list[shapes.RunBrief]:
    """The caller's runs, oldest first; ``?state=Running&state=Error`` (or Bespin's letters) picks.

    With ``after=<ETag of an earlier answer>&wait_s=30`` as soon as any run has changed since, or the time is up.
    """
    if after is not None:
        _wait(site, wait_s, lambda session: _mark(session, caller) != after)
    query = select(m.Job).where(m.Job.user_id == caller.id, m.Job.state != "D")
    others = [m.Run.user_id == caller.id, m.Run.state != runs.HIDDEN]
    if state:
        letters = [_letter(word) for word in state]
        query = query.where(m.Job.state.in_(letters))
        others.append(m.Run.state.in_([STATE_WORDS[letter] for letter in letters]))
    with site.database.read() as session:
        response.headers["ETag"] = _mark(session, caller)
        found = [run_documents.brief(job) for job in session.scalars(query.options(*_EVERYTHING)).unique()]
        found += phased_documents.briefs(session, others)
    return sorted(found, key=lambda run: run["id"])


@router.get("/{run_id}")
def read_run(
    run_id: str,
    site: TheSite,
    caller: SignedIn,
    after: int | None = None,
    wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0,
) -> shapes.Run:
    """One run; with ``after=<version>&wait_s=30`` as soon as it has changed since that version, or the time is up."""
    if after is not None:
        _wait(site, wait_s, lambda session: _has_changed(runs.own(session, caller, id_of(run_id)), after))
    with site.database.read() as session:
        run = _own(session, caller, run_id)
        return phased_documents.whole(run) if isinstance(run, m.Run) else run_documents.whole(run)


@router.get("/{run_id}/activities")
def list_activities(run_id: str, site: TheSite, caller: SignedIn) -> list[shapes.RunEvent]:
    """Every change of the run's state or step, and what Lando did again by itself, oldest first."""
    with site.database.read() as session:
        run = _own(session, caller, run_id)
        return phased_documents.timeline(run) if isinstance(run, m.Run) else timeline(run)


@router.put("/{run_id}/condition")
def write_condition(run_id: str, body: ConditionBody, site: TheSite, _staff: Staff) -> shapes.ConditionWritten:
    """What the daemon says: what the run waits for; warnings, which add up until the next start."""
    given = body.changes()
    with site.database.write() as session:
        run = runs.locked(session, id_of(run_id))
        if body.step is not None:
            runs.check_step(run, body.step)
        if "sentence" in given:
            sentence = cut_middle(body.sentence, SENTENCE_BYTES) if body.sentence else None
            if sentence != run.condition:
                run.condition_since = m.now() if sentence else None
            run.condition = sentence
            run.condition_step = body.step if sentence else None
        known = list(run.warnings)
        new = [cut_middle(text, SENTENCE_BYTES) for text in body.warnings if text]
        run.warnings = (known + [text for text in dict.fromkeys(new) if text not in known])[:MAX_WARNINGS]
        if session.is_modified(run):
            run.revision += 1
        shown = phased_documents.condition(run) if isinstance(run, m.Run) else run_documents.condition(run)
        answer: shapes.ConditionWritten = {"condition": shown, "warnings": run.warnings}
    site.changes.announce()
    return answer


@router.put("/{run_id}/priority")
def write_priority(run_id: str, body: PriorityBody, site: TheSite, caller: SignedIn) -> shapes.RunPriority:
    """Which of the jobs that wait for their turn go first: those with the highest number. Staff may set any job's,
    others only lower their own."""
    with site.database.write() as session:
        if session.get(m.Run, id_of(run_id)) is not None:
            runs.own(session, caller, id_of(run_id))
            raise invalid("priority", "A phased run waits for no turn, so it has none.")
        job = jobs.set_priority(session, caller, id_of(run_id), body.priority)
        answer: shapes.RunPriority = {"id": job.id, "priority": job.priority}
    site.outbox.wake()
    site.changes.announce()
    return answer


def _wait(site: Site, wait_s: float, is_over: Callable[[Session], bool]) -> None:
    """Hold the answer back until something has changed, if the server has a place for one more who waits."""
    if wait_s <= 0 or not site.patience.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0 and not site.changes.closed:
            seen = site.changes.count
            with site.database.read() as session:
                if is_over(session):
                    return
            # Another server's process may make the change: look again after a second in any case.
            site.changes.wait(seen, min(left, 1.0))
    finally:
        site.patience.release()


def _has_changed(run: m.Job | m.Run, revision: int) -> bool:
    is_over = run.state in (runs.ENDED if isinstance(run, m.Run) else run_documents.ENDED)
    return is_over or run.revision != revision


def _mark(session: Session, caller: Caller) -> str:
    """Differs after every change of any run of the caller: revisions only grow, and runs that are deleted stay."""
    known, changed = 0, 0
    for kind in (m.Job, m.Run):
        count, revisions = session.execute(
            select(func.count(kind.id), func.sum(kind.revision)).where(kind.user_id == caller.id)
        ).one()
        known, changed = known + count, changed + (revisions or 0)
    return f'"{known}.{changed}"'


def _own(session: Session, caller: Caller, run_id: str) -> m.Job | m.Run:
    number = id_of(run_id)
    if isinstance(runs.own(session, caller, number), m.Run):
        return runs.own_run(session, caller, number, phased_documents.WHOLE)
    return jobs.own_job(session, caller, number, _HISTORY)


def _letter(word: str) -> str:
    letters = {name.casefold(): letter for letter, name in STATE_WORDS.items()}
    if len(word) == 1 and word in STATE_WORDS:
        return word
    if word.casefold() not in letters:
        raise invalid("state", f'"{word}" is no state; use one of {", ".join(STATE_WORDS.values())}.')
    return letters[word.casefold()]
