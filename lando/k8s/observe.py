"""What the cluster holds of one run: one list of each kind by the run's labels, side by side, judged by diagnosis."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from lando import labels, logs
from lando.decide import JobPhase, ObjectRef, Observed, ObservedJob, Plan, RunRecord
from lando.errors import NotFound, PeerError
from lando.k8s import record
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis import Diagnosis, Verdict, diagnose
from lando.k8s.diagnosis.evidence import evidence as document
from lando.k8s.diagnosis.facts import (
    ENDED_PHASES,
    claims,
    created,
    log_source,
    mapping,
    moment,
    name,
    newest_first,
    objects,
    phase,
    termination_message,
    true_condition,
    uid,
)
from lando.messages import Evidence
from lando.plans import StepTimes
from lando.runs import Cause, VolumeUse

LOG_LINES = 400  # of a failed container, from its end
LOG_BYTES = 56 * 1024  # of those; a job error holds 64 KiB with its cause
EVENTS_ASKED = 20  # objects whose events are asked for one by one; for more, all of the namespace are read once
OUTPUT_IDS = ("project_id", "readme_file_id")
_KINDS = ("Job", "Pod", "ConfigMap", "PersistentVolumeClaim")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was observed, and the objects it was read from."""

    observed: Observed
    jobs: Mapping[ObjectRef, Manifest] = field(default_factory=dict)
    uids: Mapping[ObjectRef, str] = field(default_factory=dict)
    """Of everything that was seen: what is deleted is that very object."""
    pods: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    """By the UID of their Job."""
    times: Mapping[str, StepTimes] = field(default_factory=dict)
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By step: what a failure or wait was read from, for the archive."""
    recheck_at: datetime | None = None
    """When to look again though nothing has changed."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One list of each kind and the record, under way side by side."""

    selector: str
    lists: Mapping[str, Future[list[Manifest]]]
    record: Future[RunRecord | None]


def read(cluster: Cluster, selector: str, record_ref: ObjectRef, pool: Executor) -> Reading:
    """Begin to read all that has the run's labels, and its record."""
    return Reading(
        selector=selector,
        lists={kind: pool.submit(cluster.list, kind, selector) for kind in _KINDS},
        record=pool.submit(read_record, cluster, record_ref),
    )


def observe(
    cluster: Cluster,
    plan: Plan,
    reading: Reading,
    *,
    now: datetime,
    patience: timedelta,
    waits_count_from: datetime | None = None,
    evidence: Evidence | None = None,
    settled: Collection[str] = (),
) -> Observation:
    """What ``reading`` has found. ``evidence`` only lends its log and last words when there are none here; why the Jobs
    of ``settled`` steps ended is told already and not asked for again."""
    items = {kind: future.result() for kind, future in reading.lists.items()}
    run_record = reading.record.result()
    pods_by_job = _by_owner(items["Pod"])
    live: set[ObjectRef] = set()
    dying: set[ObjectRef] = set()
    for kind in ("Job", "ConfigMap", "PersistentVolumeClaim"):
        for item in items[kind]:
            (dying if _is_deleting(item) else live).add(ObjectRef(kind, name(item)))
    job_uids = {uid(job) for job in items["Job"]}
    dying |= _outlived(plan, items["Pod"], job_uids)
    live |= {ObjectRef("Pod", name(pod)) for pod in items["Pod"] if is_orphan(pod, job_uids)}
    jobs: dict[str, ObservedJob] = {}
    times: dict[str, StepTimes] = {}
    seen: dict[str, Mapping[str, Any]] = {}
    rechecks = []
    is_read_again = False
    said = _Said(cluster)
    steps = {step.job.name: step.name for step in plan.steps if step.job}
    for job in items["Job"]:
        key = labels.step_key(mapping(mapping(job.get("metadata")).get("labels")))
        if key is None or steps.get(name(job)) != key.step:
            continue  # an operator's copy of a step carries the labels, too
        pods = pods_by_job.get(uid(job), [])
        if _has_ended(job) and not _ended(pods) and not is_read_again and key.step not in settled:
            # The list of pods may be older than that of Jobs.
            is_read_again = True
            pods_by_job |= _by_owner(cluster.list("Pod", reading.selector))
            pods = pods_by_job.get(uid(job), pods)
        events = _events(said, job, pods) if key.step not in settled else []
        with logs.about(step=key.step, job_uid=uid(job)):
            diagnosis = _diagnose(
                cluster,
                job,
                pods,
                events,
                now=now,
                patience=patience,
                waits_count_from=waits_count_from,
                evidence=evidence,
                with_log=key.step not in settled,
            )
        jobs[key.step] = _observed_job(job, pods, diagnosis, evidence)
        if diagnosis.cause is not None:
            attempt = jobs[key.step].attempt
            seen[key.step] = document(diagnosis, attempt=attempt, job=job, pods=pods, events=events, now=now)
        times[key.step] = _times(job)
        if diagnosis.recheck_at is not None:
            rechecks.append(diagnosis.recheck_at)
    return Observation(
        observed=Observed(record=run_record, jobs=jobs, objects=frozenset(live), dying=frozenset(dying)),
        jobs={ObjectRef("Job", name(job)): job for job in items["Job"]},
        uids={ObjectRef(kind, name(item)): uid(item) for kind, seen_items in items.items() for item in seen_items},
        pods=pods_by_job,
        times=times,
        evidence=seen,
        recheck_at=min(rechecks, default=None),
    )


def read_record(cluster: Cluster, ref: ObjectRef) -> RunRecord | None:
    """The run record; None when there is none, or none for long."""
    try:
        config_map = cluster.get(ref.kind, ref.name)
    except NotFound:
        return None
    return None if _is_deleting(config_map) else record.read(config_map)


def _is_deleting(item: Manifest) -> bool:
    return bool(mapping(item.get("metadata")).get("deletionTimestamp"))


def owning_job(pod: Manifest) -> str:
    """UID of the Job that made ``pod``, also of one that was deleted with its pods orphaned; empty when none did."""
    metadata = mapping(pod.get("metadata"))
    for reference in objects(metadata.get("ownerReferences")):
        if reference.get("kind") == "Job":
            return str(reference.get("uid", ""))
    made_by = mapping(metadata.get("labels"))
    return str(next((made_by[label] for label in labels.CONTROLLER_UID if label in made_by), ""))


def is_orphan(pod: Manifest, job_uids: set[str]) -> bool:
    """Whether ``pod`` is a step's whose Job was deleted without it: no garbage collection ever takes it away."""
    metadata = mapping(pod.get("metadata"))
    has_owner = any(one.get("kind") == "Job" for one in objects(metadata.get("ownerReferences")))
    if has_owner or metadata.get("deletionTimestamp") or labels.step_key(mapping(metadata.get("labels"))) is None:
        return False
    return owning_job(pod) not in job_uids | {""}


def _by_owner(pods: Sequence[Manifest]) -> dict[str, list[Manifest]]:
    found: dict[str, list[Manifest]] = {}
    for pod in pods:
        found.setdefault(owning_job(pod), []).append(pod)
    return found


def _outlived(plan: Plan, pods: Sequence[Manifest], job_uids: set[str]) -> set[ObjectRef]:
    """The Jobs whose pods are still at work though the Jobs themselves are gone: they still write to the volumes."""
    by_step = {step.name: step.job for step in plan.steps if step.job}
    found = set()
    for pod in pods:
        key = labels.step_key(mapping(mapping(pod.get("metadata")).get("labels")))
        if key is None or phase(pod) in ENDED_PHASES or owning_job(pod) in job_uids:
            continue
        ref = by_step.get(key.step)
        if ref is not None and owning_job(pod):
            found.add(ref)
    return found


class _Said:
    """Events by the object that they are about, for a bounded number of requests however many objects wait."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked = 0
        self._all: dict[str, list[Manifest]] | None = None

    def about(self, names: Sequence[str]) -> list[Manifest]:
        self._asked += len(names)
        if self._asked <= EVENTS_ASKED:
            fields = (f"involvedObject.name={one}" for one in names)
            return [event for field_selector in fields for event in self._cluster.list("Event", "", field_selector)]
        if self._all is None:
            self._all = {}
            for event in self._cluster.list("Event"):
                self._all.setdefault(str(mapping(event.get("involvedObject")).get("name")), []).append(event)
        return [event for one in names for event in self._all.get(one, ())]


def _events(said: _Said, job: Manifest, pods: Sequence[Manifest]) -> list[Manifest]:
    """What is said about the Job, its pods and their volume claims; not asked for while all goes well."""
    if true_condition(job, "Complete") or any(phase(pod) in ("Running", "Succeeded") for pod in pods):
        return []
    unplaced = [pod for pod in pods if phase(pod) == "Pending" and not mapping(pod.get("spec")).get("nodeName")]
    about = [name(job), *(name(pod) for pod in pods), *(claim for pod in unplaced for claim in claims(pod))]
    return said.about(list(dict.fromkeys(about)))


def _diagnose(
    cluster: Cluster,
    job: Manifest,
    pods: Sequence[Manifest],
    events: Sequence[Manifest],
    *,
    now: datetime,
    patience: timedelta,
    waits_count_from: datetime | None,
    evidence: Evidence | None,
    with_log: bool,
) -> Diagnosis:
    judge = partial(diagnose, job, pods, events, now=now, patience=patience, waits_count_from=waits_count_from)
    diagnosis = judge()
    if diagnosis.verdict is not Verdict.FAILED or diagnosis.cause is None or not with_log:
        return diagnosis
    tail = _log_tail(cluster, pods)
    if not tail and evidence is not None and evidence.uid in (None, uid(job)):
        tail = evidence.log_tail
    return judge(log_tail=tail)


def _log_tail(cluster: Cluster, pods: Sequence[Manifest]) -> str:
    source = log_source(pods)
    if source is None:
        return ""
    try:
        return cluster.pod_log(*source, tail_lines=LOG_LINES, limit_bytes=LOG_BYTES)
    except PeerError as error:
        # The pod went, its container never started, or its node is lost: the cause has to do without.
        log.info("There is no log of %s/%s: %s", *source, error)
        return ""


def _has_ended(job: Manifest) -> bool:
    return any(true_condition(job, kind) is not None for kind in ("Complete", "Failed"))


def _ended(pods: Sequence[Manifest]) -> list[Manifest]:
    return [pod for pod in pods if phase(pod) in ENDED_PHASES]


def _observed_job(
    job: Manifest, pods: Sequence[Manifest], diagnosis: Diagnosis, evidence: Evidence | None
) -> ObservedJob:
    annotations = mapping(mapping(job.get("metadata")).get("annotations"))
    attempt = str(annotations.get(labels.ATTEMPT, "1"))
    told = termination_message(pods)
    if told is None and evidence is not None and evidence.uid == uid(job):
        told = evidence.termination_message
    message = mapping(told)
    owners = objects(mapping(job.get("metadata")).get("ownerReferences"))
    cause: Cause | None = diagnosis.cause
    warnings = message.get("warnings")
    return ObservedJob(
        uid=uid(job),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        record_uid=next((str(one.get("uid")) for one in owners if one.get("kind") == "ConfigMap"), None),
        deleting=_is_deleting(job),
        ended=_has_ended(job),
        phase=JobPhase[diagnosis.verdict.name],
        cause=cause,
        ids=_ids(message) or _annotated_ids(pods),
        unheard=not _ended(pods),
        warnings=tuple(str(warning) for warning in warnings) if isinstance(warnings, list) else (),
        volume=_volume(mapping(message.get("volume"))),
        created=created(job),
    )


def _volume(told: Mapping[str, Any]) -> VolumeUse | None:
    used, size = told.get("used"), told.get("size")
    is_right = all(type(amount) is int and 0 <= amount < 2**63 for amount in (used, size))
    return VolumeUse(used=int(used or 0), size=int(size or 0)) if is_right and size else None


def _ids(told: Mapping[str, Any]) -> dict[str, str]:
    """Both ids, or nothing."""
    ids = {key: told.get(key) for key in OUTPUT_IDS}
    return {key: value for key, value in ids.items() if isinstance(value, str)} if all(ids.values()) else {}


def _annotated_ids(pods: Sequence[Manifest]) -> dict[str, str]:
    """As the original's record step leaves them: annotations of its pod; the newest pod with both wins."""
    for pod in newest_first(pods):
        if ids := _ids(mapping(mapping(pod.get("metadata")).get("annotations"))):
            return ids
    return {}


def _times(job: Manifest) -> StepTimes:
    status = mapping(job.get("status"))
    return StepTimes(started=_iso(status.get("startTime")), finished=_iso(status.get("completionTime")))


def _iso(value: object) -> str:
    parsed = moment(value)
    return parsed.astimezone(UTC).isoformat().replace("+00:00", "Z") if parsed else ""
