"""What ``/metrics`` tells: requests by route, jobs by state, commands that wait for the broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select

from lando.api.models import Job, PendingCommand, Run
from lando.api.notices.courier import undelivered
from lando.api.notices.telling import FAILED, WAITING
from lando.api.usage import STATE_WORDS
from lando.errors import Unavailable
from lando.metrics import Declared, Figures, text

if TYPE_CHECKING:
    from lando.api.site import Site

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """One server's figures."""

    def __init__(self) -> None:
        self.parts = [figures := Figures()]
        """Whose figures are told; ``lando up`` adds those of its daemons."""
        self._requests = figures.counter(
            "lando_api_requests_total", "Requests by method, route and status.", "method", "route", "status"
        )
        self._seconds = figures.histogram(
            "lando_api_request_seconds", "Time to the end of the answer.", "method", "route", buckets=_SECONDS
        )
        self._site = _SiteCollector(figures)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def watch(self, site: Site) -> None:
        """Also tell of a site's jobs and outbox, read when asked."""
        self._site.site = site
        self.parts[0].registry.register(self._site)

    def text(self) -> bytes:
        """Prometheus' text form."""
        return text(self.parts)


class _SiteCollector:
    """Reads the database at each scrape; while it is away, tells only that."""

    def __init__(self, figures: Figures) -> None:
        self.site: Site | None = None
        declare = figures.declare
        self._published = declare("lando_api_commands_published_total", "counter", "Commands that the broker has.")
        self._failures = declare("lando_api_publish_failures_total", "counter", "Tries to publish that failed.")
        self._database = declare("lando_api_database_up", "gauge", "1 while the database answers, else 0.")
        self._jobs = declare("lando_api_jobs", "gauge", "Jobs, and runs of other kinds, by state.", "state")
        self._held = declare("lando_api_jobs_held", "gauge", "Jobs that wait for their turn, by the site's limits.")
        self._delivered = declare(
            "lando_api_notices_delivered_total", "counter", "Notices that their receivers took.", "channel"
        )
        self._undelivered = declare(
            "lando_api_notice_failures_total", "counter", "Tries to deliver a notice that failed.", "channel"
        )
        self._notices = declare(
            "lando_api_notices", "gauge", "Notices that wait for their delivery, or were given up.", "channel", "state"
        )
        self._waiting = declare("lando_api_commands_waiting", "gauge", "Commands that wait for the broker.")
        self._oldest = declare("lando_api_oldest_command_seconds", "gauge", "Age of the oldest of them.")
        self._definitions = declare("lando_api_definitions", "gauge", "Job definitions in force.")
        self._problems = declare(
            "lando_api_definition_problems", "gauge", "What is wrong with job definitions; their healthcheck names it."
        )
        self._watched = declare(
            "lando_api_definition_jobs_watched",
            "gauge",
            "1 while lists of their Jobs cost the cluster no call, else 0.",
        )
        self._definition_jobs = declare(
            "lando_api_definition_jobs",
            "gauge",
            "Their Jobs in the cluster, of the hundred definitions with the most; all others are counted together.",
            "definition",
            "state",
        )
        self._to_keep = declare("lando_api_definition_jobs_to_keep", "gauge", "Their Jobs that wait for the archive.")

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The site's figures now."""
        site = self.site
        if site is None:
            return
        yield CounterMetricFamily(self._published.name, self._published.meaning, site.outbox.published)
        yield CounterMetricFamily(self._failures.name, self._failures.meaning, site.outbox.failures)
        for declared, name in ((self._delivered, "delivered"), (self._undelivered, "failures")):
            family = CounterMetricFamily(declared.name, declared.meaning, labels=declared.labels)
            for courier in site.notices.couriers:
                family.add_metric([courier.channel], getattr(courier, name))
            yield family
        yield from self._of_definitions(site)
        if site.opening.waits_for is not None:
            yield _gauge(self._database, 0)
            return
        try:
            with site.database.read() as session:
                rows = session.execute(select(Job.state, func.count(Job.id)).group_by(Job.state))
                counts = Counter({STATE_WORDS[row[0]]: row[1] for row in rows})
                others = session.execute(select(Run.state, func.count(Run.id)).group_by(Run.state))
                counts.update({row[0]: row[1] for row in others})
                held = session.scalars(select(func.count()).where(PendingCommand.held.is_not(None))).one()
                notices = undelivered(session)
            waiting, oldest_s = site.outbox.waiting()
        except Unavailable:
            yield _gauge(self._database, 0)
            return
        yield _gauge(self._database, 1)
        jobs = GaugeMetricFamily(self._jobs.name, self._jobs.meaning, labels=self._jobs.labels)
        for word in STATE_WORDS.values():
            jobs.add_metric([word], counts[word])
        yield jobs
        yield _gauge(self._held, held)
        told = GaugeMetricFamily(self._notices.name, self._notices.meaning, labels=self._notices.labels)
        for courier in site.notices.couriers:
            for state in (WAITING, FAILED):
                told.add_metric([courier.channel, state], notices.get((courier.channel, state), 0))
        yield told
        yield _gauge(self._waiting, waiting)
        yield _gauge(self._oldest, oldest_s)

    def _of_definitions(self, site: Site) -> Iterator[Metric]:
        if site.definitions is None:
            return
        standing = site.definitions.standing()
        yield _gauge(self._definitions, standing.definitions)
        yield _gauge(self._problems, standing.problems)
        yield _gauge(self._watched, standing.is_watched)
        jobs = GaugeMetricFamily(
            self._definition_jobs.name, self._definition_jobs.meaning, labels=self._definition_jobs.labels
        )
        for labels, number in sorted(site.definitions.job_counts().items()):
            jobs.add_metric(labels, number)
        yield jobs
        yield _gauge(self._to_keep, standing.to_keep)


def _gauge(declared: Declared, value: float) -> Metric:
    return GaugeMetricFamily(declared.name, declared.meaning, value)
