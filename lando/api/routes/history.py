"""``job-errors`` and ``job-activities``: what became of the caller's jobs, to read only."""

from __future__ import annotations

from fastapi import APIRouter

from lando.api import documents
from lando.api import models as m
from lando.api.auth import Caller
from lando.api.resource import Query, Resource, add_routes
from lando.api.routes import BESPIN_V1
from lando.api.shapes import jobs as shapes

router = APIRouter(prefix=BESPIN_V1, tags=["jobs"])


def _of_own_jobs(query: Query, caller: Caller) -> Query:
    """Rows of the caller's jobs, which each row names."""
    return query.join(m.Job).where(m.Job.user_id == caller.id, m.Job.state != "D")


add_routes(
    router,
    Resource(
        path="job-errors",
        model=m.JobError,
        show=lambda _site, row: documents.job_error(row),
        shape=shapes.JobError,
        scope=_of_own_jobs,
        filters={"job": m.JobError.job_id},
    ),
)
add_routes(
    router,
    Resource(
        path="job-activities",
        model=m.JobActivity,
        show=lambda _site, row: documents.job_activity(row),
        shape=shapes.JobActivity,
        scope=_of_own_jobs,
        filters={"job": m.JobActivity.job_id},
    ),
)
