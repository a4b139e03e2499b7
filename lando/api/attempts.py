"""The history of a run: which Job each attempt of a step was, how it ended and why; kept and shown.

An attempt is known by its Job's UID. Telling it again adds nothing, and what has ended stays as it was first told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api import usage
from lando.api.documents import timestamp
from lando.api.shapes import runs as shapes
from lando.runs import Attempt, AttemptState

KEPT = 200
"""Attempts of one job; the oldest go first. Of a run with more steps two of each besides."""
_ENDED = "FECD"
"""States of a job in which nothing is at work."""


def record(session: Session, run: m.Job | m.Run, told: Sequence[Attempt]) -> bool:
    """Keep what is new in ``told``; whether anything was."""
    known: dict[str, m.StepAttempt | m.RunAttempt] = {row.job_uid: row for row in run.step_attempts}
    changed = False
    for one in told:
        row = known.get(one.uid)
        if row is None:
            row = known[one.uid] = _begun_of_run(run, one) if isinstance(run, m.Run) else _begun(run, one)
            run.step_attempts.append(row)  # type: ignore[arg-type] # of the same kind
            changed = True
        if one.state is AttemptState.RUNNING:
            changed |= _note_number(run, one)
        elif row.state == AttemptState.RUNNING.value:
            row.state = one.state.value
            row.ended = min(max(one.ended or m.now(), row.began), m.now())
            if one.volume is not None:
                row.volume_used, row.volume_size = one.volume.used, one.volume.size
            if one.cause is not None:
                row.category, row.exit_code = one.cause.category.value, one.cause.exit_code
                row.sentence = one.cause.sentence
            changed = True
    session.flush()
    kept = KEPT + 2 * len(run.steps) if isinstance(run, m.Run) else KEPT
    for old in run.step_attempts[:-kept]:
        session.delete(old)
    return changed


def _note_number(run: m.Job | m.Run, told: Attempt) -> bool:
    """Keep the number of a step's newest attempt; whether it is new."""
    if isinstance(run, m.Run):
        step = next(step for step in run.steps if step.name == told.step)
        if step.attempt >= told.number:
            return False
        step.attempt = told.number
        return True
    if run.attempts.get(told.step, 0) >= told.number:
        return False
    run.attempts = {**run.attempts, told.step: told.number}
    return True


def attempts(job: m.Job) -> list[shapes.RunAttempt]:
    """Every attempt that was told of, oldest first."""
    ends = {step.name: step for step in usage.step_times(job.activities, usage.STEP_LETTERS)}
    newest = {row.step: row for row in job.step_attempts}
    shown: list[shapes.RunAttempt] = []
    for row in job.step_attempts:
        state, ended = row.state, row.ended
        if state == AttemptState.RUNNING.value and not _is_at_work(job, row, newest):
            # Its end was never told: what is known of the step is what became of its last attempt.
            step = ends[row.step] if newest[row.step] is row and row.step in ends else None
            is_told = step is not None and step.ended is not None
            state, ended = (step.state, step.ended) if step is not None and is_told else ("Unknown", None)
        shown.append(shown_as(row, state, ended, _volume(row)))
    return shown


def shown_as(
    row: m.StepAttempt | m.RunAttempt, state: str, ended: datetime | None, volume: shapes.VolumeUse | None = None
) -> shapes.RunAttempt:
    """One attempt, as what it is taken for."""
    return {
        "step": row.step,
        "attempt": row.attempt,
        "state": state,
        "job": row.job_name,
        "uid": row.job_uid,
        "began": timestamp(row.began),
        "ended": timestamp(ended),
        "category": row.category,
        "sentence": row.sentence or None,
        "exit_code": row.exit_code,
        "volume": volume,
    }


def volume(job: m.Job) -> shapes.VolumeUse | None:
    """How full the output volume was when it was last told."""
    return next(filter(None, (_volume(row) for row in reversed(job.step_attempts))), None)


def _volume(row: m.StepAttempt) -> shapes.VolumeUse | None:
    if row.volume_used is None or row.volume_size is None:
        return None
    return {"used": row.volume_used, "size": row.volume_size}


def timeline(job: m.Job) -> list[shapes.RunEvent]:
    """The run's changes, oldest first: each with its attempt and cause, and each attempt that was Lando's own idea."""
    events: list[tuple[datetime, shapes.RunEvent]] = []
    rows = list(job.activities)
    for row, following in pairwise([*rows, None]):
        if row is None:
            continue
        until = following.created if following else None
        step = next((name for name, letter in usage.STEP_LETTERS.items() if letter == row.step), None)
        entry = _entry(row.state, row.step, row.created)
        events.append((row.created, entry))
        if row.state == "R" and step is not None:
            within = [one for one in job.step_attempts if one.step == step and _is_within(one.began, row, until)]
            if within:
                _name(entry, within[0])
            for before, after in pairwise(within):
                sentence = f"Attempt {before.attempt} ended: {before.sentence or 'why is not known.'}"
                again = _entry("R", row.step, after.began)
                _name(again, after)
                again["category"], again["sentence"] = before.category, f"{sentence} Attempt {after.attempt} began."
                events.append((after.began, again))
        elif row.state == "E":
            failed = [one for one in job.step_attempts if one.step == step and one.began <= row.created]
            if failed:
                _name(entry, failed[-1])
            errors = [one for one in job.errors if _is_within(one.created, row, until)]
            if errors:
                entry["category"] = errors[-1].category
                entry["sentence"] = errors[-1].content.partition("\n")[0].strip()
    return [entry for _, entry in sorted(events, key=lambda event: event[0])]


def _begun(job: m.Job, told: Attempt) -> m.StepAttempt:
    """A new row. The daemon's clock may not be ours: an attempt begins after the run has entered its step."""
    letter = usage.STEP_LETTERS[told.step]
    now = m.now()
    entered = next((row.created for row in reversed(job.activities) if (row.state, row.step) == ("R", letter)), None)
    latest = now if told.state is AttemptState.RUNNING else entered or now
    began = told.began or latest
    began = min(max(began, entered) if entered else began, now)
    return m.StepAttempt(
        job_id=job.id,
        step=told.step,
        attempt=told.number,
        job_name=told.job,
        job_uid=told.uid,
        state=AttemptState.RUNNING.value,
        sentence="",
        began=began,
    )


def _begun_of_run(run: m.Run, told: Attempt) -> m.RunAttempt:
    """A new row, as with a job: it begins after its step was entered."""
    entered = next(step.started for step in run.steps if step.name == told.step)
    now = m.now()
    began = told.began or (now if told.state is AttemptState.RUNNING else entered or now)
    return m.RunAttempt(
        step=told.step,
        attempt=told.number,
        job_name=told.job,
        job_uid=told.uid,
        state=AttemptState.RUNNING.value,
        sentence="",
        began=min(max(began, entered or run.created), now),
    )


def _is_at_work(job: m.Job, row: m.StepAttempt, newest: dict[str, m.StepAttempt]) -> bool:
    return job.state not in _ENDED and newest[row.step] is row and usage.STEP_LETTERS.get(row.step) == job.step


def _is_within(moment: datetime, row: m.JobActivity, until: datetime | None) -> bool:
    return row.created <= moment and (until is None or moment < until)


def _entry(state: str, step: str, created: datetime) -> shapes.RunEvent:
    return {
        "state": usage.STATE_WORDS[state],
        "step": usage.STEP_WORDS[step],
        "created": timestamp(created),
        "attempt": None,
        "job": None,
        "uid": None,
        "category": None,
        "sentence": None,
    }


def _name(event: shapes.RunEvent, attempt: m.StepAttempt) -> None:
    event["attempt"], event["job"], event["uid"] = attempt.attempt, attempt.job_name, attempt.job_uid
