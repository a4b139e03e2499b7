"""``runs/{id}/evidence``: what the sentences about a run's failures and waits were read from, from the archive."""

from __future__ import annotations

from fastapi import APIRouter

from lando.api import jobs, shapes
from lando.api.answers import invalid
from lando.api.auth import SignedIn
from lando.api.bodies import id_of
from lando.api.site import TheSite
from lando.api.usage import STEP_LETTERS
from lando.config import STEP_TYPES

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("/{run_id}/evidence")
def read_evidence(run_id: str, site: TheSite, caller: SignedIn, step: str | None = None) -> shapes.Evidence:
    """Each attempt of a step that failed or had to wait: the rule that spoke, Job, pods, events, the log's end.

    Steps in their order, attempts by number. ``kept`` is false where the server has no archive to look in.
    """
    if step is not None and step not in STEP_LETTERS:
        raise invalid("step", f"There is no step {step!r}; the steps are {', '.join(STEP_TYPES)}.")
    with site.database.read() as session:
        jobs.own_job(session, caller, id_of(run_id))
    archive = site.archive
    return {
        "kept": archive is not None,
        "evidence": archive.evidence(id_of(run_id), step) if archive is not None else [],
    }
