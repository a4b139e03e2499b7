"""What became of a step's Job, and why, from the Job, its pods and their events. Pure.

The Job's own conditions decide whether it has ended; its pods say why, by the table of rules. A Job without a
condition fails here only for a state that can't pass, or that has lasted longer than patience.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from lando import labels
from lando.k8s.diagnosis import signs
from lando.k8s.diagnosis.facts import (
    ENDED_PHASES,
    Manifest,
    mapping,
    moment,
    newest_first,
    phase,
    true_condition,
)
from lando.k8s.diagnosis.rules import Finding, Sign, Wait, first_match
from lando.k8s.diagnosis.table import RULES
from lando.k8s.diagnosis.wording import of_a_job
from lando.runs import Cause

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
    finding: Finding | None = None
    """Which rule spoke and what it saw; of a verdict with a cause."""


@dataclass(frozen=True)
class _Limit:
    """How long a wait may last."""

    now: datetime
    patience: timedelta
    counts_from: datetime | None


def diagnose(
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    *,
    now: datetime,
    patience: timedelta,
    waits_count_from: datetime | None = None,
    log_tail: str = "",
    hindrance: Cause | None = None,
) -> Diagnosis:
    """Judge ``job`` by its conditions, its pods' states and their events.

    ``pods`` of a Job that has failed may hold the last known state of pods that are gone. ``events`` may be all of
    the namespace; those of the pods' volume claims count, too.
    ``log_tail`` becomes part of the cause of a failure. Patience ends no sooner than it would for a wait that began at
    ``waits_count_from``. ``hindrance`` is what a Job waited for when it was last seen: where its deadline ended it, its
    pods may be gone, or no longer tell. Of a phased run's Jobs the cause speaks as :func:`.wording.of_a_job`.
    """
    judged = _judged(job, pods, events, _Limit(now, patience, waits_count_from), log_tail, hindrance)
    return judged if judged.cause is None else replace(judged, cause=_in_its_words(job, judged.cause))


def _judged(
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    limit: _Limit,
    log_tail: str,
    hindrance: Cause | None,
) -> Diagnosis:
    if true_condition(job, "Complete"):
        return Diagnosis(verdict=Verdict.COMPLETE)
    if entry := true_condition(job, "Failed"):
        return _failed(_why_failed(job, entry, pods, events, log_tail, hindrance), log_tail)
    if mapping(job.get("metadata")).get("deletionTimestamp") or true_condition(job, "SuccessCriteriaMet"):
        return Diagnosis(verdict=Verdict.RUNNING)
    if entry := true_condition(job, "FailureTarget"):
        # It has failed, but its last pods are not gone; a lost node never says that they are.
        finding = _why_failed(job, entry, pods, events, log_tail, hindrance)
        return _after(finding, moment(entry.get("lastTransitionTime")), limit, log_tail)
    if mapping(job.get("spec")).get("suspend") is True:
        return _judge(_first([signs.of_job_state(job, "Suspended")]), limit, log_tail)
    return _judge(_hindrance(job, pods, events), limit, log_tail)


def deleted(job: Manifest) -> Cause:
    """The cause where a Job was deleted before it had ended."""
    return _in_its_words(job, _certain([signs.of_job_state(job, "Deleted")]).cause)


def _in_its_words(job: Manifest, cause: Cause) -> Cause:
    """The service's phased runs consist of Jobs that their owner wrote."""
    kind = mapping(mapping(job.get("metadata")).get("labels")).get(labels.RUN_KIND)
    return of_a_job(cause) if kind == "phases" else cause


def _why_failed(
    job: Manifest,
    entry: Mapping[str, object],
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    log_tail: str,
    hindrance: Cause | None,
) -> Finding:
    """Why a Job failed that has failed, by its condition ``entry``."""
    if entry.get("reason") == "DeadlineExceeded":
        unstarted = [pod for pod in pods if signs.is_hindered(pod) and phase(pod) != "Running"]
        hindered = (_first(signs.of_pod_not_started(pod, events)) for pod in unstarted)
        seen = next((found.cause for found in hindered if found is not None), hindrance)
        return _certain([signs.of_deadline(job, seen)])
    # A failed Job's other pods are deleted by its controller: the one that was not deleted is to blame.
    by_blame = sorted(newest_first(pods), key=lambda pod: bool(mapping(pod.get("metadata")).get("deletionTimestamp")))
    for pod in by_blame:
        if found := _first(signs.of_ended_pod(pod, log_tail)):
            return found
    return _certain([signs.of_failed_job(job, entry, has_pods=bool(pods))])


def _hindrance(job: Manifest, pods: Sequence[Manifest], events: Sequence[Manifest]) -> Finding | None:
    """What keeps an unfinished Job from its work, if anything does: nothing while one of its pods gets on."""
    if not pods:
        return _first(signs.of_job_without_pods(job, events))
    unfinished = [pod for pod in newest_first(pods) if phase(pod) not in ENDED_PHASES]
    if not unfinished:
        return _first(signs.of_unheeded_end(job, newest_first(pods)[0]))
    findings = []
    for pod in unfinished:
        found = _first(signs.of_hindered_pod(pod, events)) if signs.is_hindered(pod) else None
        if found is None:
            return None
        findings.append(found)
    return findings[0]


def _judge(finding: Finding | None, limit: _Limit, log_tail: str) -> Diagnosis:
    if finding is None:
        return Diagnosis(verdict=Verdict.RUNNING)
    if finding.wait is Wait.NONE:
        return _failed(finding, log_tail)
    if finding.wait is Wait.ENDLESS:
        return Diagnosis(verdict=Verdict.WAITING, cause=finding.cause, finding=finding)
    return _after(finding, finding.since, limit, log_tail)


def _after(finding: Finding, since: datetime | None, limit: _Limit, log_tail: str) -> Diagnosis:
    """A wait since ``since`` until patience ends, then a failure."""
    start = since or limit.now
    ends, noticed = max(start, limit.counts_from or start) + limit.patience, start + min(NOTICEABLE, limit.patience)
    if limit.now >= ends:
        return _failed(finding, log_tail)
    if limit.now < noticed:
        return Diagnosis(verdict=Verdict.RUNNING, recheck_at=noticed)
    return Diagnosis(verdict=Verdict.WAITING, cause=finding.cause, recheck_at=ends, finding=finding)


def _failed(finding: Finding, log_tail: str) -> Diagnosis:
    cause = replace(finding.cause, log_tail=log_tail)
    return Diagnosis(verdict=Verdict.FAILED, cause=cause, finding=finding)


def _first(shown: Iterable[Sign]) -> Finding | None:
    return first_match(RULES, shown)


def _certain(shown: Iterable[Sign]) -> Finding:
    """For places whose last rule fits everything."""
    found = _first(shown)
    if found is None:
        raise AssertionError("no rule fits a place that always has one")
    return found
