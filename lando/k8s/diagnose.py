"""What became of a step's Job, and why, from the Job, its pods and their events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from lando.runs import Cause

Manifest = Mapping[str, Any]


class Verdict(Enum):
    """How a Job stands, once patience is taken into account."""

    RUNNING = "Running"
    WAITING = "Waiting"
    """Not at work, for a reason that may pass; ``cause`` names it."""
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A verdict with its cause (None for RUNNING and COMPLETE)."""

    verdict: Verdict
    cause: Cause | None = None


def diagnose(
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    *,
    now: datetime,
    patience: timedelta,
    log_tail: str = "",
) -> Diagnosis:
    """Judge ``job`` by its conditions, its pods' states and their events."""
    raise NotImplementedError
