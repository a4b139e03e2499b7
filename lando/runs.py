"""What the engine knows of a run, whatever its kind and wherever its truth is kept.

Nothing here knows a wire format: Bespin's documents and letters live in :mod:`lando.bespin`, Kubernetes
objects in :mod:`lando.plans` and :mod:`lando.k8s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

CAUSE_TEXT_LIMIT = 64 * 1024  # bytes of UTF-8; longer texts are cut visibly in the middle


class RunState(Enum):
    """Where a run stands, in Bespin's words."""

    NEW = "New"
    AUTHORIZED = "Authorized"
    STARTING = "Starting"
    """The user asked for a start; the daemon has not begun."""
    RUNNING = "Running"
    FINISHED = "Finished"
    ERROR = "Error"
    CANCELING = "Canceling"
    """The user asked for a cancel; objects may still be there."""
    CANCELED = "Canceled"
    RESTARTING = "Restarting"
    DELETED = "Deleted"


UNFINISHED = (RunState.STARTING, RunState.RUNNING, RunState.RESTARTING, RunState.CANCELING)
"""States in which something is still to be done."""


class StepState(Enum):
    """Where one step of a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Intent(Enum):
    """What the owner of a run last asked for and has not got yet."""

    START = "start"
    RESTART = "restart"
    CANCEL = "cancel"
    NONE = "none"


class OnFailure(Enum):
    """What becomes of the rest of a run when one of its steps has failed."""

    STOP = "stop"
    """Begin nothing more; what runs comes to its end."""
    CONTINUE = "continue"
    """Go on with what does not depend on it."""
    REVERT = "revert"
    """As stop; then delete what the run made."""


class Category(Enum):
    """Whose move it is after a failure; only ``INFRASTRUCTURE`` is retried by Lando itself."""

    USER = "user"
    """The program or its input: exit code, bad path, bad CWL."""
    RESOURCES = "resources"
    """A limit was met: memory, quota, unschedulable, deadline."""
    IMAGE = "image"
    """The container image can't be had or can't be started."""
    INFRASTRUCTURE = "infrastructure"
    """The cluster lost it: evicted, preempted, node lost, vanished."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a step did not succeed, or what it waits for."""

    category: Category
    sentence: str
    """What happened and where, one sentence for the run's owner."""
    advice: str = ""
    """What to do about it; may be empty."""
    exit_code: int | None = None
    log_tail: str = ""
    """The last lines of the container's log."""
    interrupted: bool = False
    """Of infrastructure: it was stopped in good order, so that doing it again does not count as a retry."""

    lasting: bool = False
    """Of infrastructure: it was waited for until patience ended, and a new attempt would only wait as long again."""

    def text(self) -> str:
        """The text of a job error: sentence, advice, then the log's tail; never empty, free of NULs, bounded."""
        head = " ".join(part for part in (self.sentence.strip(), self.advice.strip()) if part) or "No cause is known."
        whole = f"{head}\n\n{self.log_tail.rstrip()}" if self.log_tail.strip() else head
        return cut_middle(whole.replace("\0", "\N{REPLACEMENT CHARACTER}"))


class AttemptState(Enum):
    """Where one attempt of a step stands, or how it ended."""

    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELED = "Canceled"
    """Lando removed its Job before it had ended."""


@dataclass(frozen=True, kw_only=True)
class VolumeUse:
    """How full a run's output volume was at the end of an attempt; both in bytes."""

    used: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One Job that a step was given to: what the history of a run is made of."""

    step: str
    number: int
    """Counted from 1."""
    job: str
    """Name of the Job."""
    uid: str
    """UID of the Job: an attempt is known by it."""
    state: AttemptState
    began: datetime | None = None
    """When its Job was made, if that is still to be seen."""
    ended: datetime | None = None
    """When it ended, or when that was noticed."""
    cause: Cause | None = None
    """Why it failed."""
    volume: VolumeUse | None = None
    """How full the output volume was then, if its program said so."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as its source describes it at one moment."""

    id: int
    kind: str
    """``cwl``, ``phases`` or ``batch``: which plan it follows."""
    owner: str
    """User name of the person it runs for."""
    name: str
    state: RunState
    steps: Mapping[str, StepState]
    """Every step of the plan by its name (``stage_data``, …), in the plan's order."""
    generation: int | None = None
    """Counted up by our API at each start, restart and cancel; None where the API does not count."""
    held: bool = False
    """Its start or restart waits for its turn: it is not to be begun, whatever a message says."""
    version: str | None = None
    """What a guarded write must match (HTTP entity tag); None where the API has none."""
    changed: datetime | None = field(default=None, compare=False)
    """When the run last changed, where its document does not tell."""
    document: Any = field(default=None, repr=False, compare=False)
    """What only the plan of this kind reads, e.g. the Bespin job."""

    @property
    def intent(self) -> Intent:
        """The command that the recorded state says is still to be carried out."""
        intent = _INTENTS.get(self.state, Intent.NONE)
        return Intent.NONE if self.held and intent is not Intent.CANCEL else intent


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a list of runs says of each: enough to tell whether a run needs something, and small enough for 50,000."""

    id: int
    state: RunState
    steps: Mapping[str, StepState]
    kind: str = "cwl"
    generation: int | None = None
    changed: datetime | None = None
    """When the run last changed, if the API said so."""
    connection: int | None = None
    """Which lando the run is for, by the API's number of its broker and queue; None where the API does not say."""
    held: bool = False
    """Its start or restart waits for its turn."""


_INTENTS = {
    RunState.STARTING: Intent.START,
    RunState.RESTARTING: Intent.RESTART,
    RunState.CANCELING: Intent.CANCEL,
}


def cut_middle(text: str, limit: int = CAUSE_TEXT_LIMIT) -> str:
    """``text`` within ``limit`` bytes of UTF-8, what is left out marked in the middle."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    mark = f"\n[… {len(data) - limit} bytes and more left out …]\n"
    room = max(limit - len(mark.encode()), 0)
    head, tail = data[: room // 2], data[len(data) - (room - room // 2) :]
    return head.decode("utf-8", "ignore") + mark + tail.decode("utf-8", "ignore")
