"""Diagnosis as a direct run wants it: with all patience, in the words of whoever wrote the Jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from lando.k8s.cluster import Manifest
from lando.k8s.diagnosis import Diagnosis, of_a_job
from lando.k8s.diagnosis import diagnose as diagnose_step
from lando.runs import Cause

PATIENCE = timedelta(days=3650)
"""A Job that can't start keeps its run waiting; only its condition says that it has failed (phases contract, 7)."""


def diagnose(
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    *,
    now: datetime,
    log_tail: str = "",
    hindrance: Cause | None = None,
) -> Diagnosis:
    """As :func:`lando.k8s.diagnosis.diagnose`, with all patience and these words."""
    found = diagnose_step(job, pods, events, now=now, patience=PATIENCE, log_tail=log_tail, hindrance=hindrance)
    return found if found.cause is None else replace(found, cause=of_a_job(found.cause))
