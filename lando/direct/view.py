"""The Jobs of one model as the cluster shows them: what the reflectors saw and what this run itself did, judged.

What was just created or deleted counts at once, before a watch tells of it. Each Job is judged anew only when
something about it has changed, so that a round costs what has changed and not what there is.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from lando import labels
from lando.decide import JobPhase, ObjectRef, ObservedJob
from lando.direct.judging import diagnose
from lando.direct.waiting import Calls, Waiting
from lando.errors import NotFound, PeerError, Unavailable
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis import Verdict
from lando.k8s.diagnosis.facts import (
    ENDED_PHASES,
    created,
    log_source,
    mapping,
    moment,
    name,
    phase,
    true_condition,
    uid,
)
from lando.k8s.observe import owning_job
from lando.k8s.reflector import Change, ChangeType
from lando.k8s.sightings import Sighting, Sightings
from lando.phases.labels import DIGEST, RUN, is_of
from lando.phases.model import JobFile, Model
from lando.runs import Category, Cause, cut_middle

LOG_LINES = 400  # of a failed container, from its end
LOG_BYTES = 56 * 1024  # of those
LOG_TRIES = 2
CONFIRM_S = 30.0  # after which a Job that was made and that no watch has told of is asked for


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How one Job of the model stands."""

    uid: str
    job: ObservedJob
    waits: Cause | None
    """Why it does not get on."""
    duration_s: float | None
    """Of its run, once it has ended."""
    digest: str | None
    """Of the file it was made from; None where the original made it."""
    is_gone: bool
    """It ended before it went; what is told here is its last state."""
    recheck_at: datetime | None

    @property
    def is_failed(self) -> bool:
        return self.job.phase is JobPhase.FAILED


class View:
    """``on_…`` are for the reflectors' threads; all else is for the one thread that decides."""

    def __init__(
        self,
        model: Model,
        cluster: Cluster,
        *,
        calls: Calls,
        waiting: Waiting,
        now: Callable[[], datetime],
        confirm_s: float = CONFIRM_S,
    ) -> None:
        self._files = {job.name: job for job in model.jobs()}
        self._cluster = cluster
        self._calls = calls
        self._waiting = waiting
        self._now = now
        self._confirm_s = confirm_s
        self._sightings = Sightings()
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._names: dict[str, str] = {}
        """Names of Jobs by UID, also of those that are no more."""
        self._current: dict[str, str] = {}
        """UID of the newest Job of each name."""
        self._at_work: dict[str, dict[str, Manifest]] = defaultdict(dict)
        """Pods that have not ended, by their UID, by the name of their Job, present or former."""
        self._foreign: set[str] = set()
        self._unconfirmed: dict[str, float] = {}
        """When Jobs were made that no watch has told of yet, by UID."""
        self._removed: set[str] = set()
        """UIDs of what this run deleted."""
        self._seen: dict[str, Seen] = {}
        self._held: set[str] = set()
        self._found: set[str] = set()
        self._causes: dict[str, Cause] = {}
        """Why Jobs failed, by UID."""
        self._hindrances: dict[str, Cause] = {}
        """What Jobs wait for, or waited for until they ended, by UID."""

    # -- from the reflectors -------------------------------------------------------------------------------------

    def on_job(self, change: Change) -> None:
        """A Job was added, changed or deleted; those of other models are passed over."""
        with self._lock:
            self._unconfirmed.pop(change.uid, None)
            self._note_job(change)

    def on_pod(self, change: Change) -> None:
        job = str(mapping(mapping(change.object.get("metadata")).get("labels")).get("job-name"))
        if job not in self._files:
            return
        with self._lock:
            self._at_work[job].pop(change.uid, None)
            if change.type is not ChangeType.DELETED and phase(change.object) not in ENDED_PHASES:
                self._at_work[job][change.uid] = change.object
            self._sightings.on_pod(change)
            self._dirty.add(job)
        self._waiting.ring()

    def on_event(self, change: Change) -> None:
        self._note(self._sightings.on_event(change))

    # -- from the run --------------------------------------------------------------------------------------------

    def made(self, job: Manifest) -> None:
        """The run has made or met ``job``."""
        with self._lock:
            if uid(job) not in self._names:
                self._unconfirmed[uid(job)] = self._waiting.now()
                self._note_job(Change(type=ChangeType.ADDED, object=job))

    def removed(self, job_uid: str) -> None:
        """The run has deleted the Job of this UID."""
        with self._lock:
            self._removed.add(job_uid)
        self._note(job_uid)

    def foreign(self) -> list[str]:
        """Names of the model that Jobs of other entries have taken, as far as the watch shows them."""
        with self._lock:
            return sorted(self._foreign)

    def refresh(self) -> list[str]:
        """Judge anew what has changed or come due; the names of what was judged.

        Raises Stopped; what can't be read only makes causes shorter.
        """
        self._confirm()
        now = self._now()
        due = {job for job, seen in self._seen.items() if seen.recheck_at is not None and seen.recheck_at <= now}
        with self._lock:
            names, self._dirty = sorted(self._dirty | due), set()
        self._explain([job for job in names if self._has_failed_unexplained(job)], now)
        for job in names:
            self._judge(job, now)
        return names

    def begin(self, run: str) -> None:
        """What is there now was there before the run of this name, but for what it made before it was killed."""
        with self._lock:
            self._found = {job_uid for job_uid in self._names if self._made_by(job_uid) != run}
            self._dirty |= set(self._current)

    def seen(self) -> Mapping[str, Seen]:
        """By name, as of the last :meth:`refresh`; without those that are gone."""
        return self._seen

    def held(self) -> set[str]:
        """Names that no Job may be made under yet: one is going, or pods of one that is gone are still at work."""
        return self._held

    def pods_in_the_way(self, job: str) -> list[str]:
        """Names of pods at work that no present Job of this name has made."""
        current = self._current.get(job, "")
        present = current if (sighting := self._sightings.of(current)) and not sighting.gone else ""
        with self._lock:
            owned = [(name(pod), owning_job(pod)) for pod in self._at_work[job].values()]
        return sorted(pod for pod, owner in owned if owner not in ("", present))

    def log_of(self, job: str) -> str:
        """The end of the log of the present Job of this name; empty when there is none to be had. May be slow."""
        sighting = self._sightings.of(self._current.get(job, ""))
        return self._log_tail(self._ended_pods(sighting)) if sighting is not None else ""

    def objects(self) -> tuple[frozenset[ObjectRef], frozenset[ObjectRef]]:
        """The Jobs that stand and those that go."""
        live = frozenset(
            ObjectRef("Job", job) for job, seen in self._seen.items() if not (seen.job.deleting or seen.is_gone)
        )
        return live, frozenset(ObjectRef("Job", job) for job in self._held)

    def next_look_s(self) -> float | None:
        """Seconds until something is to be judged again though nothing has changed."""
        with self._lock:
            if self._dirty:
                return 0.0
            waits = [made + self._confirm_s - self._waiting.now() for made in self._unconfirmed.values()]
        now = self._now()
        waits += [(seen.recheck_at - now).total_seconds() for seen in self._seen.values() if seen.recheck_at]
        return max(min(waits), 0.0) if waits else None

    # -- one Job -------------------------------------------------------------------------------------------------

    def _note_job(self, change: Change) -> None:
        file = self._files.get(name(change.object))
        if file is None:
            return
        if not is_of(mapping(mapping(change.object.get("metadata")).get("labels")), file):
            (self._foreign.discard if change.type is ChangeType.DELETED else self._foreign.add)(file.name)
        elif self._sightings.on_job(change) is not None:
            if change.uid not in self._names:
                self._names[change.uid] = file.name
                self._current[file.name] = change.uid
            self._dirty.add(file.name)
        self._waiting.ring()

    def _note(self, job_uid: str | None) -> None:
        with self._lock:
            job = self._names.get(job_uid or "")
            if job is None:
                return
            self._dirty.add(job)
        self._waiting.ring()

    def _made_by(self, job_uid: str) -> str:
        """By its annotation, the run that made the Job."""
        sighting = self._sightings.of(job_uid)
        metadata = mapping(sighting.job.get("metadata")) if sighting is not None else {}
        return str(mapping(metadata.get("annotations")).get(RUN, ""))

    def _confirm(self) -> None:
        """Ask for Jobs that were made and that no watch tells of: they may have gone before it could."""
        limit = self._waiting.now() - self._confirm_s
        with self._lock:
            late = [job_uid for job_uid, made in self._unconfirmed.items() if made <= limit]
        for job_uid in late:
            job = self._names[job_uid]
            try:
                found: Manifest | None = self._calls.one(partial(self._cluster.get, "Job", job))
            except NotFound:
                found = None
            with self._lock:
                if job_uid not in self._unconfirmed:
                    continue
                self._unconfirmed[job_uid] = self._waiting.now()
                last = self._sightings.of(job_uid)
                if found is not None and uid(found) == job_uid:
                    self._note_job(Change(type=ChangeType.MODIFIED, object=found))
                elif last is not None:
                    del self._unconfirmed[job_uid]
                    self._note_job(Change(type=ChangeType.DELETED, object=last.job))

    def _judge(self, job: str, now: datetime) -> None:
        current = self._current.get(job, "")
        sighting = self._sightings.of(current)
        self._seen.pop(job, None)
        seen = self._judged(sighting, self._files[job], now) if sighting is not None else None
        if seen is not None:
            self._seen[job] = seen
        going = seen is not None and seen.job.deleting
        self._held.discard(job)
        if going or self.pods_in_the_way(job):
            self._held.add(job)

    def _judged(self, sighting: Sighting, file: JobFile, now: datetime) -> Seen | None:
        job, job_uid = sighting.job, uid(sighting.job)
        has_failed = true_condition(job, "Failed") is not None
        has_ended = has_failed or true_condition(job, "Complete") is not None
        if sighting.gone and (job_uid in self._removed or not has_ended):
            return None
        metadata = mapping(job.get("metadata"))
        diagnosis = diagnose(job, sighting.pods, sighting.events, now=now)
        # What diagnosis takes for hopeless keeps the run waiting: only a condition says that a Job has failed.
        stands = {Verdict.FAILED: JobPhase.FAILED if has_failed else JobPhase.WAITING}.get(
            diagnosis.verdict, JobPhase[diagnosis.verdict.name]
        )
        cause = self._causes.get(job_uid, diagnosis.cause)
        waits = cause if stands is JobPhase.WAITING else None
        if waits is None and not has_ended and _is_being_ended(job, sighting.pods):
            waits = self._hindrances.get(job_uid)  # its end tells more than that it waits no longer
        if waits is not None:
            self._hindrances[job_uid] = waits
        elif not has_ended:
            self._hindrances.pop(job_uid, None)
        digest = mapping(metadata.get("annotations")).get(DIGEST)
        return Seen(
            uid=job_uid,
            job=ObservedJob(
                uid=job_uid,
                attempt=attempt_of(job),
                deleting=bool(metadata.get("deletionTimestamp")) or job_uid in self._removed,
                ended=has_ended,
                phase=stands,
                cause=cause,
                created=created(job),
                found=job_uid in self._found,
            ),
            waits=waits,
            duration_s=_duration_s(job),
            digest=str(digest) if digest is not None else None,
            is_gone=sighting.gone,
            recheck_at=diagnosis.recheck_at if stands is not JobPhase.FAILED else None,
        )

    # -- why Jobs failed -----------------------------------------------------------------------------------------

    def _has_failed_unexplained(self, job: str) -> bool:
        current = self._current.get(job, "")
        sighting = self._sightings.of(current)
        return (
            sighting is not None
            and current not in self._causes
            and current not in self._removed
            and true_condition(sighting.job, "Failed") is not None
        )

    def _explain(self, jobs: list[str], now: datetime) -> None:
        """Find out why ``jobs`` failed, with the end of their logs; their pods' logs are read side by side."""
        sightings = [self._sightings.of(self._current[job]) for job in jobs]
        asked = [sighting for sighting in sightings if sighting is not None]
        causes = self._calls.all([partial(self._why, sighting, now) for sighting in asked]) if asked else []
        for sighting, cause in zip(asked, causes, strict=True):
            if isinstance(cause, Cause):
                self._causes[uid(sighting.job)] = cause

    def _why(self, sighting: Sighting, now: datetime) -> Cause:
        pods = self._ended_pods(sighting)
        tail = self._log_tail(pods)
        hindrance = self._hindrances.get(uid(sighting.job))
        diagnosis = diagnose(sighting.job, pods, sighting.events, now=now, log_tail=tail, hindrance=hindrance)
        return diagnosis.cause or Cause(
            category=Category.USER, sentence=f"The Job {name(sighting.job)} failed and left no reason.", log_tail=tail
        )

    def _ended_pods(self, sighting: Sighting) -> list[Manifest]:
        """The pods of a Job that has ended; read anew when what is known of them is behind."""
        known = sighting.pods + sighting.gone_pods
        if sighting.gone or any(phase(pod) in ENDED_PHASES for pod in known):
            return known
        own = mapping(mapping(mapping(sighting.job.get("spec")).get("selector")).get("matchLabels"))
        selector = labels.selector({str(k): str(v) for k, v in own.items()} or {"job-name": name(sighting.job)})
        try:
            return self._cluster.list("Pod", selector) or known
        except PeerError:
            return known

    def _log_tail(self, pods: list[Manifest]) -> str:
        """The end of the log that tells most; empty when there is none to be had."""
        source = log_source(pods)
        for _ in range(LOG_TRIES if source else 0):
            try:
                text = self._cluster.pod_log(*source, tail_lines=LOG_LINES, limit_bytes=LOG_BYTES)  # type: ignore[misc]
                return cut_middle(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), LOG_BYTES)
            except Unavailable as error:
                if error.status == 403:
                    break
            except PeerError:
                break
        return ""


def attempt_of(job: Manifest) -> int:
    """By its annotation; 1 for Jobs of the original, which have none."""
    attempt = str(mapping(mapping(job.get("metadata")).get("annotations")).get(labels.ATTEMPT, "1"))
    return int(attempt) if attempt.isascii() and attempt.isdigit() else 1


def _is_being_ended(job: Manifest, pods: Sequence[Manifest]) -> bool:
    """Whether the Job's controller is taking its pods away, as at a deadline; the condition Failed may come later."""
    going = [mapping(pod.get("metadata")).get("deletionTimestamp") or phase(pod) in ENDED_PHASES for pod in pods]
    return true_condition(job, "FailureTarget") is not None or (bool(going) and all(going))


def _duration_s(job: Manifest) -> float | None:
    """From its start to its completion, or to its failure, in seconds."""
    status = mapping(job.get("status"))
    began = moment(status.get("startTime"))
    failed = true_condition(job, "Failed")
    ended = moment(mapping(failed).get("lastTransitionTime")) if failed else moment(status.get("completionTime"))
    return max((ended - began).total_seconds(), 0.0) if began and ended else None
