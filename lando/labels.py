"""The labels by which Lando's objects in a cluster are known (contract with Duke's lando and its operators).

Objects are found by label, never by name. Bespin's labels stand on everything a cwl run consists of;
Lando's own stand on runs of the other kinds and, alone, on the run record, so that nobody's
delete-by-label of a job takes the record with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BESPIN_JOB = "bespin-job"
BESPIN_JOB_ID = "bespin-job-id"
BESPIN_JOB_STEP = "bespin-job-step"
RUN_ID = "lando-run-id"
RUN_KIND = "lando-run-kind"
RUN_STEP = "lando-run-step"
RUN_RECORD = "lando-run-record"
"""Only on run records; the value is the run's id."""
ATTEMPT = "lando.attempt"
"""An annotation, not a label: the number of the attempt that a Job is."""
REPORTED = "lando.reported"
"""An annotation of the watcher on a Job: the outcomes it has told, where the receiver must hear each only once."""

CONTROLLER_UID = ("batch.kubernetes.io/controller-uid", "controller-uid")
"""Labels of the Job controller on its pods, since Kubernetes 1.27 and before: the UID of their Job."""

BESPIN_SELECTOR = f"{BESPIN_JOB}=true"
RUNS_SELECTOR = RUN_ID


@dataclass(frozen=True, kw_only=True)
class StepKey:
    """Which step of which run an object belongs to."""

    kind: str
    run_id: int
    step: str


def step_key(labels: Mapping[str, str]) -> StepKey | None:
    """The step that ``labels`` name, or None when they are not (or not wholly) ours."""
    if labels.get(BESPIN_JOB) == "true":
        kind, run_id, step = "cwl", labels.get(BESPIN_JOB_ID, ""), labels.get(BESPIN_JOB_STEP, "")
    else:
        kind, run_id, step = labels.get(RUN_KIND, ""), labels.get(RUN_ID, ""), labels.get(RUN_STEP, "")
    if not (kind and step and run_id.isascii() and run_id.isdigit()):
        return None
    return StepKey(kind=kind, run_id=int(run_id), step=step)


def selector(labels: Mapping[str, str]) -> str:
    """A Kubernetes equality selector for ``labels``."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
