"""Fair use: how many jobs may be with a lando at a time, and whose turn is next.

A start or restart over the limits is a command like any other, except that the outbox holds it: the job is Starting (or
Restarting) and no daemon has heard of it. Whoever publishes looks first whether a place is free, from what the tables
say then; so no event has to arrive for a job's turn to come, a server may end at any moment, and a lando that knows
nothing of limits keeps them. Limits count for each lando connection: a cluster's places are its own, and one whose
daemon is away keeps nobody from the others.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, exists, func, select, update
from sqlalchemy.orm import Session

from lando.api.database import Database
from lando.api.models import Job, JobSettings, LandoConnection, PendingCommand, now

logger = logging.getLogger(__name__)

ASKED = "It waits for its turn."
"""Why a command is held until somebody has looked whose turn it is."""
AT_WORK = ("S", "R", "r", "c")
"""Letters of the states in which a job takes up a place, unless its command is held."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many jobs may run at a time with one lando; None is no limit."""

    running: int | None = None
    per_user: int | None = None

    def __bool__(self) -> bool:
        return self.running is not None or self.per_user is not None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job whose command is held."""

    command_id: int
    """Also the order in which they were asked for."""
    job_id: int
    user_id: int
    priority: int
    why: str
    """The sentence that its owner sees now."""


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Whose turn it is, and what the others are told."""

    now: Sequence[Waiting]
    later: Sequence[tuple[Waiting, str]]
    """In the order of their turns as far as it is known, each with why it waits, a sentence."""


def turns(waiting: Sequence[Waiting], running: Mapping[int, int], limits: Limits) -> Turns:
    """Share the free places among those who wait; ``running`` is the number of jobs at work by user.

    By priority, then the user with the fewest jobs at work, then whoever asked first. Pure.
    """
    at_work = Counter(running)
    taken = sum(running.values())
    free = None if limits.running is None else max(limits.running - taken, 0)
    begin: list[Waiting] = []
    later: list[Waiting] = []
    for one, may_begin in _in_order(waiting, at_work, limits.per_user):
        if may_begin and (free is None or len(begin) < free):
            begin.append(one)
        else:
            later.append(one)
    at_work = Counter(running) + Counter(one.user_id for one in begin)
    is_full = limits.running is not None and taken + len(begin) >= limits.running
    before: Counter[int] = Counter()
    told = []
    for place, one in enumerate(later):
        # Where places are free, only the jobs of the same user are in each other's way.
        ahead = place if is_full else before[one.user_id]
        before[one.user_id] += 1
        told.append((one, _sentence(ahead, at_work[one.user_id], limits)))
    return Turns(now=begin, later=told)


def _in_order(
    waiting: Sequence[Waiting], at_work: Counter[int], per_user: int | None
) -> Iterator[tuple[Waiting, bool]]:
    """Everybody in the order of their turns, as if places became free one by one, and whether the user's own limit
    lets the job begin; last come those who wait for a job of their own user to end."""
    queues: defaultdict[int, deque[Waiting]] = defaultdict(deque)
    for one in sorted(waiting, key=lambda one: (-one.priority, one.command_id)):
        queues[one.user_id].append(one)
    for is_limited in (True, False):
        heads = [(-queue[0].priority, at_work[user], queue[0].command_id, user) for user, queue in queues.items()]
        heapq.heapify(heads)
        while heads:
            user = heapq.heappop(heads)[-1]
            if is_limited and per_user is not None and at_work[user] >= per_user:
                continue
            queue = queues[user]
            yield queue.popleft(), is_limited
            at_work[user] += 1
            if queue:
                heapq.heappush(heads, (-queue[0].priority, at_work[user], queue[0].command_id, user))
        queues = defaultdict(deque, {user: queue for user, queue in queues.items() if queue})


def _sentence(ahead: int, own: int, limits: Limits) -> str:
    if ahead:
        return "1 job is ahead of yours." if ahead == 1 else f"{ahead} jobs are ahead of yours."
    if limits.running == 0 or limits.per_user == 0:
        return "No job is begun at present: the site has paused them."
    if limits.per_user is not None and own >= limits.per_user:
        if own > limits.per_user:
            return f"Your {own} running jobs are more than the {limits.per_user} that you may run at a time."
        if own == 1:
            return "Your running job is the only one that you may run at a time."
        return f"Your {own} running jobs are as many as you may run at a time."
    taken = "the only place" if limits.running == 1 else f"each of the {limits.running} places"
    return f"Yours is next: {taken} for running jobs is taken."


def release(database: Database, limits: Limits) -> bool:
    """Let those begin whose turn it is, and tell the others how they stand; whether that changed anything."""
    with database.read() as session:
        held = session.scalars(
            select(PendingCommand.lando_connection_id).where(PendingCommand.held.is_not(None)).distinct()
        ).all()
    has_changed = False
    for connection_id in held:
        with database.write() as session:
            has_changed |= _release(session, connection_id, limits)
    return has_changed


def _release(session: Session, connection_id: int, limits: Limits) -> bool:
    # Servers of one site come here one after the other; without the key, so that a command may be added meanwhile.
    session.execute(
        select(LandoConnection.id).where(LandoConnection.id == connection_id).with_for_update(key_share=True)
    )
    is_held = (PendingCommand.held.is_not(None), PendingCommand.lando_connection_id == connection_id)
    # Jobs before commands, as everybody does who changes both; one that is held only now has its turn the next time.
    locked = set(
        session.scalars(
            select(Job.id)
            .where(Job.id.in_(select(PendingCommand.job_id).where(*is_held)))
            .order_by(Job.id)
            .with_for_update()
        )
    )
    rows = session.execute(
        select(PendingCommand.id, PendingCommand.job_id, Job.user_id, Job.priority, PendingCommand.held)
        .join(Job, Job.id == PendingCommand.job_id)
        .where(*is_held)
    )
    waiting = [
        Waiting(command_id=row.id, job_id=row.job_id, user_id=row.user_id, priority=row.priority, why=row.held)
        for row in rows
        if row.job_id in locked
    ]
    found = turns(waiting, _at_work(session, connection_id), limits)
    told = [(one, why) for one, why in found.later if why != one.why]
    _note(session, found.now, told)
    for one in found.now:
        logger.info("Job %d: its turn has come", one.job_id)
    return bool(found.now or told)


def _at_work(session: Session, connection_id: int) -> dict[int, int]:
    is_held = exists().where(PendingCommand.job_id == Job.id, PendingCommand.held.is_not(None))
    rows = session.execute(
        select(Job.user_id, func.count(Job.id))
        .join(JobSettings, JobSettings.id == Job.job_settings_id)
        .where(JobSettings.lando_connection_id == connection_id, Job.state.in_(AT_WORK), ~is_held)
        .group_by(Job.user_id)
    )
    return {row[0]: row[1] for row in rows}


def _note(session: Session, begin: Sequence[Waiting], told: Sequence[tuple[Waiting, str]]) -> None:
    """Write it row by row, for any number of them: a list of ids in one statement has limits."""
    moment = now()
    if begin:
        # A command's age counts from here, and so does a daemon's silence.
        session.execute(
            update(PendingCommand), [{"id": one.command_id, "held": None, "created": moment} for one in begin]
        )
    if told:
        session.execute(update(PendingCommand), [{"id": one.command_id, "held": why} for one, why in told])
    changed = [{"job": one.job_id, "moment": moment} for one in begin]
    if changed:
        _write_jobs(session, changed, last_updated=bindparam("moment"))
    if told:
        _write_jobs(session, [{"job": one.job_id} for one, _ in told])


def _write_jobs(session: Session, rows: list[dict[str, object]], **values: object) -> None:
    """Let those who follow the jobs see that there is something new."""
    table = Job.__table__
    session.connection().execute(
        update(Job).where(table.c.id == bindparam("job")).values(revision=table.c.revision + 1, **values), rows
    )
