"""``PUT runs/{id}/attempts``: the daemon tells which Jobs a run's steps were given to, and how they ended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from lando.api import attempts, phased_documents, runs
from lando.api import models as m
from lando.api.auth import Staff
from lando.api.bodies import MAX_ID, Body, LogText, Name, Size, StepName, id_of
from lando.api.routes import LANDO
from lando.api.shapes import runs as shapes
from lando.api.site import TheSite
from lando.runs import Attempt, AttemptState, Category, Cause, VolumeUse, cut_middle

MOST = 100  # told at once
SENTENCE_BYTES = 4096

router = APIRouter(prefix=f"{LANDO}/runs", tags=["daemons"])


class VolumeBody(Body):
    """How full the output volume was; both in bytes."""

    used: Size
    size: Annotated[Size, Field(ge=1)]


class AttemptBody(Body):
    """One Job that a step was given to; ``Running`` while nothing is known of its end."""

    step: StepName
    attempt: Annotated[int, Field(ge=1, le=MAX_ID)]
    job: Name
    uid: Annotated[Name, Field(max_length=64)]
    state: AttemptState
    began: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    category: Category | None = None
    sentence: LogText = ""
    exit_code: Annotated[int, Field(ge=-MAX_ID, le=MAX_ID)] | None = None
    volume: VolumeBody | None = None


class AttemptsBody(Body):
    """What is told; telling it again adds nothing."""

    attempts: Annotated[list[AttemptBody], Field(max_length=MOST)]


@router.put("/{run_id}/attempts")
def write_attempts(run_id: str, body: AttemptsBody, site: TheSite, _staff: Staff) -> shapes.AttemptsWritten:
    """Keep what is new. An attempt is known by its Job's UID; one that has ended stays as it was first told."""
    told = [_attempt(one) for one in body.attempts]
    with site.database.write() as session:
        run = runs.locked(session, id_of(run_id))
        for one in told:
            runs.check_step(run, one.step, field="attempts")
        if attempts.record(session, run, told):
            run.revision += 1
        shown = phased_documents.attempts(run) if isinstance(run, m.Run) else attempts.attempts(run)
        answer: shapes.AttemptsWritten = {"attempts": shown}
    site.changes.announce()
    return answer


def _attempt(body: AttemptBody) -> Attempt:
    sentence = cut_middle(body.sentence, SENTENCE_BYTES)
    return Attempt(
        step=body.step,
        number=body.attempt,
        job=body.job,
        uid=body.uid,
        state=body.state,
        began=body.began,
        ended=body.ended,
        cause=Cause(category=body.category, sentence=sentence, exit_code=body.exit_code) if body.category else None,
        volume=VolumeUse(used=body.volume.used, size=body.volume.size) if body.volume else None,
    )
