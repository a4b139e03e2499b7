"""Where the books' figures come from: the database, the cluster and the broker themselves, not Lando's own views."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence

import pika
from lando import labels
from lando.api import models as m
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload
from tests.chaos import journal
from tests.chaos.accounting import Change, Facts, JobFacts
from tests.chaos.load import Plan
from tests.chaos.recorder import QUEUE
from tests.chaos.site import Site

RESOURCES = ("jobs", "pods", "configmaps", "persistentvolumeclaims")
DELAYS = (f"{QUEUE}.delay.5s", f"{QUEUE}.delay.30s", f"{QUEUE}.delay.5m")


def gather(site: Site, plans: Sequence[Plan]) -> Facts:
    """How everything stands now."""
    facts = Facts(plans=plans, jobs={}, journal=journal.read(site.journal.read_text().splitlines()))
    facts.disturbances = list(site.disturbances)
    facts.garbage, facts.garbage_tried = list(site.garbage), set(site.garbage_tried)
    facts.objects = _objects(site)
    with site.open_database() as database, database.read() as session:
        wanted = (selectinload(m.Job.activities), selectinload(m.Job.errors))
        lost: dict[int, list[str]] = defaultdict(list)
        for row in session.scalars(select(m.StepAttempt).where(m.StepAttempt.state == "Failed")):
            lost[row.job_id].append(f"{row.ended}, {row.step} {row.attempt}: {row.sentence}")
        facts.jobs = {job.id: _job(job, lost[job.id]) for job in session.scalars(select(m.Job).options(*wanted))}
        facts.commands_left = session.scalar(select(func.count()).select_from(m.PendingCommand)) or 0
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(site.broker.url()))) as connection:
        facts.messages_left = {queue: _count(connection, queue) for queue in (QUEUE, *DELAYS)}
        facts.dead = _bodies(connection, f"{QUEUE}.dead")
    return facts


def _job(job: m.Job, lost: Sequence[str]) -> JobFacts:
    return JobFacts(
        state=job.state,
        step=job.step,
        history=[Change(row.state, row.step, row.created.timestamp()) for row in job.activities],
        errors=[(row.category or "", row.job_step, row.content) for row in job.errors],
        attempts=dict(job.attempts),
        lost=lost,
    )


def _objects(site: Site) -> list[tuple[str, str, int]]:
    found = []
    for resource in RESOURCES:
        for item in site.cluster.list(resource).body["items"]:
            named = item["metadata"].get("labels") or {}
            job = named.get(labels.BESPIN_JOB_ID) or named.get(labels.RUN_RECORD)
            if job is not None:
                found.append((resource, item["metadata"]["name"], int(job)))
    return found


def _count(connection: pika.BlockingConnection, queue: str) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).method.message_count)
    except pika.exceptions.ChannelClosedByBroker:
        return 0  # it was never needed


def _bodies(connection: pika.BlockingConnection, queue: str) -> list[bytes]:
    """What lies in the queue; it stays there, because nothing is acknowledged."""
    if not _count(connection, queue):
        return []
    channel, bodies = connection.channel(), []
    while (body := channel.basic_get(queue)[2]) is not None:
        bodies.append(body)
    channel.close()
    return bodies
