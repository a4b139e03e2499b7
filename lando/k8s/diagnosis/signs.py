"""Reads off Jobs, pods and events what the rules are held against, what tells most first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from lando.k8s.diagnosis.containers import PULL_REASONS
from lando.k8s.diagnosis.facts import (
    ENDED_PHASES,
    Container,
    Manifest,
    claim_events,
    condition,
    containers,
    created,
    event_time,
    events_of,
    mapping,
    moment,
    name,
    phase,
    quoted,
    signal_name,
    termination_message,
    told_by,
    told_cause,
    true_condition,
)
from lando.k8s.diagnosis.placement import VOLUME_WORDS
from lando.k8s.diagnosis.rules import Place, Sign
from lando.labels import step_key
from lando.runs import Cause
from lando.units import binary_size

_SETTING_UP = ("", "ContainerCreating", "PodInitializing")
_KILLED = (137, 143)
"""Exit codes of a program that was told to go."""
_COMBINED = "(combined from similar events): "
"""Before the message of an event that stands for many."""
_BYTES_LIMIT = 2**60
"""No memory is larger."""
_LOG_WORDS = 400  # characters of the log's end in which a rule may look for words


# -- what has ended -------------------------------------------------------------------------------------------------


def of_ended_pod(pod: Manifest, log_tail: str = "") -> Iterator[Sign]:
    """Why a pod did not succeed."""
    about = _of_pod(pod)
    status = mapping(pod.get("status"))
    failed = [container for container in containers(pod) if container.failed]
    code = failed[0].exit_code if failed else None
    if status.get("reason"):
        said = quoted(status.get("message"))
        yield Sign(place=Place.POD, reason=str(status["reason"]), message=said, exit_code=code, fields=about)
    if entry := true_condition(pod, "DisruptionTarget"):
        yield Sign(
            place=Place.DISRUPTION,
            reason=str(entry.get("reason") or "no reason given"),
            message=quoted(entry.get("message")),
            exit_code=code,
            fields=about,
        )
    for container in containers(pod):
        if container.terminated.get("reason"):
            yield Sign(
                place=Place.ENDED,
                reason=str(container.terminated["reason"]),
                message=_plain(container.terminated.get("message")) if told_by(container) is None else "",
                exit_code=container.exit_code,
                fields=about | _of_container(container),
            )
    if _is_deleted_at_work(pod, failed):
        yield Sign(place=Place.DELETION, exit_code=code, fields=about)
    if not failed:
        return
    if told := told_cause(termination_message([pod])):
        yield Sign(
            place=Place.TOLD,
            message=quoted(told.sentence),
            exit_code=code,
            fields=about | {"told": told.sentence},
            cause=told,
        )
    yield Sign(
        place=Place.EXIT,
        reason=str(code),
        message=quoted(log_tail[-_LOG_WORDS:]),
        exit_code=code,
        fields=about | _of_container(failed[0]) | {"signal": (signal_name(code) if code else None) or ""},
    )


def _is_deleted_at_work(pod: Manifest, failed: Sequence[Container]) -> bool:
    """Whether somebody deleted the pod while its program ran; what that then ended with is the deletion's doing.

    The Job has failed with it even where the program came to a good end meanwhile.
    A Job whose pods start their containers again (OnFailure) deletes its pod itself when it gives up.
    """
    if not mapping(pod.get("metadata")).get("deletionTimestamp"):
        return False
    if mapping(pod.get("spec")).get("restartPolicy") == "OnFailure" and failed:
        return False
    return all(container.exit_code in _KILLED for container in failed)


def of_deadline(job: Manifest, hindrance: Cause | None) -> Sign:
    """The Job's own deadline ended it; ``hindrance`` is what kept it from work, if something did."""
    seconds = mapping(job.get("spec")).get("activeDeadlineSeconds")
    limit = f" of {seconds} s" if seconds is not None else ""
    fields = {**_of_job(job), "limit": limit, "told": hindrance.sentence if hindrance else ""}
    return Sign(place=Place.DEADLINE, reason="DeadlineExceeded", fields=fields, cause=hindrance)


def of_failed_job(job: Manifest, entry: Mapping[str, object], *, has_pods: bool) -> Sign:
    """The Job's condition Failed or FailureTarget, for when no pod tells more."""
    template = mapping(mapping(job.get("spec")).get("template"))
    restarts = mapping(template.get("spec")).get("restartPolicy") == "OnFailure"
    fields = {
        **_of_job(job),
        "pods_gone": "" if has_pods else "yes",
        "restarts_itself": "yes" if restarts else "",
    }
    said = quoted(entry.get("message") or entry.get("reason"))
    return Sign(place=Place.JOB, reason=str(entry.get("reason", "")), message=said, fields=fields)


def of_job_state(job: Manifest, reason: str) -> Sign:
    """``Suspended`` or ``Deleted``."""
    return Sign(place=Place.STATE, reason=reason, fields=_of_job(job))


# -- what has not ended ---------------------------------------------------------------------------------------------


def is_hindered(pod: Manifest) -> bool:
    """Whether the pod has not ended, and is not simply at work."""
    if phase(pod) in ENDED_PHASES:
        return False
    if mapping(pod.get("metadata")).get("deletionTimestamp"):
        return True
    return (
        phase(pod) != "Running"
        or any(container.waiting for container in containers(pod))
        or _unready_since(pod) is not None
    )


def _unready_since(pod: Manifest) -> datetime | None:
    """Since when the pod's node is not heard of; None while it is.

    The node lifecycle controller then takes the pod's condition Ready back, while what the node last said of the
    containers, that they are ready, stays as it is.
    """
    entry = condition(pod, "Ready")
    if entry is None or entry.get("status") != "False" or phase(pod) != "Running":
        return None
    statuses = [container.status for container in containers(pod) if not container.init]
    at_work = [status.get("ready") is True and "running" in mapping(status.get("state")) for status in statuses]
    return moment(entry.get("lastTransitionTime")) if at_work and all(at_work) else None


def of_hindered_pod(pod: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """What keeps a pod from its work or from going."""
    deleted = moment(mapping(pod.get("metadata")).get("deletionTimestamp"))
    if deleted is not None:
        disruption = true_condition(pod, "DisruptionTarget") or {}
        reason = str(mapping(pod.get("status")).get("reason") or disruption.get("reason") or "")
        lost = reason in ("NodeLost", "DeletionByTaintManager")
        yield _silence(reason if lost else "Deletion", deleted, _of_pod(pod))
    elif (unready := _unready_since(pod)) is not None:
        yield _silence("NodeNotReady", unready, _of_pod(pod))
    yield from of_pod_not_started(pod, events)


def of_pod_not_started(pod: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """What keeps a pod's program from starting, or from being started again."""
    yield from _of_placement(pod, events)
    yield from _of_waiting(pod, events)
    yield from _of_set_up(pod, events)
    if not mapping(pod.get("spec")).get("nodeName") and condition(pod, "PodScheduled") is None:
        yield _silence("NotScheduled", created(pod), _of_pod(pod))


def of_job_without_pods(job: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """The Job has no pod: refused, or not made yet; normal for a moment."""
    since = moment(mapping(job.get("status")).get("startTime")) or created(job)
    for event in events_of(job, events):
        if event.get("reason") != "FailedCreate":
            continue
        first = moment(event.get("firstTimestamp")) or event_time(event)
        yield Sign(
            place=Place.CREATE,
            message=_refusal_words(event),
            since=min(first, since or first),
            fields=_of_job(job),
        )
        return  # the newest counts
    if not any(mapping(job.get("status")).get(count) for count in ("active", "terminating", "failed", "succeeded")):
        yield _silence("NoPod", since, _of_job(job))
    # Otherwise it had one: the Job's condition, or its next pod, is about to follow.


def of_unheeded_end(job: Manifest, pod: Manifest) -> Iterator[Sign]:
    """The Job's last pod has ended, and the Job does not say so; normal for a moment.

    A Job that makes several pods by itself (the original's do) may take its time for the next one.
    """
    if mapping(job.get("spec")).get("backoffLimit") != 0:
        return
    ends = [moment(container.terminated.get("finishedAt")) for container in containers(pod) if container.terminated]
    since = max((end for end in ends if end is not None), default=created(pod))
    yield _silence("EndUnheeded", since, _of_job(job) | _of_pod(pod))


def _of_placement(pod: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """What the scheduler says, and before it what the claims say when they may be why."""
    entry = condition(pod, "PodScheduled")
    if mapping(pod.get("spec")).get("nodeName") or (entry is not None and entry.get("status") != "False"):
        return
    about = _of_pod(pod)
    since = (moment(entry.get("lastTransitionTime")) if entry else None) or created(pod)
    said = quoted(entry.get("message")) if entry else ""
    if entry is None or re.search(VOLUME_WORDS, said, re.IGNORECASE):
        for event in claim_events(pod, events):
            yield Sign(
                place=Place.CLAIM,
                reason=str(event.get("reason", "")),
                message=_plain(event.get("message")),
                since=since,
                fields={**about, "claim": str(mapping(event.get("involvedObject")).get("name", ""))},
            )
    if entry is not None:
        yield Sign(place=Place.SCHEDULER, reason=str(entry.get("reason", "")), message=said, since=since, fields=about)


def _of_waiting(pod: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """Containers that can't start for a reason that their status names."""
    since = moment(mapping(pod.get("status")).get("startTime")) or created(pod)
    for container in containers(pod):
        reason = str(container.waiting.get("reason", ""))
        if reason in _SETTING_UP:
            continue
        message = _plain(container.waiting.get("message"))
        if reason in PULL_REASONS:
            message = _pull_words(container, events_of(pod, events)) or message
        yield Sign(
            place=Place.WAITING,
            reason=reason,
            message=message,
            since=since,
            exit_code=container.exit_code,
            fields=_of_pod(pod) | _of_container(container),
        )


def _of_set_up(pod: Manifest, events: Sequence[Manifest]) -> Iterator[Sign]:
    """Events of a pod that has its node, but none of whose containers was created."""
    if any(str(container.waiting.get("reason", "")) not in _SETTING_UP for container in containers(pod)):
        return
    if any(mapping(container.status.get("state")).keys() - {"waiting"} for container in containers(pod)):
        return
    since = moment(mapping(pod.get("status")).get("startTime")) or created(pod)
    for event in events_of(pod, events):
        yield Sign(
            place=Place.SET_UP,
            reason=str(event.get("reason", "")),
            message=_plain(event.get("message")),
            since=since,
            fields=_of_pod(pod),
        )


def _pull_words(container: Container, events: Sequence[Manifest]) -> str:
    """The registry's words: the status says only "back-off" from the second try on, the event has them."""
    prefix = f'Failed to pull image "{container.image}"'
    for event in events:
        message = str(event.get("message", "")).removeprefix(_COMBINED)
        if event.get("reason") == "Failed" and message.startswith(prefix):
            return _plain(message.removeprefix(prefix).lstrip(": "))
    waiting = str(container.waiting.get("message", ""))
    # Since 1.31 the back-off's message carries the pull's own after this mark.
    return _plain(waiting.partition("ErrImagePull: ")[2])


# -- the names in the sentences ---------------------------------------------------------------------------------------


def _silence(reason: str, since: datetime | None, fields: Mapping[str, str]) -> Sign:
    return Sign(place=Place.SILENCE, reason=reason, since=since, fields=fields)


def _of_job(job: Manifest) -> dict[str, str]:
    return {"job": name(job)}


def _of_pod(pod: Manifest) -> dict[str, str]:
    labels = mapping(mapping(pod.get("metadata")).get("labels"))
    step = step_key({key: str(value) for key, value in labels.items()})
    return {
        "pod": name(pod),
        "node": str(mapping(pod.get("spec")).get("nodeName") or "(none)"),
        "limit_key": f"steps.{step.step}.limits.memory" if step else "its memory limit",
    }


def _of_container(container: Container) -> dict[str, str]:
    kind = "init container" if container.init else "container"
    reason, code = container.terminated.get("reason"), container.exit_code
    limit = container.quantity("limits", "memory")
    command = container.spec.get("command")
    program = command if isinstance(command, list) and command else ["the image's own"]
    return {
        "container": f"{kind} {container.name}",
        "Container": f"{kind.capitalize()} {container.name}",
        "image": container.image,
        "program": " ".join(map(str, program[:3])),
        "memory_limit": limit or "",
        "within_limit": f" (limit {limit})" if limit else "",
        "memory_used": _memory_used(container),
        "memory_request": container.quantity("requests", "memory") or "none either",
        "out_of_memory": "yes" if reason == "OOMKilled" else "",
        "last": f" (last with exit code {code})" if code is not None else "",
    }


def _memory_used(container: Container) -> str:
    """The most memory that a step's program has measured before its end, as the end of a sentence."""
    told = mapping(mapping(told_by(container)).get("memory"))
    peak, largest, of_it = told.get("peak"), told.get("largest"), told.get("largest_bytes")
    if not isinstance(peak, int) or not 0 < peak < _BYTES_LIMIT:
        return ""
    used = f"; the most that was measured before is {binary_size(peak)}"
    if isinstance(largest, str) and quoted(largest) and isinstance(of_it, int) and 0 < of_it <= peak:
        used += f", of which {quoted(largest)} held {binary_size(of_it)}"
    return used


def _refusal_words(event: Manifest) -> str:
    """Why a pod was not created, without its name, which is another at each try."""
    said = _plain(event.get("message")).removeprefix("Error creating: ")
    return re.sub(r'^pods "[^"]+" is forbidden: ', "", said)


def _plain(message: object) -> str:
    """A message without the layers of protocol around it, nor the numbers that differ at each try."""
    said = str(message or "").removeprefix(_COMBINED)
    return quoted(re.sub(r"rpc error: code = \w+ desc = |(?<!sha256:)\b[0-9a-f]{64}\b", "", said))
