"""What the server answers about runs, as the command line shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step of a run as its owner sees it."""

    name: str
    state: str
    """Pending, Running, Complete or Failed."""
    started: datetime | None = None
    ended: datetime | None = None
    attempt: int | None = None
    phase: str = ""
    """Of a phased run's step; otherwise empty, and so is the next."""
    entry: str = ""
    sentence: str = ""
    """Why it failed, where other steps may have failed as well."""


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One Job that a step was given to."""

    step: str
    number: int
    state: str
    """Running, Complete, Failed, Canceled or Unknown."""
    job: str
    began: datetime | None
    ended: datetime | None
    category: str
    sentence: str
    """Why it failed; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run as its owner sees it."""

    id: int
    name: str
    kind: str
    owner: str
    state: str
    """In words: Running, Finished, Error, …"""
    workflow: str
    created: datetime | None
    ended: datetime | None
    steps: tuple[StepView, ...]
    cause: str
    """Why it failed, one or two sentences; empty otherwise."""
    cause_details: str
    """The last lines of the failed step's log; may be empty."""
    condition: str
    """What it waits for; empty when nothing."""
    warnings: tuple[str, ...]
    attempts: tuple[AttemptView, ...]
    """Oldest first; of one run that was asked for, not of a list."""
    results: str
    """URL of the saved results; empty until they are saved."""
    document: Mapping[str, Any] = field(repr=False)
    """The answer itself, for ``--json``."""

    @property
    def over(self) -> bool:
        """Nothing more will happen unless someone asks for it."""
        return self.state in ("Finished", "Error", "Canceled", "Deleted")

    @property
    def lacks_a_cause(self) -> bool:
        """Whether it failed, and it is not known why: the run, or a phased run's step, of which several may fail."""
        unknown = any(step.phase and step.state == "Failed" and not step.sentence for step in self.steps)
        return self.state == "Error" and (unknown or not self.cause)


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """One file among a run's results."""

    path: str
    size: int


def run_view(document: Mapping[str, Any]) -> RunView:
    """A run from the API's JSON."""
    cause, condition = document.get("cause") or {}, document.get("condition") or {}
    return RunView(
        id=int(document["id"]),
        name=str(document.get("name") or ""),
        kind=str(document.get("kind") or "cwl"),
        owner=str(document.get("owner") or ""),
        state=str(document["state"]),
        workflow=str(document.get("workflow") or ""),
        created=_time(document.get("created")),
        ended=_time(document.get("ended")),
        steps=tuple(
            StepView(
                name=str(step["name"]),
                state=str(step["state"]),
                started=_time(step.get("started")),
                ended=_time(step.get("ended")),
                attempt=step.get("attempt"),
                phase=str(step.get("phase") or ""),
                entry=str(step.get("entry") or ""),
                sentence=str(step.get("sentence") or ""),
            )
            for step in document.get("steps") or ()
        ),
        cause=str(cause.get("sentence") or ""),
        cause_details=str(cause.get("text") or ""),
        condition=str(condition.get("sentence") or ""),
        warnings=tuple(str(one) for one in document.get("warnings") or ()),
        attempts=tuple(
            AttemptView(
                step=str(one["step"]),
                number=int(one["attempt"]),
                state=str(one["state"]),
                job=str(one.get("job") or ""),
                began=_time(one.get("began")),
                ended=_time(one.get("ended")),
                category=str(one.get("category") or ""),
                sentence=str(one.get("sentence") or ""),
            )
            for one in document.get("attempts") or ()
        ),
        results=str(document.get("outputs") or ""),
        document=document,
    )


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None
