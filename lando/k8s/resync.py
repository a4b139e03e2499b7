"""The resync: runs and objects are compared, both ways, and what does not fit is looked at again.

It is what makes a lost message cost no more than time, and what sweeps. Its work is bounded: one list of each kind of
the cluster and one or two of each API, however many runs are at work or kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from lando.config import Config
from lando.k8s.cluster import Cluster
from lando.k8s.findings import Finding, Trouble, findings
from lando.k8s.holdings import holdings
from lando.k8s.metrics import FINDINGS, RESYNCED
from lando.sources import Source


def compare(cluster: Cluster, source: Source, config: Config, now: datetime) -> list[Finding]:
    """What is wrong now; raises :class:`lando.errors.PeerError` when it can't be found out."""
    held = holdings(
        cluster, only_jobs=config.lando_api is None
    )  # first, so that no run has objects here and is not yet known there
    runs = source.survey(held)
    connection = config.bespin_api.lando_connection
    return findings(held, runs, now=now, retention=config.retention, connection=connection)


def count(found: Sequence[Finding]) -> None:
    """Show as a metric what the newest resync found."""
    counted = Counter(finding.trouble for finding in found)
    for trouble in Trouble:
        FINDINGS.labels(trouble.value).set(counted[trouble])
    RESYNCED.set_to_current_time()
