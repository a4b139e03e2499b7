"""A job's changes of state: which are allowed, and what goes with them in the same transaction.

Every change is a compare-and-set on the row, so that of two simultaneous requests exactly one wins. A command
(start, restart, cancel) counts the generation up and lies in the outbox when the transaction commits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from sqlalchemy import delete, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from lando.api import fair_use, outbox
from lando.api.answers import Refusal, detail, invalid, not_found, refused_action
from lando.api.auth import Caller
from lando.api.models import Job, JobActivity, JobToken, now
from lando.api.usage import STATE_WORDS
from lando.messages import Command


def own_job(session: Session, caller: Caller, job_id: int, options: Sequence[ORMOption] = ()) -> Job:
    """The caller's job, loaded with ``options``; 404 for everybody else's, for deleted and for unknown ones."""
    job = session.get(Job, job_id, options=options)
    if job is None or job.user_id != caller.id or job.state == "D":
        raise not_found()
    return job


def _taken(session: Session, caller: Caller, job_id: int) -> Job:
    """The caller's job, held until the end of the transaction: simultaneous actions on it come one after the other."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    return own_job(session, caller, job_id)


def authorize(session: Session, caller: Caller, job_id: int, token: str | None) -> Job:
    """Let a new job run with a job token, which serves no other."""
    job = _taken(session, caller, job_id)
    if not token:
        raise detail(400, "Give the job token that permits this job to run.")
    if job.state != "N":
        raise detail(400, f"Only a new job can be authorized; this one is {STATE_WORDS[job.state]}.")
    row = session.scalars(select(JobToken).where(JobToken.token == token).with_for_update()).first()
    if row is None:
        raise detail(400, "This job token is not known.")
    if session.scalars(select(Job.id).where(Job.run_token_id == row.id)).first() is not None:
        raise detail(400, "This job token has been used already.")
    refusal = detail(400, "Only a new job can be authorized.")
    return _move(session, job, "N", {"state": "A", "authorized": True, "run_token_id": row.id}, refusal)


def start(session: Session, caller: Caller, job_id: int, *, in_turn: bool = False) -> Job:
    """Ask the daemon to run an authorized job, with ``in_turn`` when its turn has come."""
    job = _taken(session, caller, job_id)
    refusal = refused_action(f"Only an authorized job can be started; this one is {STATE_WORDS[job.state]}.")
    return _command(session, job, "A", {"state": "S"}, Command.START, refusal, in_turn=in_turn)


def restart(session: Session, caller: Caller, job_id: int, *, in_turn: bool = False) -> Job:
    """Ask the daemon to run a failed or canceled job again, from where it stopped if possible; with ``in_turn`` when
    its turn has come."""
    job = _taken(session, caller, job_id)
    if job.state in ("E", "C") and not job.authorized:
        raise refused_action("This job was never authorized, so it can't run.")
    if job.state == "E" and job.step == "P" and job.job_settings.lando_connection.message_format == "pickle":
        raise refused_action("This job's results are stored; recording them can't be restarted here. Ask the staff.")
    refusal = refused_action(f"Only a failed or canceled job can be restarted; this one is {STATE_WORDS[job.state]}.")
    return _command(session, job, "EC", {"state": "r"}, Command.RESTART, refusal, in_turn=in_turn)


def cancel(session: Session, caller: Caller, job_id: int) -> Job:
    """Ask the daemon to stop a job and remove what it made; a job that it has never heard of ends here."""
    job = _taken(session, caller, job_id)
    refusal = detail(400, f"This job is {STATE_WORDS[job.state]}: there is nothing to cancel.")
    if job.state in ("N", "A"):
        return _move(session, job, "NA", {"state": "C", "step": ""}, refusal)
    if outbox.drop_held(session, job.id) and job.state == "S":
        return _move(session, job, "S", {"state": "C", "step": ""}, refusal)
    # One whose restart was held may have left objects when it failed.
    return _command(session, job, "SRrcE", {"state": "c"}, Command.CANCEL, refusal)


def set_priority(session: Session, caller: Caller, job_id: int, priority: int) -> Job:
    """Put a job before or behind others that wait for their turn; all but staff may only lower that of their own."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    job = session.get(Job, job_id) if caller.is_staff else own_job(session, caller, job_id)
    if job is None:
        raise not_found()
    if priority > job.priority and not caller.is_staff:
        raise invalid("priority", f"You may only lower it; it is {job.priority}. Ask the staff.")
    if priority != job.priority:
        job.priority = priority
        job.revision += 1
        session.flush()
    return job


def remove(session: Session, caller: Caller, job_id: int) -> None:
    """Remove a job that never ran, freeing its token and inputs; hide one that has ended."""
    job = _taken(session, caller, job_id)
    refusal = detail(400, f"This job is {STATE_WORDS[job.state]}: cancel it before it is deleted.")
    if job.state in ("N", "A"):
        removed = session.execute(delete(Job).where(Job.id == job.id, Job.state.in_(["N", "A"])))
        if _count(removed) != 1:
            raise refusal
        return
    _move(session, job, "CEF", {"state": "D"}, refusal)


def remove_by_staff(session: Session, job_id: int) -> None:
    """Hide an ended job from its owner; remove for good what never ran or is hidden already."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    job = session.get(Job, job_id)
    if job is None:
        raise not_found()
    if job.state in ("N", "A", "D"):
        session.execute(delete(Job).where(Job.id == job_id))
        return
    refusal = detail(400, f"This job is {STATE_WORDS[job.state]}: it is deleted when it has ended.")
    _move(session, job, "CEF", {"state": "D"}, refusal)


def record(session: Session, job: Job, changes: dict[str, Any], if_match: Collection[str] | None) -> Job:
    """Write what a daemon or the staff say of a job; any state may follow any other.

    With ``if_match`` only when the job's version is among them (``*`` is any), else 412.
    """
    if if_match is not None and "*" not in if_match and str(job.version) not in if_match:
        raise detail(412, "The job has changed since it was read.")
    changed = {key: value for key, value in changes.items() if getattr(job, key) != value}
    if not changed:
        note_activity(session, job)
        return job
    if "state" in changed or "step" in changed:
        changed |= {"condition": None, "condition_step": None, "condition_since": None}
    if changed.get("state") == "A":
        changed["authorized"] = True
    if changed.get("state", "S") not in "Sr" and job.held is not None:
        outbox.drop_held(session, job.id)
        session.expire(job, ["pending"])
    return _move(session, job, None, changed, detail(412, "The job has changed since it was read."))


def _command(
    session: Session,
    job: Job,
    expected: str,
    changes: dict[str, Any],
    command: Command,
    refusal: Refusal,
    *,
    in_turn: bool = False,
) -> Job:
    changes = {**changes, "generation": Job.generation + 1}
    changes |= {"condition": None, "condition_step": None, "condition_since": None}
    if command is not Command.CANCEL and not job.step:
        # It begins anew; a restart half-way keeps what earlier steps had to say.
        changes |= {"warnings": [], "attempts": {}}
    job = _move(session, job, expected, changes, refusal)
    outbox.enqueue(session, job, command, held=fair_use.ASKED if in_turn else None)
    return job


def _move(session: Session, job: Job, expected: str | None, changes: dict[str, Any], refusal: Refusal) -> Job:
    """Compare and set: the state must be one of ``expected``, or (None) the row be as it was read."""
    guard = Job.version == job.version if expected is None else Job.state.in_(list(expected))
    result = session.execute(
        update(Job)
        .where(Job.id == job.id, guard)
        .values(version=Job.version + 1, revision=Job.revision + 1, last_updated=now(), **changes),
        execution_options={"synchronize_session": False},
    )
    if _count(result) != 1:
        raise refusal
    session.refresh(job, [*changes, "version", "revision", "last_updated"])
    note_activity(session, job)
    return job


def note_change(session: Session, job_id: int) -> None:
    """Let those who follow a job see that there is something new to say of it; guarded writes don't mind."""
    session.execute(
        update(Job).where(Job.id == job_id).values(revision=Job.revision + 1),
        execution_options={"synchronize_session": False},
    )


def note_activity(session: Session, job: Job) -> None:
    """Add an activity row when state or step differs from the newest one: the basis of usage."""
    newest = session.execute(
        select(JobActivity.state, JobActivity.step)
        .where(JobActivity.job_id == job.id)
        .order_by(JobActivity.id.desc())
        .limit(1)
    ).first()
    if newest is None or tuple(newest) != (job.state, job.step):
        session.add(JobActivity(job_id=job.id, state=job.state, step=job.step))
        session.flush()


def _count(result: Any) -> int:
    return cast(CursorResult[Any], result).rowcount
