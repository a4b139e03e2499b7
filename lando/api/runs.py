"""Runs of the kinds besides cwl: their changes of state, and what goes with them in the same transaction.

Each change takes the run's row first, so that of simultaneous ones each sees what the one before it has done. A command
(start, restart, cancel) counts the generation up and lies in the outbox when the transaction commits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from lando.api import jobs, outbox, run_ids
from lando.api import models as m
from lando.api.answers import detail, invalid, not_found, refused_action
from lando.api.auth import Caller
from lando.api.shapes import runs as shapes
from lando.config import STEP_TYPES
from lando.messages import Command
from lando.phases.model import Model
from lando.runs import RunState, StepState

ENDED = frozenset({RunState.FINISHED.value, RunState.ERROR.value, RunState.CANCELED.value})
UNDER_WAY = frozenset(
    {RunState.STARTING.value, RunState.RUNNING.value, RunState.RESTARTING.value, RunState.CANCELING.value}
)
MOST_UNDER_WAY = 20
"""Runs of one user who is not staff."""
HIDDEN = RunState.DELETED.value


def own_run(session: Session, caller: Caller, run_id: int, options: Sequence[ORMOption] = ()) -> m.Run:
    """The caller's run, loaded with ``options``; 404 for everybody else's, for deleted and for unknown ones."""
    run = session.get(m.Run, run_id, options=options)
    if run is None or run.user_id != caller.id or run.state == HIDDEN:
        raise not_found()
    return run


def own(session: Session, caller: Caller, run_id: int) -> m.Job | m.Run:
    """The caller's job of that id, or run of another kind; 404 where there is neither."""
    run = session.get(m.Run, run_id)
    return own_run(session, caller, run_id) if run is not None else jobs.own_job(session, caller, run_id)


def locked(session: Session, run_id: int) -> m.Job | m.Run:
    """The job of that id, or run of another kind, whoever's, held until the end of the transaction; 404 without."""
    found = _locked(session, run_id) or session.get(m.Job, run_id, with_for_update=True)
    if found is None:
        raise not_found()
    return found


def locked_run(session: Session, run_id: int) -> m.Run:
    """The same where no job is meant."""
    run = _locked(session, run_id)
    if run is None:
        raise not_found()
    return run


def _locked(session: Session, run_id: int) -> m.Run | None:
    # Read anew: whoever held the row until now has changed what this transaction may have read before.
    return session.get(m.Run, run_id, with_for_update=True, populate_existing=True)


def check_step(run: m.Job | m.Run, name: str, *, field: str = "step") -> None:
    """Raise the 400 that blames ``field`` when the run has no step of that name."""
    if isinstance(run, m.Run):
        if all(step.name != name for step in run.steps):
            raise invalid(field, f"Run {run.id} has no step {name[:64]!r}.")
    elif name not in STEP_TYPES:
        raise invalid(field, f'"{name[:64]}" is no step; the steps are {", ".join(STEP_TYPES)}.')


def submit(
    session: Session, caller: Caller, model: Model, document: shapes.RunDocument, *, name: str, connection_id: int
) -> m.Run:
    """A phased run of ``model``, which was read from ``document``; it is to be started at once."""
    run = m.Run(
        id=run_ids.next_id(session),
        kind="phases",
        user_id=caller.id,
        lando_connection_id=connection_id,
        name=name,
        state=RunState.STARTING.value,
        generation=1,
        warnings=[],
        digest=hashlib.sha256(json.dumps(document).encode()).hexdigest(),
        document=document,
        steps=[
            m.RunStep(
                position=position,
                name=job.name,
                phase=model.phases[job.phase].name,
                entry=job.entry,
                state=StepState.PENDING.value,
                attempt=0,
            )
            for position, job in enumerate(model.jobs())
        ],
    )
    session.add(run)
    session.flush()
    session.add(m.RunActivity(run_id=run.id, state=run.state))
    _enqueue(session, run, Command.START)
    session.flush()
    return run


def check_room(session: Session, caller: Caller) -> None:
    """Raise the 400 of a user who has many runs under way: none of them waits for a turn."""
    if caller.is_staff:
        return
    # One request of a user after the other; without the key, so that rows of theirs may be added meanwhile.
    session.execute(select(m.User.id).where(m.User.id == caller.id).with_for_update(key_share=True))
    count = select(func.count(m.Run.id)).where(m.Run.user_id == caller.id, m.Run.state.in_(UNDER_WAY))
    if session.scalars(count).one() >= MOST_UNDER_WAY:
        raise detail(400, f"You have {MOST_UNDER_WAY} phased runs under way; wait until one of them has ended.")


def connection_for(session: Session, wanted: int | None) -> int:
    """The lando connection that a new run goes by: ``wanted``, else the first that can; the 400 where none can."""
    if wanted is not None:
        connection = session.get(m.LandoConnection, wanted)
        if connection is None:
            raise invalid("lando_connection", f'Invalid id "{wanted}": there is none of that id.')
        if connection.message_format == "pickle":
            text = "Its messages are pickles, which know only CWL jobs; name a connection whose messages are json."
            raise invalid("lando_connection", text)
        return connection.id
    found = select(m.LandoConnection.id).where(m.LandoConnection.message_format != "pickle")
    connection_id = session.scalars(found.order_by(m.LandoConnection.id).limit(1)).first()
    if connection_id is None:
        text = "This site has no lando connection for phased runs: pickle messages know only CWL jobs. Ask the staff."
        raise detail(400, text)
    return connection_id


def cancel(session: Session, caller: Caller, run_id: int) -> m.Run:
    """Ask the daemon to stop a run and remove what it made."""
    run = _taken(session, caller, run_id)
    if run.state not in UNDER_WAY and run.state != RunState.ERROR.value:
        raise detail(400, f"This run is {run.state}: there is nothing to cancel.")
    return _command(session, run, RunState.CANCELING, Command.CANCEL)


def restart(session: Session, caller: Caller, run_id: int) -> m.Run:
    """Ask the daemon to run a failed or canceled run again, without what is complete."""
    run = _taken(session, caller, run_id)
    if run.state not in (RunState.ERROR.value, RunState.CANCELED.value):
        raise refused_action(f"Only a failed or canceled run can be restarted; this one is {run.state}.")
    if not (run.document["restricted"] or caller.is_staff):
        raise detail(403, "This run was handed in with the rights of staff, which you no longer have; hand it in anew.")
    check_room(session, caller)
    return _command(session, run, RunState.RESTARTING, Command.RESTART)


def remove(session: Session, caller: Caller, run_id: int) -> None:
    """Hide a run that has ended; the row stays, as its objects in the cluster may."""
    run = _taken(session, caller, run_id)
    if run.state not in ENDED:
        raise detail(400, f"This run is {run.state}: cancel it before it is deleted.")
    _enter(session, run, RunState.DELETED)


def record(
    session: Session,
    run: m.Run,
    state: RunState | None,
    steps: Mapping[str, StepState],
    if_match: Collection[str] | None,
) -> m.Run:
    """Write what a daemon says of a run, whose row is locked; any state may follow any other.

    With ``if_match`` only when the run's version is among them (``*`` is any), else 412.
    """
    if if_match is not None and "*" not in if_match and str(run.version) not in if_match:
        raise detail(412, "The run has changed since it was read.")
    known = {step.name: step for step in run.steps}
    for name in steps.keys() - known.keys():
        raise invalid("steps", f"Run {run.id} has no step {name[:64]!r}.")
    changed = [(known[name], new.value) for name, new in steps.items() if known[name].state != new.value]
    for step, word in changed:
        _move(step, word)
        if step.name == run.condition_step:
            _forget_condition(run)
    if state is not None and state.value != run.state:
        _enter(session, run, state)
    elif changed:
        _count_up(session, run)
    return run


def add_error(run: m.Run, error: m.RunError) -> m.RunError:
    """Keep why a step failed; the very same of one generation once. The run's row is locked."""
    for known in run.errors:
        if (known.step, known.content, known.generation) == (error.step, error.content, error.generation):
            return known
    run.errors.append(error)
    run.revision += 1
    return error


def _taken(session: Session, caller: Caller, run_id: int) -> m.Run:
    _locked(session, run_id)
    return own_run(session, caller, run_id)


def _command(session: Session, run: m.Run, state: RunState, command: Command) -> m.Run:
    run.generation += 1
    _enter(session, run, state)
    _enqueue(session, run, command)
    return run


def _enqueue(session: Session, run: m.Run, command: Command) -> None:
    outbox.enqueue_for(
        session, run.id, command, kind=run.kind, generation=run.generation, connection_id=run.lando_connection_id
    )


def _enter(session: Session, run: m.Run, state: RunState) -> None:
    run.state = state.value
    _forget_condition(run)
    session.add(m.RunActivity(run_id=run.id, state=run.state))
    _count_up(session, run)


def _count_up(session: Session, run: m.Run) -> None:
    run.version += 1
    run.revision += 1
    run.last_updated = m.now()
    session.flush()
    session.expire(run, ["activities", "pending"])


def _move(step: m.RunStep, word: str) -> None:
    if word == StepState.RUNNING.value:
        step.started, step.ended = m.now(), None
    elif word == StepState.PENDING.value:
        step.started = step.ended = None
    else:
        step.ended = m.now()
    step.state = word


def _forget_condition(run: m.Run) -> None:
    run.condition = run.condition_step = run.condition_since = None
