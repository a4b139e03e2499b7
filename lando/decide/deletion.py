"""What is deleted, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from lando.decide.model import Action, Delete, JobPhase, ObjectRef, Observed, Plan
from lando.runs import OnFailure


def delete(refs: Iterable[ObjectRef]) -> list[Action]:
    """Jobs first, so that no pod misses its volume; volumes last."""
    ordered = sorted(refs, key=lambda ref: (ref.kind != "Job", ref.kind == "PersistentVolumeClaim", ref.name))
    return [Delete(refs=tuple(ordered))] if ordered else []


def futile(plan: Plan, observed: Observed) -> frozenset[ObjectRef]:
    """Jobs that failed after patience: what they waited for may come, and their pods begin for nothing."""
    failed = {name for name, job in observed.jobs.items() if job.phase is JobPhase.FAILED and not job.ended}
    return observed.objects & {step.job for step in plan.steps if step.job and step.name in failed}


def to_revert(plan: Plan, observed: Observed) -> dict[str, ObjectRef]:
    """By step, the Jobs that go when this run has failed: those it made, the newest first."""
    if plan.on_failure is not OnFailure.REVERT:
        return {}
    gone = futile(plan, observed)
    made = [
        (observed.jobs[step.name].created or datetime.min.replace(tzinfo=UTC), number, step.name, step.job)
        for number, step in enumerate(plan.steps)
        if step.job in observed.objects and step.job not in gone and step.name in observed.jobs
    ]
    return {
        name: ref for _, _, name, ref in sorted(made, reverse=True) if ref is not None and not observed.jobs[name].found
    }


def revert(plan: Plan, observed: Observed) -> list[Action]:
    """One after the other, so that their order holds."""
    return [Delete(refs=(ref,)) for ref in to_revert(plan, observed).values()]
