"""``runs/{id}/evidence``: what the sentences about a run's failures and waits were read from, from the archive."""

from __future__ import annotations

from fastapi import APIRouter

from lando.api import runs
from lando.api.auth import SignedIn
from lando.api.bodies import id_of
from lando.api.routes import LANDO
from lando.api.shapes import runs as shapes
from lando.api.site import TheSite

router = APIRouter(prefix=f"{LANDO}/runs", tags=["runs"])


@router.get("/{run_id}/evidence")
def read_evidence(run_id: str, site: TheSite, caller: SignedIn, step: str | None = None) -> shapes.Evidence:
    """Each attempt of a step that failed or had to wait: the rule that spoke, Job, pods, events, the log's end.

    Steps in their order, attempts by number. ``kept`` is false where the server has no archive to look in.
    """
    with site.database.read() as session:
        run = runs.own(session, caller, id_of(run_id))
        if step is not None:
            runs.check_step(run, step)
    archive = site.archive
    return {
        "kept": archive is not None,
        "evidence": archive.evidence(id_of(run_id), step) if archive is not None else [],
    }
