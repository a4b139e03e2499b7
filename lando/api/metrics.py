"""What ``/metrics`` tells: requests by route, jobs by state, commands that wait for the broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select

from lando.api.models import Job
from lando.api.usage import STATE_WORDS
from lando.errors import Unavailable

if TYPE_CHECKING:
    from lando.api.site import Site

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """One server's registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lando_api_requests",
            "Requests by method, route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "lando_api_request_seconds",
            "Time to the end of the answer, in seconds.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def watch(self, site: Site) -> None:
        """Also tell of a site's jobs and outbox, read when asked."""
        self._registry.register(_SiteCollector(site))

    def text(self) -> bytes:
        """Prometheus' text form."""
        return generate_latest(self._registry)


class _SiteCollector:
    """Reads the database at each scrape; tells nothing while it is away."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The site's figures now."""
        published = CounterMetricFamily("lando_api_commands_published", "Commands that the broker has confirmed.")
        published.add_metric([], self._site.outbox.published)
        failures = CounterMetricFamily("lando_api_publish_failures", "Tries to publish that failed.")
        failures.add_metric([], self._site.outbox.failures)
        yield published
        yield failures
        if self._site.opening.waits_for is not None:
            return
        try:
            with self._site.database.read() as session:
                rows = session.execute(select(Job.state, func.count(Job.id)).group_by(Job.state))
                counts = {row[0]: row[1] for row in rows}
            waiting, oldest_s = self._site.outbox.waiting()
        except Unavailable:
            return
        jobs = GaugeMetricFamily("lando_api_jobs", "Jobs by state.", labels=["state"])
        for letter, word in STATE_WORDS.items():
            jobs.add_metric([word], counts.get(letter, 0))
        yield jobs
        yield GaugeMetricFamily("lando_api_commands_waiting", "Commands that wait for the broker.", value=waiting)
        yield GaugeMetricFamily("lando_api_oldest_command_seconds", "Age of the oldest of them.", value=oldest_s)
