"""What a Job needs next, from its manifest and its pods: the rules of the Kubernetes job controller. Pure.

Counting pods by a finalizer: a pod that ended is first noted in ``status.uncountedTerminatedPods``, then loses its
finalizer, then is counted. So each pod counts exactly once, whoever deletes it, and whenever this process is killed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lando.local.controllers import failure_policy
from lando.local.rules.lifecycle import timestamp
from lando.local.rules.status import Manifest

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer of pods that are yet to be counted."""
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_BACKOFF_S = 10.0
"""Wait before a failed pod's replacement is made; doubles with each failure in a row."""
FAILURE_BACKOFF_LIMIT_S = 600.0
CREATE_LIMIT = 500
"""Pods made in one go."""


@dataclass(frozen=True, kw_only=True)
class JobDecision:
    """What to do, in this order."""

    status: Manifest
    """To be written when it differs from the recorded one; before anything else."""
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """Type, reason and message."""
    release: list[Manifest] = field(default_factory=list)
    """Pods whose finalizer may go, now that they are noted."""
    delete: list[Manifest] = field(default_factory=list)
    create: list[int | None] = field(default_factory=list)
    """One entry for each new pod: its completion index, or None."""
    delete_job: bool = False
    """The Job has outlived its ``ttlSecondsAfterFinished``."""
    again_s: float | None = None
    """Seconds until something is due by the clock."""


def parse_time(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)


def condition(status: Manifest, kind: str) -> Manifest | None:
    """The condition of that type, if its status is True."""
    for entry in status.get("conditions") or []:
        if entry["type"] == kind and entry["status"] == "True":
            return dict(entry)
    return None


def is_finished(job: Manifest) -> bool:
    """Whether the Job is Complete or Failed for good."""
    status = job.get("status") or {}
    return condition(status, "Complete") is not None or condition(status, "Failed") is not None


def decide_job(
    job: Manifest, pods: Sequence[Manifest], now: datetime, *, failure_backoff_s: float = FAILURE_BACKOFF_S
) -> JobDecision:
    """Decide for ``job`` with ``pods``, all it controls."""
    if is_finished(job):
        return _after_the_end(job, pods, now)
    return _Decider(job, pods, now, failure_backoff_s).decide()


def _after_the_end(job: Manifest, pods: Sequence[Manifest], now: datetime) -> JobDecision:
    release = [pod for pod in pods if TRACKING in _finalizers(pod)]
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None or "deletionTimestamp" in job["metadata"]:
        return JobDecision(status=job["status"], release=release)
    ended = condition(job["status"], "Complete") or condition(job["status"], "Failed") or {}
    left_s = (parse_time(ended["lastTransitionTime"]) + timedelta(seconds=ttl_s) - now).total_seconds()
    if left_s <= 0:
        return JobDecision(status=job["status"], release=release, delete_job=True)
    return JobDecision(status=job["status"], release=release, again_s=left_s)


class _Decider:
    def __init__(self, job: Manifest, pods: Sequence[Manifest], now: datetime, failure_backoff_s: float) -> None:
        self._job = job
        self._spec = job["spec"]
        self._pods = pods
        self._now = now
        self._failure_backoff_s = failure_backoff_s
        self._status: Manifest = copy.deepcopy(job.get("status") or {})
        self._indexed = self._spec.get("completionMode") == "Indexed"
        self._completed_indexes = parse_indexes(self._status.get("completedIndexes", ""))
        self._active = [pod for pod in pods if _phase(pod) not in ("Succeeded", "Failed") and not _is_terminating(pod)]
        self._terminating = [pod for pod in pods if _is_terminating(pod) and _phase(pod) not in ("Succeeded", "Failed")]
        self._ignored: set[str] = set()
        """Pods whose failure counts for nothing, by uid."""
        self._events: list[tuple[str, str, str]] = []
        self._again: list[float] = []

    def decide(self) -> JobDecision:
        uncounted = self._count()
        done = uncounted["succeeded"] | uncounted["failed"] | self._ignored
        release = [pod for pod in self._pods if TRACKING in _finalizers(pod) and pod["metadata"]["uid"] in done]
        create: list[int | None] = []
        delete: list[Manifest] = []
        if "deletionTimestamp" not in self._job["metadata"]:
            self._follow_suspension()
            self._look_for_the_end(len(uncounted["succeeded"]), len(uncounted["failed"]))
            if self._ending() is not None or self._spec.get("suspend"):
                delete = list(self._active)
            else:
                create, delete = self._fill_up(len(uncounted["succeeded"]))
            if self._ending() is None:
                # Nothing is wrong with a pod that is no longer wanted: it goes without being counted as failed.
                release += delete
            self._end_when_quiet(any(uncounted.values()))
        self._write_counts(uncounted)
        return JobDecision(
            status=self._status,
            events=self._events,
            release=release,
            delete=delete,
            create=create,
            again_s=min(self._again, default=None),
        )

    # -- counting ----------------------------------------------------------------------------------------------------

    def _count(self) -> dict[str, set[str]]:
        """Count what is noted and released; note what has ended since. Returns what is noted by now."""
        noted = self._status.get("uncountedTerminatedPods") or {}
        held = {pod["metadata"]["uid"] for pod in self._pods if TRACKING in _finalizers(pod)}
        uncounted: dict[str, set[str]] = {}
        for kind in ("succeeded", "failed"):
            known = set(noted.get(kind) or [])
            counted = known - held
            if counted and not (self._indexed and kind == "succeeded"):
                self._status[kind] = self._status.get(kind, 0) + len(counted)
            uncounted[kind] = known & held
        for pod in self._pods:
            uid = pod["metadata"]["uid"]
            outcome = self._outcome(pod)
            if outcome is None or uid not in held or uid in uncounted["succeeded"] | uncounted["failed"]:
                continue
            if outcome == "failed" and self._is_settled_by_policy(pod):
                continue
            uncounted[outcome].add(uid)
            if outcome == "succeeded" and self._indexed:
                self._completed_indexes.add(pod_index(pod))
        return uncounted

    def _is_settled_by_policy(self, pod: Manifest) -> bool:
        """Whether the failure of ``pod`` is not to be counted; it may end the Job besides."""
        judgement = failure_policy.judge(self._spec, pod)
        if judgement.action == failure_policy.IGNORE:
            self._ignored.add(pod["metadata"]["uid"])
            return True
        if judgement.action == failure_policy.FAIL_JOB and self._ending() is None:
            self._set("FailureTarget", "PodFailurePolicy", judgement.message)
        return False

    def _outcome(self, pod: Manifest) -> str | None:
        phase = _phase(pod)
        if phase in ("Succeeded", "Failed"):
            return phase.lower()
        # Unless only failed pods are to be replaced, one that is being deleted has failed already.
        if _is_terminating(pod) and self._spec.get("podReplacementPolicy") != "Failed":
            return "failed"
        return None

    def _succeeded(self, uncounted: int) -> int:
        if self._indexed:
            return len(self._completed_indexes)
        return int(self._status.get("succeeded", 0)) + uncounted

    # -- the end -----------------------------------------------------------------------------------------------------

    def _ending(self) -> Manifest | None:
        return condition(self._status, "FailureTarget") or condition(self._status, "SuccessCriteriaMet")

    def _look_for_the_end(self, succeeded: int, failed: int) -> None:
        if self._ending() is not None:
            return
        limit = self._spec.get("backoffLimit", 6)
        if int(self._status.get("failed", 0)) + failed > limit or self._restarted_too_often(limit):
            self._set("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif self._past_deadline():
            self._set("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        elif self._is_complete(succeeded):
            self._set("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")

    def _restarted_too_often(self, limit: int) -> bool:
        """Whether pods that restart their containers in place have done so up to the limit."""
        if self._spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        restarts: int = sum(
            state.get("restartCount", 0)
            for pod in self._active
            for part in ("initContainerStatuses", "containerStatuses")
            for state in (pod.get("status") or {}).get(part) or []
        )
        return restarts > 0 if limit == 0 else restarts >= limit

    def _past_deadline(self) -> bool:
        deadline_s, start = self._spec.get("activeDeadlineSeconds"), self._status.get("startTime")
        if deadline_s is None or start is None or self._spec.get("suspend"):
            return False
        left_s = (parse_time(start) + timedelta(seconds=deadline_s) - self._now).total_seconds()
        if left_s > 0:
            self._again.append(left_s)
        return left_s <= 0

    def _is_complete(self, uncounted: int) -> bool:
        succeeded, completions = self._succeeded(uncounted), self._spec.get("completions")
        if completions is None:
            return succeeded > 0 and not self._active
        return succeeded >= int(completions)

    def _end_when_quiet(self, uncounted: bool) -> None:
        """The final condition, once every pod has ended and is counted."""
        ending = self._ending()
        if ending is None or uncounted or self._active or self._terminating:
            return
        if ending["type"] == "FailureTarget":
            self._set("Failed", ending["reason"], ending["message"])
            self._events.append(("Warning", ending["reason"], ending["message"]))
        else:
            self._set("Complete", ending["reason"], ending["message"])
            self._status["completionTime"] = timestamp(self._now)
            self._events.append(("Normal", "Completed", "Job completed"))

    # -- what runs ---------------------------------------------------------------------------------------------------

    def _follow_suspension(self) -> None:
        suspended = condition(self._status, "Suspended") is not None
        if self._spec.get("suspend"):
            if not suspended:
                self._set("Suspended", "JobSuspended", "Job suspended")
                self._status.pop("startTime", None)
                self._events.append(("Normal", "Suspended", "Job suspended"))
            return
        if suspended:
            self._set("Suspended", "JobResumed", "Job resumed", value="False")
            self._events.append(("Normal", "Resumed", "Job resumed"))
        self._status.setdefault("startTime", timestamp(self._now))

    def _fill_up(self, uncounted: int) -> tuple[list[int | None], list[Manifest]]:
        """Pods to be made or to be deleted, so that as many are at work as are wanted."""
        parallelism, completions = self._spec.get("parallelism", 1), self._spec.get("completions")
        succeeded = self._succeeded(uncounted)
        if completions is not None:
            wanted = min(parallelism, completions - succeeded)
        elif succeeded:
            # Of a work queue's pods none is replaced once one of them has succeeded.
            wanted = min(parallelism, len(self._active))
        else:
            wanted = parallelism
        at_work = len(self._active)
        if at_work > wanted:
            newest_first = sorted(self._active, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
            return [], newest_first[: at_work - wanted]
        if self._spec.get("podReplacementPolicy") == "Failed":
            at_work += len(self._terminating)
        missing = min(wanted - at_work, CREATE_LIMIT)
        if missing <= 0:
            return [], []
        backoff_s = self._backoff_left_s()
        if backoff_s > 0:
            self._again.append(backoff_s)
            return [], []
        if not self._indexed:
            return [None] * missing, []
        taken = self._completed_indexes | {pod_index(pod) for pod in self._active}
        if self._spec.get("podReplacementPolicy") == "Failed":
            taken |= {pod_index(pod) for pod in self._terminating}
        free = [index for index in range(completions or 0) if index not in taken]
        return list(free[:missing]), []

    def _backoff_left_s(self) -> float:
        """Seconds to wait before a pod that failed is replaced."""
        ended = sorted((moment, _phase(pod)) for pod in self._pods if (moment := _ended_at(pod)) is not None)
        in_a_row = 0
        last: datetime | None = None
        for moment, phase in ended:
            in_a_row, last = (in_a_row + 1, moment) if phase == "Failed" else (0, None)
        if last is None:
            return 0.0
        delay_s: float = min(self._failure_backoff_s * 2 ** min(in_a_row - 1, 20), FAILURE_BACKOFF_LIMIT_S)
        return delay_s - (self._now - last).total_seconds()

    # -- the record --------------------------------------------------------------------------------------------------

    def _set(self, kind: str, reason: str, message: str, *, value: str = "True") -> None:
        now = timestamp(self._now)
        conditions = [entry for entry in self._status.get("conditions") or [] if entry["type"] != kind]
        conditions.append(
            {
                "type": kind,
                "status": value,
                "lastProbeTime": now,
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
        )
        self._status["conditions"] = conditions

    def _write_counts(self, uncounted: dict[str, set[str]]) -> None:
        status = self._status
        status["uncountedTerminatedPods"] = {key: sorted(uids) for key, uids in uncounted.items() if uids}
        ready = sum(condition(pod.get("status") or {}, "Ready") is not None for pod in self._active)
        status["ready"], status["terminating"] = ready, len(self._terminating)
        if self._active:
            status["active"] = len(self._active)
        else:
            status.pop("active", None)
        if self._indexed:
            status["completedIndexes"] = format_indexes(self._completed_indexes)
            if self._completed_indexes:
                status["succeeded"] = len(self._completed_indexes)


def parse_indexes(text: str) -> set[int]:
    """``1,3-5`` as a set."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: set[int]) -> str:
    """A set of numbers as ``1,3-5``."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index])
    return ",".join("-".join(map(str, run)) for run in runs)


def pod_index(pod: Manifest) -> int:
    """A pod's completion index; -1 for one without."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdecimal() else -1


def pod_for(job: Manifest, index: int | None) -> Manifest:
    """The manifest of one pod of ``job``."""
    metadata, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
    given = template.get("metadata") or {}
    labels: dict[str, Any] = dict(given.get("labels") or {})
    annotations: dict[str, Any] = dict(given.get("annotations") or {})
    prefix = metadata["name"]
    if index is not None:
        labels[INDEX] = annotations[INDEX] = str(index)
        prefix = f"{prefix}-{index}"
        template["spec"].setdefault("hostname", prefix)
        variable = {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
        }
        for part in ("initContainers", "containers"):
            for container in template["spec"].get(part) or []:
                container.setdefault("env", []).append(variable)
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{prefix}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "finalizers": [TRACKING],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }
    if annotations:
        pod["metadata"]["annotations"] = annotations
    return pod


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _is_terminating(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _finalizers(pod: Manifest) -> list[str]:
    return pod["metadata"].get("finalizers") or []


def _ended_at(pod: Manifest) -> datetime | None:
    """When a pod that has ended did so; None for others."""
    if _phase(pod) not in ("Succeeded", "Failed"):
        return None
    status = pod.get("status") or {}
    moments = [
        state["state"]["terminated"]["finishedAt"]
        for state in status.get("containerStatuses") or []
        if (state.get("state") or {}).get("terminated", {}).get("finishedAt")
    ]
    return parse_time(max(moments, default=pod["metadata"]["creationTimestamp"]))
