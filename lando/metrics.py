"""Prometheus metrics: each declared once, with its name, kind, meaning and labels, and listed in the docs from that.

A process serves the figures of the parts that it consists of: ``lando`` its own, ``lando up`` those of all.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One metric as it is served."""

    name: str
    kind: str
    """``counter``, ``gauge`` or ``histogram``."""
    meaning: str
    labels: tuple[str, ...] = ()


class Figures:
    """The metrics of one part, in the order of their declaration."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []

    def declare(self, name: str, kind: str, meaning: str, *labels: str) -> Declared:
        """List a metric that a collector of its own serves."""
        declared = Declared(name=name, kind=kind, meaning=meaning, labels=labels)
        self.declared.append(declared)
        return declared

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A counter; ``name`` ends in ``_total``."""
        self.declare(name, "counter", meaning, *labels)
        return Counter(name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """A gauge."""
        self.declare(name, "gauge", meaning, *labels)
        return Gauge(name, meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """A histogram; ``name`` ends in its unit."""
        self.declare(name, "histogram", meaning, *labels)
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)


PROCESS = Figures()
"""Of every process; besides, all serve what the Prometheus client tells of a Python process (``process_*``, …)."""

_BUILD = PROCESS.gauge("lando_build_info", "1; which version runs, on which Python.", "version", "python")


def _version() -> str:
    try:
        return version("lando")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


BROKER_BLOCKS = PROCESS.gauge(
    "lando_broker_blocks_publishing",
    "Connections on which the broker takes no messages, being short of memory or disk; 0 while it takes them.",
)

DEAD_REFUSED = PROCESS.counter(
    "lando_dead_letters_refused_total",
    "Messages that the dead-letter queue did not take, as when it is full; each comes back after the longest delay.",
)

_BUILD.labels(_version(), platform.python_version()).set(1)


def text(parts: Iterable[Figures]) -> bytes:
    """What a process that consists of ``parts`` serves at ``/metrics``, in Prometheus' text form."""
    registries = (REGISTRY, PROCESS.registry, *(part.registry for part in parts))
    return b"".join(generate_latest(registry) for registry in registries)
