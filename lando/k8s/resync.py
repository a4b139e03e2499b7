"""Which runs to look at without being told: after a start, and from time to time, in case a message was lost."""

from __future__ import annotations

from lando import labels
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import mapping, true_condition
from lando.runs import RunState
from lando.sources import Source

_KINDS = ("ConfigMap", "PersistentVolumeClaim")


def runs_to_look_at(cluster: Cluster, source: Source | None) -> list[int]:
    """Ids of runs that may need something, by one list of each kind.

    A run whose Job is at work needs nothing: the watcher tells of its end. All others that have objects or a record may
    have been interrupted or have ended and left something. With ``source`` (once, at start) runs that are unfinished
    there count too, even if nothing of them is in the cluster.
    """
    at_work: set[int] = set()
    found: set[int] = set()
    for job in cluster.list("Job", labels.BESPIN_SELECTOR):
        run_id = _run_id(job, labels.BESPIN_JOB_ID)
        if run_id is None:
            continue
        ended = true_condition(job, "Complete") or true_condition(job, "Failed")
        deleting = mapping(job.get("metadata")).get("deletionTimestamp")
        (found if ended or deleting else at_work).add(run_id)
    for kind in _KINDS:
        found |= {
            run_id
            for item in cluster.list(kind, labels.BESPIN_SELECTOR)
            if (run_id := _run_id(item, labels.BESPIN_JOB_ID)) is not None
        }
    found |= {
        run_id
        for item in cluster.list("ConfigMap", labels.RUN_RECORD)
        if (run_id := _run_id(item, labels.RUN_RECORD)) is not None
    }
    found -= at_work
    if source is not None:
        found |= {run.id for run in source.unfinished() if run.state is not RunState.RUNNING or run.id not in at_work}
    return sorted(found)


def _run_id(item: Manifest, label: str) -> int | None:
    text = str(mapping(mapping(item.get("metadata")).get("labels")).get(label, ""))
    return int(text) if text.isascii() and text.isdigit() else None
