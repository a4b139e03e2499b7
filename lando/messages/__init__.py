"""Messages of the command queue: what they mean (here), how they travel (:mod:`.codec`).

A message only says "look at this run": the receiver decides by the run's recorded state and by what is in
the cluster, so a lost, repeated, late or reordered message does no harm.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from lando.runs import Category


class Command(Enum):
    """What a message asks for; the values are those of the JSON form."""

    START = "start"
    RESTART = "restart"
    CANCEL = "cancel"
    STEP_CHANGED = "step_changed"
    """Look at the run; with evidence, because of what a watcher saw."""
    PRUNE = "prune"
    """Remove what the run still has in the cluster if it ended before a certain time; from an operator."""
    DEBUG = "debug"
    """``start_debug`` and ``cancel_debug`` of lando-messaging 2.1.0: read, counted and left alone."""


class Condition(Enum):
    """What a watcher saw of a step's Job."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    WAITING = "Waiting"
    GONE = "Gone"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the watcher saw: a hint and a text to keep, never the truth, which is in the cluster."""

    step: str
    """Step type, e.g. ``run_workflow``."""
    condition: Condition
    job: str | None = None
    """Name of the Kubernetes Job."""
    uid: str | None = None
    """UID of that Job: the attempt. None in legacy messages."""
    category: Category | None = None
    cause: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    termination_message: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the command queue, whichever form it came in."""

    command: Command
    run_id: int
    kind: str = "cwl"
    generation: int | None = None
    """The run's generation when the command was given; None in legacy messages."""
    evidence: Evidence | None = None
    """Only with ``STEP_CHANGED``."""
    ended_before: datetime | None = None
    """Only with ``PRUNE``: a run that changed later is left alone."""
    was_tried: bool = False
    """Not on the wire: it failed before, so that the run may have gone on since it was sent."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent: datetime = field(default_factory=lambda: datetime.now(UTC))
