"""What the cluster holds of each run, read from one paged list of each kind: never a request for a single run."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lando import labels
from lando.decide import ObjectRef, RunRecord
from lando.errors import InputError
from lando.k8s import record
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import mapping, name, true_condition, uid
from lando.k8s.observe import is_orphan
from lando.units import mebibytes

KINDS = ("Job", "Pod", "ConfigMap", "PersistentVolumeClaim")
"""What a run consists of, in the order in which it may be deleted; and its record. Of pods only orphans count: a Job's
pods go with it."""


@dataclass(frozen=True, kw_only=True)
class HeldJob:
    """A Job, as far as a list tells."""

    name: str
    uid: str
    has_ended: bool = False
    is_going: bool = False
    """It is being deleted."""


@dataclass(kw_only=True)
class Holding:
    """Everything of one run that carries its labels; what is being deleted is left out, Jobs apart."""

    jobs: list[HeldJob] = field(default_factory=list)
    objects: dict[ObjectRef, str] = field(default_factory=dict)
    """Each with its UID; Jobs too, the record not."""
    steps: dict[ObjectRef, str] = field(default_factory=dict)
    """The step that an object belongs to, where its labels say so."""
    record: RunRecord | None = None
    volume_mib: int = 0
    """That its claims ask for."""

    def in_words(self) -> str:
        """What is there and stays, e.g. ``1 Job, 2 volumes, the run record``; empty for nothing."""
        counts = Counter(ref.kind for ref in self.objects)
        words = {"Job": "Job", "Pod": "orphaned pod", "ConfigMap": "ConfigMap", "PersistentVolumeClaim": "volume"}
        parts = [f"{counts[kind]} {words[kind]}{'s' if counts[kind] > 1 else ''}" for kind in KINDS if counts[kind]]
        return ", ".join(parts + (["the run record"] if self.record else []))


def holdings(cluster: Cluster, *, only_jobs: bool) -> dict[int, Holding]:
    """By the run's id; five lists, each page by page, and four more unless only Bespin's jobs are there."""
    found: dict[int, Holding] = {}
    marks = [(labels.BESPIN_SELECTOR, labels.BESPIN_JOB_ID)]
    if not only_jobs:
        marks.append((labels.RUNS_SELECTOR, labels.RUN_ID))
    for selector, label in marks:
        job_uids: set[str] = set()
        for kind in KINDS:
            for item in cluster.list(kind, selector):
                if kind == "Job":
                    job_uids.add(uid(item))
                if kind == "Pod" and not is_orphan(item, job_uids):
                    continue
                if (run_id := _run_id(item, label)) is not None:
                    _add(found.setdefault(run_id, Holding()), kind, item)
    for item in cluster.list("ConfigMap", labels.RUN_RECORD):
        run_id = _run_id(item, labels.RUN_RECORD)
        if run_id is not None and not _is_going(item):
            found.setdefault(run_id, Holding()).record = record.read(item)
    return found


def _add(holding: Holding, kind: str, item: Manifest) -> None:
    is_going = _is_going(item)
    if kind == "Job":
        has_ended = bool(true_condition(item, "Complete") or true_condition(item, "Failed"))
        holding.jobs.append(HeldJob(name=name(item), uid=uid(item), has_ended=has_ended, is_going=is_going))
    if is_going:
        return
    ref = ObjectRef(kind, name(item))
    holding.objects[ref] = uid(item)
    key = labels.step_key(_labels(item))
    if key is not None:
        holding.steps[ref] = key.step
    if kind == "PersistentVolumeClaim":
        requests = mapping(mapping(mapping(item.get("spec")).get("resources")).get("requests"))
        with contextlib.suppress(InputError):
            holding.volume_mib += mebibytes(str(requests.get("storage", "")))


def _is_going(item: Manifest) -> bool:
    return bool(mapping(item.get("metadata")).get("deletionTimestamp"))


def _labels(item: Manifest) -> Mapping[str, str]:
    return mapping(mapping(item.get("metadata")).get("labels"))


def _run_id(item: Manifest, label: str) -> int | None:
    text = str(_labels(item).get(label, ""))
    return int(text) if text.isascii() and text.isdigit() else None
