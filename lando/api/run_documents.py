"""A run in people's words: how each step went, why it failed, what it waits for, where its results are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from lando.api import models as m
from lando.api import usage
from lando.api.attempts import attempts, timeline, volume
from lando.api.documents import timestamp
from lando.api.shapes import runs as shapes

ENDED = "FECD"
"""States in which nothing happens until somebody asks for it."""
ASKED = "Sr"
"""States that a user's start and restart lead to."""
COMMANDS = {"S": "start", "r": "restart", "c": "cancel"}
"""By the state in which a run waits for it: what it was asked for."""
UNHEEDED_S = 30.0
"""How long a command may be on its way, in seconds, before the run is said to wait for that."""


def brief(job: m.Job) -> shapes.RunBrief:
    """What a list of runs says of each."""
    version = job.workflow_version
    step = next((name for name, letter in usage.STEP_LETTERS.items() if letter == job.step), None)
    known = steps(job)
    return {
        "id": job.id,
        "kind": "cwl",
        "name": job.name,
        "owner": job.user.username,
        "workflow": version.tag if version else None,
        "state": usage.STATE_WORDS[job.state],
        "step": step,
        "created": timestamp(job.created),
        "ended": timestamp(_ended(job)),
        "last_updated": timestamp(job.last_updated),
        "steps": known,
        "progress": dict(Counter(one["state"] for one in known)),
        "cause": cause(job),
        "condition": condition(job),
        "warnings": job.warnings,
        "priority": job.priority,
    }


def whole(job: m.Job) -> shapes.Run:
    """Everything there is to say of one run."""
    project = job.output_project
    return {
        **brief(job),
        "version": job.revision,
        "activities": timeline(job),
        "attempts": attempts(job),
        "errors": [_told(error) for error in job.errors if error.generation in (None, job.generation)],
        "volume": volume(job),
        "outputs": project.project_id if project and project.project_id else None,
        "readme": project.readme_file_id if project and project.readme_file_id else None,
    }


def steps(job: m.Job) -> list[shapes.RunStep]:
    """Each step that the run consists of."""
    defined = {step.step_type for step in job.job_settings.runtime.steps} if job.job_settings.runtime else set()
    names = [name for name in usage.STEP_LETTERS if name in defined]
    return [
        {
            "name": step.name,
            "label": usage.STEP_WORDS[usage.STEP_LETTERS[step.name]],
            "state": step.state,
            "started": timestamp(step.started),
            "ended": timestamp(step.ended),
            "attempt": job.attempts.get(step.name, step.attempts) or None,
            "phase": None,
            "entry": None,
            "sentence": None,
        }
        for step in usage.step_times(job.activities, names)
    ]


def cause(job: m.Job) -> shapes.RunCause | None:
    """Why a failed run failed: its newest job error since somebody last asked for it to run."""
    told = [error for error in job.errors if error.generation in (None, job.generation)]
    if job.state != "E" or not told:
        return None
    newest = told[-1]
    asked = next((row.created for row in reversed(job.activities) if row.state in ASKED), None)
    if newest.generation is None and asked is not None and newest.created < asked:
        return None  # the daemon has written the state and is about to say why
    return _told(newest)


def _told(error: m.JobError) -> shapes.RunCause:
    step = next((name for name, letter in usage.STEP_LETTERS.items() if letter == error.job_step), None)
    return cause_of(error, step)


def cause_of(error: m.JobError | m.RunError, step: str | None) -> shapes.RunCause:
    """Why a step failed, its first line apart from what follows it."""
    sentence, _, rest = error.content.partition("\n")
    return {
        "step": step,
        "category": error.category,
        "sentence": sentence.strip(),
        "text": rest.strip("\n"),
        "created": timestamp(error.created),
    }


def condition(job: m.Job) -> shapes.RunCondition | None:
    """What a run waits for: its turn, what the daemon said, or that it has not heard of the command yet; one that has
    ended waits for nothing, whatever came late.
    """
    if job.state in ENDED:
        return None
    if (held := job.held) is not None and held.held is not None:
        return {"step": None, "sentence": held.held, "since": timestamp(held.created)}
    if job.condition is not None:
        return {"step": job.condition_step, "sentence": job.condition, "since": timestamp(job.condition_since)}
    if job.state not in COMMANDS:
        return None
    return unheeded(COMMANDS[job.state], job.last_updated, job.pending)


def unheeded(command: str, asked: datetime, pending: Sequence[m.PendingCommand]) -> shapes.RunCondition | None:
    """What keeps a command from the daemon that was given at ``asked``; None while that took not long."""
    met = next((row.last_error for row in pending if row.attempts), None)
    if met is None and (m.now() - asked).total_seconds() < UNHEEDED_S:
        return None
    if pending:
        why = f" ({met})" if met else ""
        sentence = f"The broker has not got the command to {command} yet{why}; it is sent until it is there."
    else:
        sentence = f"No lando daemon has taken up the command to {command} yet: it is down, paused or busy."
    return {"step": None, "sentence": sentence, "since": timestamp(asked)}


def _ended(job: m.Job) -> datetime | None:
    if job.state not in ENDED:
        return None
    return next((row.created for row in reversed(job.activities) if row.state == job.state), job.last_updated)
