"""What the reflectors have seen of each step's Job: the Job, its pods and the warnings about them, kept together.

The three come by separate streams in any order. The last state of pods that are gone is kept as long as their Job is
known, as it is often all that says why the Job failed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lando.k8s.cluster import Manifest
from lando.k8s.diagnosis.facts import claims, mapping, newest_first, objects, uid
from lando.k8s.reflector import Change, ChangeType

PODS_KEPT = 20  # of one Job, gone ones included; the newest


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """All that is known of one Job at this moment."""

    job: Manifest
    gone: bool
    """Deleted; ``job`` is its last known state."""
    pods: list[Manifest]
    """Those that are there."""
    gone_pods: list[Manifest]
    """The last known state of those that are not."""
    events: list[Manifest]


@dataclass
class _Entry:
    job: Manifest | None = None
    gone: bool = False
    pods: dict[str, Manifest] = field(default_factory=dict)
    gone_pods: set[str] = field(default_factory=set)


class Sightings:
    """Fed by the reflectors' handlers, each of which answers with the UID of the Job to look at, if it is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._job_of_pod: dict[str, str] = {}
        self._events: dict[str, dict[str, Manifest]] = {}

    def on_job(self, change: Change) -> str | None:
        with self._lock:
            if change.type is ChangeType.DELETED and change.uid not in self._entries:
                return None
            entry = self._entries.setdefault(change.uid, _Entry())
            entry.job = change.object
            entry.gone = change.type is ChangeType.DELETED
        return change.uid

    def on_pod(self, change: Change) -> str | None:
        job = _owner(change.object)
        if job is None:
            return None
        with self._lock:
            entry = self._entries.setdefault(job, _Entry())
            entry.pods[change.uid] = change.object
            self._job_of_pod[change.uid] = job
            if change.type is ChangeType.DELETED:
                entry.gone_pods.add(change.uid)
            for pod in newest_first(entry.pods.values())[PODS_KEPT:]:
                self._drop_pod(entry, uid(pod))
            if entry.job is not None:
                return job
            if change.type is ChangeType.DELETED:
                self._drop_pod(entry, change.uid)
                if not entry.pods:
                    del self._entries[job]
        return None

    def on_event(self, change: Change) -> str | None:
        involved = mapping(change.object.get("involvedObject"))
        about = str(involved.get("uid", ""))
        if involved.get("kind") == "PersistentVolumeClaim":
            about = _claim(str(involved.get("name", "")))  # pods know their claims by name
        with self._lock:
            events = self._events.setdefault(about, {})
            if change.type is ChangeType.DELETED:
                events.pop(change.uid, None)
                if not events:
                    del self._events[about]
                return None
            events[change.uid] = change.object
            job = self._job_of_pod.get(about, about)
            entry = self._entries.get(job)
            return job if entry is not None and entry.job is not None else None

    def of(self, job_uid: str) -> Sighting | None:
        """What is known of a Job; None before the Job itself was seen and after it was forgotten."""
        with self._lock:
            entry = self._entries.get(job_uid)
            if entry is None or entry.job is None:
                return None
            mounted = dict.fromkeys(claim for pod in entry.pods.values() for claim in claims(pod))
            about = [job_uid, *entry.pods, *map(_claim, mounted)]
            events = [event for key in about for event in self._events.get(key, {}).values()]
            return Sighting(
                job=entry.job,
                gone=entry.gone,
                pods=[pod for key, pod in entry.pods.items() if key not in entry.gone_pods],
                gone_pods=[pod for key, pod in entry.pods.items() if key in entry.gone_pods],
                events=events,
            )

    def forget(self, job_uid: str) -> None:
        """Let go of a Job that is gone, and of its pods."""
        with self._lock:
            entry = self._entries.pop(job_uid, None)
            for pod in entry.pods if entry else ():
                self._job_of_pod.pop(pod, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def _drop_pod(self, entry: _Entry, pod: str) -> None:
        entry.pods.pop(pod, None)
        entry.gone_pods.discard(pod)
        self._job_of_pod.pop(pod, None)


def _claim(name: str) -> str:
    """Under what the events about a volume claim are kept."""
    return f"claim {name}"


def _owner(pod: Manifest) -> str | None:
    """UID of the Job that controls ``pod``."""
    for reference in objects(mapping(pod.get("metadata")).get("ownerReferences")):
        if reference.get("kind") == "Job" and reference.get("controller"):
            return str(reference.get("uid"))
    return None
