"""A run of a kind besides cwl in the same words as a job: its steps with their phases, why each failed, its history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, selectinload

from lando.api import models as m
from lando.api.attempts import shown_as
from lando.api.documents import timestamp
from lando.api.run_documents import cause_of, unheeded
from lando.api.shapes import runs as shapes
from lando.runs import AttemptState, RunState, StepState

BRIEF = (
    selectinload(m.Run.user),
    selectinload(m.Run.errors),
    selectinload(m.Run.activities),
    selectinload(m.Run.pending),
)
"""What :func:`brief` reads, besides steps."""
WHOLE = (*BRIEF, selectinload(m.Run.steps), selectinload(m.Run.step_attempts))
"""What :func:`whole` reads."""
_ENDED = frozenset(one.value for one in (RunState.FINISHED, RunState.ERROR, RunState.CANCELED, RunState.DELETED))
_COMMANDS = {RunState.STARTING.value: "start", RunState.RESTARTING.value: "restart", RunState.CANCELING.value: "cancel"}
_RUNNING, _FAILED = StepState.RUNNING.value, StepState.FAILED.value


def briefs(session: Session, conditions: Sequence[ColumnElement[bool]]) -> list[shapes.RunBrief]:
    """What a list says of the runs that meet ``conditions``."""
    found = session.scalars(select(m.Run).where(*conditions).options(*BRIEF)).all()
    steps: defaultdict[int, list[m.RunStep]] = defaultdict(list)
    progress: defaultdict[int, dict[str, int]] = defaultdict(dict)
    if found:
        of_these = select(m.Run.id).where(*conditions).scalar_subquery()
        at_issue = select(m.RunStep).where(m.RunStep.run_id.in_(of_these), m.RunStep.state.in_((_RUNNING, _FAILED)))
        for step in session.scalars(at_issue.order_by(m.RunStep.run_id, m.RunStep.position)):
            steps[step.run_id].append(step)
        counted = select(m.RunStep.run_id, m.RunStep.state, func.count(m.RunStep.id))
        grouped = counted.where(m.RunStep.run_id.in_(of_these)).group_by(m.RunStep.run_id, m.RunStep.state)
        for run_id, state, number in session.execute(grouped):
            progress[run_id][state] = number
    return [brief(run, steps[run.id], progress[run.id]) for run in found]


def brief(run: m.Run, steps: Sequence[m.RunStep], progress: Mapping[str, int]) -> shapes.RunBrief:
    """What a list of runs says of each: ``steps`` are those to show, ``progress`` counts all by their state."""
    at_work = next((step.name for step in steps if step.state == _RUNNING), None)
    told = _errors(run)
    return {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "owner": run.user.username,
        "workflow": None,
        "state": run.state,
        "step": at_work,
        "created": timestamp(run.created),
        "ended": timestamp(_ended(run)),
        "last_updated": timestamp(run.last_updated),
        "steps": [_step(run, step, told) for step in steps],
        "progress": dict(progress),
        "cause": _cause(told) if run.state == RunState.ERROR.value else None,
        "condition": condition(run),
        "warnings": run.warnings,
        "priority": 0,
    }


def whole(run: m.Run) -> shapes.Run:
    """Everything there is to say of one run."""
    return {
        **brief(run, run.steps, Counter(step.state for step in run.steps)),
        "version": run.revision,
        "activities": timeline(run),
        "attempts": attempts(run),
        "errors": [cause_of(error, error.step) for error in _errors(run)],
        "volume": None,
        "outputs": None,
        "readme": None,
    }


def for_daemon(run: m.Run) -> shapes.DaemonRun:
    """What the daemon's list of runs says of each."""
    return {
        "id": run.id,
        "kind": run.kind,
        "state": run.state,
        "generation": run.generation,
        "held": False,
        "last_updated": timestamp(run.last_updated),
        "lando_connection": run.lando_connection_id,
        "steps": {step.name: step.state for step in run.steps},
    }


def whole_for_daemon(run: m.Run) -> shapes.WholeDaemonRun:
    """What the daemon reads of one run."""
    return {
        **for_daemon(run),
        "owner": run.user.username,
        "name": run.name,
        "created": timestamp(run.created),
        "document_digest": run.digest,
    }


def condition(run: m.Run) -> shapes.RunCondition | None:
    """What a run waits for: what the daemon said, or that it has not heard of the command yet."""
    if run.state in _ENDED:
        return None
    if run.condition is not None:
        return {"step": run.condition_step, "sentence": run.condition, "since": timestamp(run.condition_since)}
    if run.state not in _COMMANDS:
        return None
    return unheeded(_COMMANDS[run.state], run.last_updated, run.pending)


def attempts(run: m.Run) -> list[shapes.RunAttempt]:
    """Every attempt that was told of, oldest first."""
    newest = {row.step: row for row in run.step_attempts}
    states = {step.name: step for step in run.steps}
    shown: list[shapes.RunAttempt] = []
    for row in run.step_attempts:
        state, ended = row.state, row.ended
        if state == AttemptState.RUNNING.value and (
            run.state in _ENDED or newest[row.step] is not row or states[row.step].state != _RUNNING
        ):
            # Its end was never told: what is known of the step is what became of its last attempt.
            step = states[row.step]
            is_told = newest[row.step] is row and step.ended is not None
            state, ended = (step.state, step.ended) if is_told else ("Unknown", None)
        shown.append(shown_as(row, state, ended))
    return shown


def timeline(run: m.Run) -> list[shapes.RunEvent]:
    """The run's changes of state and the beginning of each attempt, oldest first; one that is not a step's first says
    how the one before it ended."""
    events: list[tuple[datetime, shapes.RunEvent]] = [
        (row.created, _event(row.state, "", row.created)) for row in run.activities
    ]
    by_step = sorted(run.step_attempts, key=lambda row: row.step)  # stable: each step's own stay in their order
    for step, rows in groupby(by_step, key=lambda row: row.step):
        before: m.RunAttempt | None = None
        for row in rows:
            event = _event(_RUNNING, step, row.began)
            event["attempt"], event["job"], event["uid"] = row.attempt, row.job_name, row.job_uid
            if before is not None:
                ended = f"Attempt {before.attempt} ended: {before.sentence or 'why is not known.'}"
                event["category"], event["sentence"] = before.category, f"{ended} Attempt {row.attempt} began."
            events.append((row.began, event))
            before = row
    for error in run.errors:
        failed = _event(RunState.ERROR.value, error.step or "", error.created)
        failed["category"], failed["sentence"] = error.category, error.content.partition("\n")[0].strip()
        events.append((error.created, failed))
    return [event for _, event in sorted(events, key=lambda one: one[0])]


def _step(run: m.Run, step: m.RunStep, told: Sequence[m.RunError]) -> shapes.RunStep:
    error = next((one for one in told if one.step == step.name), None) if step.state == _FAILED else None
    is_cut_short = run.state in _ENDED and step.state == _RUNNING
    return {
        "name": step.name,
        "label": step.name,
        "state": "Canceled" if is_cut_short else step.state,
        "started": timestamp(step.started),
        "ended": timestamp(step.ended),
        "attempt": step.attempt or (1 if step.started else None),  # the number may be told later
        "phase": step.phase,
        "entry": step.entry,
        "sentence": error.content.partition("\n")[0].strip() if error else None,
    }


def _cause(told: Sequence[m.RunError]) -> shapes.RunCause | None:
    """Of a run: what was said of it as a whole, which knows all that failed; else of the step that failed first."""
    of_all = [error for error in told if error.step is None]
    chosen = next(iter([*reversed(of_all), *told]), None)
    return cause_of(chosen, chosen.step) if chosen is not None else None


def _errors(run: m.Run) -> list[m.RunError]:
    """What was told since somebody last asked for the run, oldest first."""
    return [error for error in run.errors if error.generation == run.generation]


def _ended(run: m.Run) -> datetime | None:
    if run.state not in _ENDED:
        return None
    return next((row.created for row in reversed(run.activities) if row.state == run.state), run.last_updated)


def _event(state: str, step: str, created: datetime) -> shapes.RunEvent:
    return {
        "state": state,
        "step": step,
        "created": timestamp(created),
        "attempt": None,
        "job": None,
        "uid": None,
        "category": None,
        "sentence": None,
    }
