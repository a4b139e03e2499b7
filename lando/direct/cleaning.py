"""Removes what runs of a model left: its Jobs with their pods, and the Lease with what it owns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from lando.decide.deletion import newest_first
from lando.direct.events import Ended, JobRemoved, Listener, Outcome, Trouble
from lando.direct.lease import Lease
from lando.direct.outage import LIMIT_S
from lando.direct.session import Session, concluded
from lando.direct.waiting import Waiting
from lando.errors import Conflict, LandoError, NotFound, Refused
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import created, mapping, name, uid
from lando.phases.labels import ENTRY, is_of
from lando.phases.model import Model
from lando.units import count


def cleanup(
    model: Model,
    cluster: Cluster,
    *,
    listener: Listener,
    stop: threading.Event | None = None,
    outage_s: float = LIMIT_S,
    waiting: Waiting | None = None,
    make_lease: Callable[..., Lease] = Lease,
) -> Outcome:
    """Delete the Jobs of ``model`` with their pods, the newest first, and its Lease with what that owns.

    Refused while a run of these Jobs is at work. What can't be deleted is told, and the rest goes on: FAILED then.
    Raises nothing of :mod:`lando.errors`.
    """
    stop = stop or threading.Event()
    session = Session(listener, waiting or Waiting(stop), outage_s)
    session.is_cleaning = True
    try:
        ended = concluded(lambda: _clean(model, cluster, session, make_lease), stop, session)
    finally:
        session.calls.close()
    listener.tell(ended)
    return ended.outcome


def _clean(model: Model, cluster: Cluster, session: Session, make_lease: Callable[..., Lease]) -> Ended:
    files = {job.name: job for job in model.jobs()}
    lease = session.acquired(make_lease, cluster, files)
    with lease.kept():
        found = session.tried(lambda: session.calls.one(partial(cluster.list, "Job", ENTRY)))
        jobs = {name(job): job for job in found if name(job) in files and is_of(_labels(job), files[name(job)])}
        errors = 0

        def delete(job: Manifest) -> None:
            lease.assert_held()
            session.calls.one(partial(_delete, cluster, job))

        for job in newest_first({job: created(manifest) for job, manifest in jobs.items()}, files):
            try:
                session.tried(partial(delete, jobs[job]))
            except Refused:  # a run has begun that counts on them
                raise
            except LandoError as error:
                errors += 1
                session.listener.tell(Trouble(sentence=f"Not removed: {error}"))
            else:
                session.listener.tell(JobRemoved(job=job, why="cleanup"))
        session.tried(lambda: session.calls.one(lease.delete))
    if errors:
        return Ended(outcome=Outcome.FAILED, sentence=f"{errors} of {count(len(jobs), 'Job')} could not be removed.")
    return Ended(
        outcome=Outcome.COMPLETE, sentence=f"{count(len(jobs), 'Job')} {'was' if len(jobs) == 1 else 'were'} removed."
    )


def _delete(cluster: Cluster, job: Manifest) -> None:
    with suppress(NotFound, Conflict):  # gone, or made anew by somebody else
        cluster.delete("Job", name(job), uid=uid(job))


def _labels(job: Manifest) -> dict[str, str]:
    return dict(mapping(mapping(job.get("metadata")).get("labels")))
