"""What became of a step's Job, and why, from the Job, its pods and their events. Pure.

The Job's own conditions decide whether it has ended; its pods say why, by the rules of
:mod:`lando.k8s.diagnose_ends` and :mod:`lando.k8s.diagnose_waits`. A Job without a condition fails here only for a
state that can't pass, or that has lasted longer than patience.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from lando.k8s import diagnose_ends, diagnose_waits
from lando.k8s.findings import Finding, PodRule, Wait
from lando.k8s.pod_facts import (
    ENDED_PHASES,
    Manifest,
    events_of,
    mapping,
    moment,
    newest_first,
    phase,
    true_condition,
)
from lando.runs import Category, Cause

NOTICEABLE = timedelta(seconds=10)
"""What every pod goes through for a moment (no pod yet, no scheduler yet) is a wait worth naming only after this."""


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
    recheck_at: datetime | None = None
    """When to judge again though nothing has changed: a wait becomes worth naming, or patience ends."""


def diagnose(
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    *,
    now: datetime,
    patience: timedelta,
    log_tail: str = "",
) -> Diagnosis:
    """Judge ``job`` by its conditions, its pods' states and their events.

    ``pods`` of a Job that has failed may hold the last known state of pods that are gone. ``events`` may be all of
    the namespace.
    ``log_tail`` becomes part of the cause of a failure.
    """
    if true_condition(job, "Complete"):
        return Diagnosis(verdict=Verdict.COMPLETE)
    if entry := true_condition(job, "Failed"):
        return _failed(_why_failed(job, entry.get("reason"), pods, events), log_tail)
    if mapping(job.get("metadata")).get("deletionTimestamp") or true_condition(job, "SuccessCriteriaMet"):
        return Diagnosis(verdict=Verdict.RUNNING)
    if entry := true_condition(job, "FailureTarget"):
        # It has failed, but its last pods are not gone; a lost node never says that they are.
        finding = _why_failed(job, entry.get("reason"), pods, events)
        return _after(finding, moment(entry.get("lastTransitionTime")), now, patience, log_tail)
    if mapping(job.get("spec")).get("suspend") is True:
        cause = Cause(category=Category.RESOURCES, sentence="The Job is suspended until somebody resumes it.")
        return Diagnosis(verdict=Verdict.WAITING, cause=cause)
    return _judge(_hindrance(job, pods, events), now, patience, log_tail)


def _why_failed(job: Manifest, reason: object, pods: Sequence[Manifest], events: Sequence[Manifest]) -> Finding:
    """Why a Job failed that has failed."""
    if reason == "DeadlineExceeded":
        hindered = (_first(diagnose_waits.NOT_STARTED, pod, events) for pod in pods if _never_started(pod))
        return diagnose_ends.deadline(job, next((found for found in hindered if found is not None), None))
    # A failed Job's other pods are deleted by its controller: the one that was not deleted is to blame.
    by_blame = sorted(newest_first(pods), key=lambda pod: bool(mapping(pod.get("metadata")).get("deletionTimestamp")))
    for pod in by_blame:
        if found := _first(diagnose_ends.ENDED, pod, events):
            return found
    return diagnose_ends.unexplained(job, bool(pods))


def _hindrance(job: Manifest, pods: Sequence[Manifest], events: Sequence[Manifest]) -> Finding | None:
    """What keeps an unfinished Job from its work, if anything does: nothing while one of its pods gets on."""
    if not pods:
        return diagnose_waits.no_pod(job, events_of(job, events))
    unfinished = [pod for pod in newest_first(pods) if phase(pod) not in ENDED_PHASES]
    if not unfinished:
        return diagnose_waits.unheeded_end(job, newest_first(pods)[0])
    findings = []
    for pod in unfinished:
        found = _first(diagnose_waits.UNFINISHED, pod, events) if diagnose_waits.is_hindered(pod) else None
        if found is None:
            return None
        findings.append(found)
    return findings[0]


def _judge(finding: Finding | None, now: datetime, patience: timedelta, log_tail: str) -> Diagnosis:
    if finding is None:
        return Diagnosis(verdict=Verdict.RUNNING)
    if finding.wait is Wait.NONE:
        return _failed(finding, log_tail)
    if finding.wait is Wait.ENDLESS:
        return Diagnosis(verdict=Verdict.WAITING, cause=finding.cause)
    return _after(finding, finding.since, now, patience, log_tail)


def _after(finding: Finding, since: datetime | None, now: datetime, patience: timedelta, log_tail: str) -> Diagnosis:
    """A wait since ``since`` until patience ends, then a failure."""
    start = since or now
    ends, noticed = start + patience, start + min(NOTICEABLE, patience)
    if now >= ends:
        return _failed(finding, log_tail)
    if now < noticed:
        return Diagnosis(verdict=Verdict.RUNNING, recheck_at=noticed)
    return Diagnosis(verdict=Verdict.WAITING, cause=finding.cause, recheck_at=ends)


def _failed(finding: Finding, log_tail: str) -> Diagnosis:
    return Diagnosis(verdict=Verdict.FAILED, cause=replace(finding.cause, log_tail=log_tail))


def _first(rules: Sequence[PodRule], pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    about = events_of(pod, events)
    return next((found for rule in rules if (found := rule(pod, about)) is not None), None)


def _never_started(pod: Manifest) -> bool:
    return diagnose_waits.is_hindered(pod) and phase(pod) != "Running"
