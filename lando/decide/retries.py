"""How often a step is tried again, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

from lando.decide.model import Plan, PlannedStep, StepRecord
from lando.runs import Category, Cause

INTERRUPTIONS = 20
"""Orderly stops of nodes that a step may meet before they count as retries: nothing goes round for ever."""


def following(plan: Plan, step: PlannedStep, cause: Cause, record: StepRecord) -> StepRecord | None:
    """The attempt that is made after one that failed; None if there is none.

    What the cluster lost is made up for by Lando first, and then, as everything else, as often as the plan says.
    """
    if cause.lasting:
        return None
    again = replace(record, attempt=record.attempt + 1, uid=None)
    if cause.category is Category.INFRASTRUCTURE:
        if cause.interrupted and record.interruptions < INTERRUPTIONS:
            return replace(again, interruptions=record.interruptions + 1)
        if record.retries < plan.infrastructure_retries:
            return replace(again, retries=record.retries + 1)
    if record.own_retries < step.retries:
        return replace(again, own_retries=record.own_retries + 1)
    return None


def given_up(cause: Cause, record: StepRecord) -> Cause:
    """The cause of the last attempt, and how many there were."""
    tries = record.retries + record.interruptions + record.own_retries + 1
    is_lost = cause.category is Category.INFRASTRUCTURE
    if cause.lasting or tries == 1 or not (is_lost or record.own_retries):
        return cause
    if is_lost and not record.own_retries:
        advice = f"The cluster has lost the step {tries} times; Lando tries no more by itself. Restart the run once"
        return replace(cause, advice=f"{advice} the cluster is well again.")
    return replace(cause, advice=f"{cause.advice} It was tried {tries} times.".strip())


def counted(plan: Plan, step: PlannedStep, record: StepRecord, following: StepRecord) -> str:
    """Which retry ``following`` is."""
    if following.retries > record.retries:
        return f"retry {following.retries} of {plan.infrastructure_retries}"
    if following.own_retries > record.own_retries:
        return f"retry {following.own_retries} of {step.retries}"
    return "this is not counted as a retry"
