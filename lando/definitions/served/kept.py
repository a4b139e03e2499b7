"""What is kept of one Job, as the archive has it, and what is to be said of a Job that is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lando.definitions.causes import document_of
from lando.definitions.connection import job_of
from lando.definitions.gathering import Gathered, Logs, has_ended, is_missing
from lando.definitions.spec import V1Job
from lando.k8s.diagnosis import deleted, of_a_job
from lando.k8s.diagnosis.facts import created, mapping, moment, name, objects, quoted, true_condition
from lando.runs import Category, Cause

_MANIFESTS = ("kubectl.kubernetes.io/last-applied-configuration",)
_OF_SPEC = ("activeDeadlineSeconds", "backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One Job as it was."""

    job: dict[str, Any]
    """As the API has it."""
    at: str
    is_over: bool
    """Nothing more is to come: it had ended with all its pods, or is known to be gone."""
    cause: Cause | None
    terminations: Logs
    events: list[dict[str, Any]]
    lost: tuple[str, ...] = ()
    """What could not be had, in sentences."""
    by: str = ""
    """What this server was about to delete it for, e.g. ``a request to this server``."""

    @property
    def uid(self) -> str:
        return str(self.job["metadata"].get("uid"))

    @property
    def containers(self) -> list[str]:
        """Their names, those that set the pods up first."""
        spec = mapping(mapping(mapping(self.job.get("spec")).get("template")).get("spec"))
        found = [*objects(spec.get("initContainers")), *objects(spec.get("containers"))]
        return [str(container.get("name")) for container in found]

    def is_newer_than(self, job: Mapping[str, Any]) -> bool:
        """Whether it was made after ``job``, which has the same name."""
        mine, other = created(self.job), created(job)
        return mine is not None and other is not None and mine > other

    def document(self) -> dict[str, Any]:
        """For the archive, where many may read: of the manifest neither environment nor arguments."""
        return {
            "job": _bare(self.job),
            "kept": self.at,
            "is_over": self.is_over,
            "cause": self.cause and document_of(self.cause),
            "terminations": self.terminations,
            "events": self.events,
            "lost": list(self.lost),
            "by": self.by,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Kept:
        """What :meth:`document` gave. Raises KeyError, TypeError or ValueError for what is no such thing."""
        cause = document["cause"]
        return cls(
            job={**document["job"], "metadata": {**document["job"]["metadata"]}},
            at=str(document["kept"]),
            is_over=bool(document["is_over"]),
            cause=cause and Cause(**{**cause, "category": Category(cause["category"])}),
            terminations=dict(document["terminations"]),
            events=list(document["events"]),
            lost=tuple(document.get("lost") or ()),
            by=str(document.get("by") or ""),
        )

    def of_one_that_is_gone(self) -> Kept:
        """What to tell of it when the cluster has it no more, also where nobody saw how it went."""
        if has_ended(self.job):
            return self
        cause = (
            self.cause if self.is_over else cause_of_one_gone(self.job, is_seen=False, by=self.by, waited=self.cause)
        )
        condition = {
            "type": "Failed",
            "status": "True",
            "reason": "Deleted",
            "message": cause.sentence if cause else None,
            "lastTransitionTime": self.at,
        }
        status = {**mapping(self.job.get("status")), "active": None}
        status["conditions"] = [*(mapping(self.job.get("status")).get("conditions") or []), condition]
        return replace(self, job={**self.job, "status": status}, cause=cause, is_over=True)

    def as_job(self) -> V1Job:
        return job_of(self.job)


def _bare(job: Mapping[str, Any]) -> dict[str, Any]:
    """The Job without what its manifest may say in confidence; what is told of one that is gone needs none of it."""
    metadata = {**job["metadata"]}
    annotations = mapping(metadata.get("annotations"))
    metadata["annotations"] = {key: text for key, text in annotations.items() if key not in _MANIFESTS}
    metadata.pop("managedFields", None)
    bare = {**job, "metadata": metadata}
    if job.get("spec"):
        spec = mapping(job["spec"])
        pod = mapping(mapping(spec.get("template")).get("spec"))
        names = {
            key: [{"name": container.get("name")} for container in objects(pod.get(key))]
            for key in ("initContainers", "containers")
        }
        bare["spec"] = {key: spec[key] for key in _OF_SPEC if key in spec} | {"template": {"spec": names}}
    return bare


def kept(
    job: dict[str, Any], gathered: Gathered, *, is_gone: bool = False, is_seen: bool = True, by: str = "", now: datetime
) -> Kept:
    """What to keep of ``job``, as it was when it was last seen; with ``is_seen`` that was its end."""
    cause = None if true_condition(job, "Complete") else gathered.cause
    lost = list(gathered.lost)
    if not gathered.logs and (is_gone or _goes_by_itself(job)):
        if _had_pods(job, gathered.events):
            lost.append("Its pods were gone before their logs could be read.")
        elif mapping(job.get("status")).get("startTime"):  # and who knows what was in between
            lost.append("There was no pod of it whose log could be read.")
        if true_condition(job, "Failed"):
            cause = _cause_of_one_failed(job)
    elif any(is_missing(text) for texts in gathered.logs.values() for text in texts.values()):
        lost.append("Not every log could be read; in the place of one that could not it says why.")
    if (is_gone and not has_ended(job)) or _failed_by_deletion(job):
        cause = cause_of_one_gone(job, is_seen=is_seen, by=by, waited=None if has_ended(job) else cause)
    return Kept(
        job=job,
        at=now.astimezone(UTC).isoformat(timespec="seconds"),
        is_over=is_gone or (has_ended(job) and gathered.is_settled),
        cause=cause,
        terminations=gathered.terminations,
        events=gathered.events,
        lost=tuple(dict.fromkeys(lost)),
        by=by,
    )


def cause_of_one_gone(job: dict[str, Any], *, is_seen: bool, by: str, waited: Cause | None) -> Cause:
    """Of a Job that went before it was seen to end, which ``is_seen`` says that it did not."""
    usual = of_a_job(deleted(job))
    because = f", by {by}" if by else ""
    if is_seen or by:
        sentence = f"Job {name(job)} was deleted before it had ended{because}."
        advice = (
            ""
            if by
            else _owner(job) or "This server did not do it; the cluster's audit log, if it has one, tells who did."
        )
    else:
        sentence = f"Job {name(job)} is gone, and had not ended when it was last seen."
        advice = "It was deleted, or it ended and went by itself, while this server did not follow the cluster."
    if waited is not None:
        advice = f"{advice} It had been waiting: {waited.sentence}".strip()
    return replace(usual, sentence=sentence, advice=advice)


def _cause_of_one_failed(job: dict[str, Any]) -> Cause:
    """Of a Job that failed and went with its pods before anybody could look at them."""
    entry = true_condition(job, "Failed") or {}
    said = quoted(entry.get("message") or entry.get("reason"))
    because = f" ({said})" if said else ""
    return Cause(
        category=Category.RESOURCES if entry.get("reason") == "DeadlineExceeded" else Category.USER,
        sentence=f"Job {name(job)} failed{because}, and its pods were gone before they were looked at.",
        advice="With a longer ttlSecondsAfterFinished there is time to keep its logs.",
    )


def _owner(job: Mapping[str, Any]) -> str:
    references = job["metadata"].get("ownerReferences") or []
    owners = [f"{owner.get('kind')} {owner.get('name')}" for owner in references if isinstance(owner, Mapping)]
    return f"It goes with its owner {', '.join(owners)}." if owners else ""


def _failed_by_deletion(job: Mapping[str, Any]) -> bool:
    """Whether the Job failed only after somebody had begun to delete it: its pods were ended by that."""
    failed = moment((true_condition(job, "Failed") or {}).get("lastTransitionTime"))
    deleted_at = moment(job["metadata"].get("deletionTimestamp"))
    if failed is None or deleted_at is None:
        return False
    # Both are whole seconds; of one that goes by itself the deletion comes after.
    is_short = mapping(job.get("spec")).get("ttlSecondsAfterFinished") is not None
    return failed > deleted_at or (failed == deleted_at and not is_short)


def _goes_by_itself(job: Mapping[str, Any]) -> bool:
    """Whether the Job, which has ended, goes, and its pods with it: they were not deleted by somebody else."""
    is_short = mapping(job.get("spec")).get("ttlSecondsAfterFinished") is not None
    return has_ended(job) and (is_short or bool(job["metadata"].get("deletionTimestamp")))


def _had_pods(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is known to have had some; a Job whose pods were deleted may count none any more."""
    status = mapping(job.get("status"))
    counts = any(status.get(count) for count in ("active", "succeeded", "failed"))
    return counts or any(event.get("reason") == "SuccessfulCreate" for event in events)
