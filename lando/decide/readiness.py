"""Which steps may begin."""

from __future__ import annotations

from collections.abc import Mapping

from lando.decide.model import JobPhase, Observed, Plan, PlannedStep
from lando.runs import StepState


def is_ready(step: PlannedStep, steps: Mapping[str, StepState]) -> bool:
    """Whether the step may begin by what it needs."""
    return steps[step.name] is StepState.PENDING and all(steps[need] is StepState.COMPLETE for need in step.needs)


def next_steps(plan: Plan, steps: Mapping[str, StepState]) -> list[PlannedStep]:
    """Those that may begin now, as many as the plan lets run beside those that do."""
    room = len(plan.steps)
    if plan.parallel:
        room = plan.parallel - sum(1 for step in plan.steps if step.job and steps[step.name] is StepState.RUNNING)
    are_met: dict[int, bool] = {}  # by what is needed, which the steps of a phase share
    found = []
    for step in plan.steps:
        if steps[step.name] is not StepState.PENDING or (step.job is not None and room <= 0):
            continue
        shared = id(step.needs)
        if shared not in are_met:
            are_met[shared] = all(steps[need] is StepState.COMPLETE for need in step.needs)
        if are_met[shared]:
            found.append(step)
            room -= step.job is not None
    return found


def is_spared(step: PlannedStep, observed: Observed) -> bool:
    """Whether another step's report makes this one's Job needless."""
    by = observed.jobs.get(step.spared_by) if step.spared_by else None
    return by is not None and by.phase is JobPhase.COMPLETE and bool(by.ids)
