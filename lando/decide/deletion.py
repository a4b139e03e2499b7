"""What is deleted, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    made = {
        step.name: step.job
        for step in plan.steps
        if step.job in observed.objects and step.job not in gone and step.name in observed.jobs
    }
    created = {name: observed.jobs[name].created for name in made if not observed.jobs[name].found}
    return {name: made[name] for name in newest_first(created, [step.name for step in plan.steps])}


def newest_first(created: Mapping[str, datetime | None], order: Iterable[str]) -> list[str]:
    """The Jobs ``created`` names, by when they were; of those of one moment the last of ``order`` comes first."""
    number = {name: number for number, name in enumerate(order)}
    unknown = datetime.min.replace(tzinfo=UTC)
    return sorted(created, key=lambda name: (created[name] or unknown, number[name]), reverse=True)


def revert(plan: Plan, observed: Observed) -> list[Action]:
    """One after the other, so that their order holds."""
    return [Delete(refs=(ref,)) for ref in to_revert(plan, observed).values()]
