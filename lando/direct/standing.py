"""How the Jobs of a model, or of every model of a namespace, stand in the cluster now, and who runs them.

Read off the Jobs' labels, their conditions and the Leases; needs no run and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lando.direct import lease_record
from lando.direct.holder import Holder
from lando.direct.judging import diagnose
from lando.direct.lease_record import Record
from lando.errors import PeerError
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis import Verdict
from lando.k8s.diagnosis.facts import created, mapping, moment, name, true_condition, uid
from lando.phases.labels import ENTRY, PHASE, is_of
from lando.phases.model import Model
from lando.runs import Cause


@dataclass(frozen=True, kw_only=True)
class JobStanding:
    """One Job."""

    job: str
    entry: str
    phase: str
    """As the label has it; of a Job that is absent, as the model does."""
    state: str
    """``absent``, ``running``, ``waiting``, ``complete``, ``failed``, ``foreign`` (somebody else's of that name), or
    ``complete, gone`` (removed by its ttlSecondsAfterFinished)."""
    began: datetime | None = None
    duration_s: float | None = None
    """Of its run, or so far."""
    cause: Cause | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """All of them, at one moment."""

    namespace: str
    jobs: tuple[JobStanding, ...]
    runs: tuple[str, ...] = ()
    """Who runs them, a sentence each."""


def of_model(model: Model, cluster: Cluster, now: datetime) -> Standing:
    """The Jobs of ``model``, in its order, also those that are absent. Raises as any call to the cluster."""
    files = {job.name: job for job in model.jobs()}
    found = {name(job): job for job in cluster.list("Job", ENTRY)}
    ours = {
        key: job
        for key, job in found.items()
        if key in files and is_of(mapping(mapping(job.get("metadata")).get("labels")), files[key])
    }
    standings = {one.job: one for one in _standings(list(ours.values()), cluster, now)}
    strangers = set(found) - set(ours)
    if files.keys() - found.keys():
        strangers |= {name(job) for job in cluster.list("Job", f"!{ENTRY}")}
    leases = _leases(cluster)
    digests = lease_record.digests(files)
    own = next((lease for lease in leases if lease.name == lease_record.lease_name(files)), None)
    jobs = []
    for file in files.values():
        state = "foreign" if file.name in strangers else "absent"
        duration_s = None
        if state == "absent" and own is not None and file.name in own.complete:
            state, duration_s = "complete, gone", own.complete[file.name].duration_s
        missing = JobStanding(
            job=file.name, entry=file.entry, phase=str(file.phase), state=state, duration_s=duration_s
        )
        jobs.append(standings.get(file.name, missing))
    return Standing(
        namespace=cluster.namespace,
        jobs=tuple(jobs),
        runs=tuple(_runs((lease for lease in leases if lease.jobs & digests), now)),
    )


def of_namespace(cluster: Cluster, now: datetime) -> Standing:
    """The Jobs of every model there, by phase and name. Raises as any call to the cluster."""
    jobs = _standings(cluster.list("Job", ENTRY), cluster, now)
    jobs.sort(key=lambda one: (len(one.phase), one.phase, one.entry, one.job))
    return Standing(namespace=cluster.namespace, jobs=tuple(jobs), runs=tuple(_runs(_leases(cluster), now)))


def _standings(jobs: Sequence[Manifest], cluster: Cluster, now: datetime) -> list[JobStanding]:
    pods: dict[str, list[Manifest]] = {}
    events: list[Manifest] = []
    if not all(true_condition(job, "Complete") for job in jobs):
        for pod in _if_allowed(cluster, "Pod", label_selector="job-name"):
            for owner in mapping(pod.get("metadata")).get("ownerReferences") or []:
                pods.setdefault(str(mapping(owner).get("uid")), []).append(pod)
        events = _if_allowed(cluster, "Event", field_selector="type=Warning")
    return [_standing(job, pods.get(uid(job), []), events, now) for job in jobs]


def _if_allowed(cluster: Cluster, kind: str, *, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
    """What only makes causes longer."""
    try:
        return cluster.list(kind, label_selector, field_selector)
    except PeerError:
        return []


def _standing(job: Manifest, pods: Sequence[Manifest], events: Sequence[Manifest], now: datetime) -> JobStanding:
    labels, status = mapping(mapping(job.get("metadata")).get("labels")), mapping(job.get("status"))
    diagnosis = diagnose(job, pods, events, now=now)
    ended = true_condition(job, "Complete") or true_condition(job, "Failed")
    state = diagnosis.verdict.name.lower()
    if diagnosis.verdict is Verdict.FAILED and not ended:
        state = "waiting"
    began = moment(status.get("startTime")) or created(job)
    until = now
    if ended is not None:
        until = moment(status.get("completionTime")) or moment(ended.get("lastTransitionTime")) or now
    return JobStanding(
        job=name(job),
        entry=str(labels.get(ENTRY, "")),
        phase=str(labels.get(PHASE, "")),
        state=state,
        began=began,
        duration_s=max((until - began).total_seconds(), 0.0) if began is not None else None,
        cause=diagnosis.cause if state in ("waiting", "failed") else None,
    )


def _leases(cluster: Cluster) -> list[Record]:
    try:
        return [lease_record.read(lease) for lease in cluster.list("Lease", lease_record.LABEL)]
    except PeerError:  # without the right to read them, who runs a model can't be told
        return []


def _runs(leases: Iterable[Record], now: datetime) -> Iterator[str]:
    for lease in sorted(leases, key=lambda one: one.seniority):
        if not lease.identity:
            continue
        renewed = moment(lease.renewed)
        silent = (now - renewed).total_seconds() if renewed is not None else 0.0
        sentence = f"Run by {lease.holder} since {lease.since}"
        if (holder := Holder.parse(lease.identity)) is not None and holder.is_gone():
            yield f"{sentence}, which is gone: the next run goes on."
            continue
        yield f"{sentence}, without a sign of life for {silent:.0f} s." if silent > lease.duration_s else f"{sentence}."
