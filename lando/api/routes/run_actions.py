"""``POST runs``, and what can be done with a run of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, ConfigDict, Field
from sqlalchemy.orm import Session

from lando.api import bundles, phased_documents, run_documents, runs
from lando.api import jobs as job_actions
from lando.api import models as m
from lando.api.answers import detail
from lando.api.auth import Caller, SignedIn
from lando.api.bodies import Body, Empty, LongName, Name, Reference, id_of, storable
from lando.api.routes import LANDO, jobs
from lando.api.shapes import runs as shapes
from lando.api.site import Site, TheSite

router = APIRouter(prefix=f"{LANDO}/runs", tags=["runs"])

_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"description": "What is wrong with the model, all of it.", "model": shapes.BundleRefused}
}


class NewRun(Body):
    """A phased run: its model, and every file that the model names, by the path that it has there."""

    model_config = ConfigDict(str_strip_whitespace=False)  # a file's blanks are its own

    kind: Literal["phases"]
    model: LongName = "jobermodel.yaml"
    files: Annotated[dict[str, str], Field(min_length=1), AfterValidator(storable)]
    name: Name | None = None
    lando_connection: Reference | None = None


@router.post("", status_code=201, responses=_REFUSED)
def submit(body: NewRun, site: TheSite, caller: SignedIn) -> shapes.Run:
    """Hand in a phased run, which is started at once. All that is wrong with it is told in one answer.

    Where the site lets others than staff do so, their pods are held to what can't reach beyond them.
    """
    _check_allowed(site, caller)
    if body.lando_connection is not None and not caller.is_staff:
        raise detail(403, "Only staff may choose the lando connection.")
    model, warnings = bundles.checked(body.model, body.files, restricted=not caller.is_staff)
    document: shapes.RunDocument = {"model": body.model, "files": body.files, "restricted": not caller.is_staff}
    name = body.name or body.model.rpartition("/")[2].rpartition(".")[0] or body.model
    with site.database.write() as session:
        runs.check_room(session, caller)
        connection = runs.connection_for(session, body.lando_connection)
        run = runs.submit(session, caller, model, document, name=name[:255], connection_id=connection)
        run.warnings = warnings
        answer = phased_documents.whole(run)
    _tell(site)
    return answer


@router.post("/{run_id}/cancel")
def cancel(run_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.Run:
    """Stop a run and remove what it made in the cluster."""
    return _act(site, caller, run_id, runs.cancel, jobs.cancel)


@router.post("/{run_id}/restart", responses=jobs.SHARED)
def restart(run_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.Run:
    """Run a failed or canceled run again, from where it stopped if possible."""

    def restarted(session: Session, caller: Caller, run_id: int) -> m.Run:
        _check_allowed(site, caller)
        return runs.restart(session, caller, run_id)

    return _act(site, caller, run_id, restarted, jobs.restart)


@router.delete("/{run_id}", status_code=204)
def delete_run(run_id: str, site: TheSite, caller: SignedIn) -> None:
    """Remove a run that never ran, hide one that has ended."""
    with site.database.write() as session:
        if isinstance(runs.own(session, caller, id_of(run_id)), m.Run):
            runs.remove(session, caller, id_of(run_id))
        else:
            job_actions.remove(session, caller, id_of(run_id))
    site.changes.announce()


def _check_allowed(site: Site, caller: Caller) -> None:
    allowed = site.settings.phases
    if allowed == "off" or (allowed == "staff" and not caller.is_staff):
        whom = "Nobody" if allowed == "off" else "Only staff"
        raise detail(403, f"{whom} may have phased runs begun at this site (its setting is phases: {allowed}).")


def _act(
    site: Site,
    caller: Caller,
    run_id: str,
    action: Callable[[Session, Caller, int], m.Run],
    job_action: Callable[[str, TheSite, SignedIn], object],
) -> shapes.Run:
    with site.database.write() as session:
        if isinstance(runs.own(session, caller, id_of(run_id)), m.Run):
            answer = phased_documents.whole(action(session, caller, id_of(run_id)))
        else:
            answer = None
    if answer is not None:
        _tell(site)
        return answer
    job_action(run_id, site, caller)
    with site.database.read() as session:
        return run_documents.whole(job_actions.own_job(session, caller, id_of(run_id)))


def _tell(site: Site) -> None:
    site.outbox.wake()
    site.changes.announce()
