"""``jobs``: a user's own jobs and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from lando.api import documents, jobs, storage_rights
from lando.api import models as m
from lando.api.auth import Caller, SignedIn
from lando.api.bodies import AnyText, Body, Empty, id_of
from lando.api.routes import BESPIN
from lando.api.shapes import Detail
from lando.api.shapes import jobs as shapes
from lando.api.site import Site, TheSite

router = APIRouter(prefix=f"{BESPIN}/jobs", tags=["jobs"])

_EVERYTHING = (
    joinedload(m.Job.output_project),
    joinedload(m.Job.run_token),
    joinedload(m.Job.job_flavor),
    selectinload(m.Job.errors),
    selectinload(m.Job.activities),
)


SHARED: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "The data service's refusal to share the job's inputs, with its status.",
        "model": Detail,
    }
}
"""What starting a job may also answer."""


class Permission(Body):
    """The job token that permits a job to run."""

    token: AnyText | None = None


@router.get("")
def list_jobs(site: TheSite, caller: SignedIn) -> list[shapes.Job]:
    """The caller's jobs, oldest first; deleted ones are hidden."""
    query = select(m.Job).where(m.Job.user_id == caller.id, m.Job.state != "D").order_by(m.Job.id)
    with site.database.read() as session:
        return [documents.job(job) for job in session.scalars(query.options(*_EVERYTHING)).unique()]


@router.get("/{job_id}")
def read_job(job_id: str, site: TheSite, caller: SignedIn) -> shapes.Job:
    """One of the caller's jobs."""
    with site.database.read() as session:
        return documents.job(jobs.own_job(session, caller, id_of(job_id), _EVERYTHING))


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, site: TheSite, caller: SignedIn) -> None:
    """Remove a job that never ran, hide one that has ended."""
    with site.database.write() as session:
        jobs.remove(session, caller, id_of(job_id))
    site.changes.announce()


@router.post("/{job_id}/authorize")
def authorize(job_id: str, site: TheSite, caller: SignedIn, permission: Permission | None = None) -> shapes.Permitted:
    """Let a new job run, with a job token."""
    token = permission.token if permission else None
    with site.database.write() as session:
        job = documents.job_after_action(jobs.authorize(session, caller, id_of(job_id), token))
    site.changes.announce()
    return {"token": token, "job": job}


@router.post("/{job_id}/start", responses=SHARED)
def start(job_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.JobAfterAction:
    """Run an authorized job."""
    _grant_rights(site, caller, job_id, "A")
    return _act(site, caller, job_id, partial(jobs.start, in_turn=bool(site.settings.limits)))


@router.post("/{job_id}/cancel")
def cancel(job_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.JobAfterAction:
    """Stop a job and remove what it made in the cluster."""
    return _act(site, caller, job_id, jobs.cancel)


@router.post("/{job_id}/restart", responses=SHARED)
def restart(job_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.JobAfterAction:
    """Run a failed or canceled job again, from where it stopped if possible."""
    _grant_rights(site, caller, job_id, "EC")
    return _act(site, caller, job_id, partial(jobs.restart, in_turn=bool(site.settings.limits)))


@router.post("/{job_id}/live-usage")
def live_usage(job_id: str, site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.Usage:
    """What the job has used until now, also while it runs."""
    with site.database.read() as session:
        return documents.job_usage(jobs.own_job(session, caller, id_of(job_id)))


def _grant_rights(site: Site, caller: Caller, job_id: str, states: str) -> None:
    """Have the job's inputs shared with the service, if its state lets it run; outside of any transaction."""
    if site.rights is None:
        return
    with site.database.read() as session:
        job = jobs.own_job(session, caller, id_of(job_id))
        needs = storage_rights.needed(session, caller, job) if job.state in states else []
    if needs:
        site.rights.grant(needs)


def _act(
    site: Site, caller: Caller, job_id: str, action: Callable[[Session, Caller, int], m.Job]
) -> shapes.JobAfterAction:
    with site.database.write() as session:
        job = action(session, caller, id_of(job_id))
        if job.state == "C":  # no daemon will say so
            site.notices.note(session, job)
        answer = documents.job_after_action(job)
    site.outbox.wake()
    site.notices.wake()
    site.changes.announce()
    return answer
