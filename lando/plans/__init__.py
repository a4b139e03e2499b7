"""What each kind of run consists of: one planner per kind, from a run to its plan and its Kubernetes objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lando.decide import Plan
from lando.runs import Run

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """When a step's Job started and ended, UTC, ISO 8601 with ``Z``; empty when unknown."""

    started: str = ""
    finished: str = ""


@dataclass(frozen=True, kw_only=True)
class Making:
    """What the objects of a step are made with, besides the run itself."""

    attempt: int
    record_uid: str
    """UID of the run record, which owns them."""
    inputs: Any = None
    """What :meth:`Planner.inputs` named, as the source gave it."""
    times: Mapping[str, StepTimes]
    """Of the steps whose Jobs are still there."""


class Planner(Protocol):
    """Plans runs of one kind. Pure: the source is asked by whoever calls."""

    def labels(self, run_id: int) -> Mapping[str, str]:
        """The labels that everything a run consists of carries (the run record apart)."""
        ...

    def plan(self, run: Run) -> Plan:
        """The run's steps; what is wrong with its description is part of the plan, never raised."""
        ...

    def inputs(self, step: str) -> str | None:
        """What has to be asked of the source before the step's objects can be made; None for nothing."""
        ...

    def objects(self, run: Run, step: str, making: Making) -> list[Manifest]:
        """The manifests of a step, the Job last; :class:`lando.errors.StepError` when its input forbids it."""
        ...
