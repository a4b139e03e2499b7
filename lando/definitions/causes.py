"""Why a Job failed, or what it waits for, by Lando's diagnosis of the Job, its pods and their events."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes.client.exceptions import ApiException

from lando.definitions.connection import parsed
from lando.definitions.kubernetes_errors import message_of
from lando.definitions.spec import V1Job
from lando.k8s.diagnosis import Verdict, diagnose, of_a_job
from lando.k8s.diagnosis.facts import containers, mapping, newest_first, objects, true_condition
from lando.runs import Cause

logger = logging.getLogger(__name__)

TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
READ = 64 * TAIL_BYTES
"""Of these lines: what a cluster cuts is their end."""
_FOREVER = timedelta(days=36500)
"""Nothing ends a wait here: whether the Job has failed is the cluster's to say."""
_MADE = "Created pod: "
"""How the cluster's Job controller begins to tell of a pod, before its name."""
JOBS_AT_ONCE = 100
"""Whose pods are asked for by one call: their names are part of its address."""
PODS_AT_ONCE = 500
POD_PAGES = 10
"""Of the pods of so many Jobs; what is beyond them is not looked at."""


def cause_of(core: Any, job: V1Job, namespace: str) -> Cause | None:
    """The cause, with the end of the failed container's log; None where the Job succeeded or is at work.

    Raises ApiException when the pods can't be listed; events and logs that can't be read only make it shorter.
    """
    document = core.api_client.sanitize_for_serialization(job)
    uid = job.metadata.uid
    listed = _listed(
        core.list_namespaced_pod(namespace, label_selector=f"job-name={job.metadata.name}", _preload_content=False)
    )
    pods = [pod for pod in listed if _controller(pod) in (None, uid)]
    events = [event for one in (uid, *_newest_uids(pods)) for event in events_of(core, namespace, one)]
    pods = pods or never_placed(core, namespace, document, events)
    return judged(document, pods, events, functools.partial(_tail, core, namespace))


def document_of(cause: Cause) -> dict[str, Any]:
    """As the server tells it and the archive keeps it."""
    return {
        "category": cause.category.value,
        "sentence": cause.sentence,
        "advice": cause.advice,
        "exit_code": cause.exit_code,
        "log_tail": cause.log_tail,
    }


def judged(
    job: dict[str, Any],
    pods: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    tail_of: Callable[[str, str], str],
) -> Cause | None:
    """The cause as the documents have it; ``tail_of`` gives the last lines of a pod's container."""
    found = diagnose(job, pods, events, now=datetime.now(UTC), patience=_FOREVER)
    if found.cause is None:
        return None
    failed = ((pod, container) for pod in newest_first(pods) for container in containers(pod) if container.failed)
    blamed = next(failed, None) if found.verdict is Verdict.FAILED else None
    tail = tail_of(blamed[0]["metadata"]["name"], blamed[1].name) if blamed is not None else ""
    return replace(of_a_job(found.cause), log_tail=tail)


def never_placed(
    core: Any, namespace: str, job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The last pod of a Job that its deadline ended, as events still tell of it: such pods go at once. None where it
    had found its node, or nothing tells."""
    if (true_condition(job, "Failed") or {}).get("reason") != "DeadlineExceeded":
        return []
    made = (str(event.get("message")) for event in events if event.get("reason") == "SuccessfulCreate")
    names = [said.removeprefix(_MADE) for said in made if said.startswith(_MADE)]
    if not names:
        return []
    told = _events(core, namespace, f"involvedObject.name={names[-1]}")
    refused = [event for event in told if event.get("reason") == "FailedScheduling"]
    if not refused or any(event.get("reason") == "Scheduled" for event in told):
        return []
    refusal = max(refused, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    placed = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": refusal.get("message"),
        "lastTransitionTime": refusal.get("firstTimestamp") or refusal.get("eventTime"),
    }
    return [{"metadata": {"name": names[-1]}, "spec": {}, "status": {"phase": "Pending", "conditions": [placed]}}]


def _controller(pod: Mapping[str, Any]) -> str | None:
    """The UID of what made the pod."""
    owners = objects(mapping(pod.get("metadata")).get("ownerReferences"))
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), None)


def causes_of(core: Any, jobs: Sequence[V1Job], namespace: str) -> dict[str, Cause]:
    """The causes of many Jobs, by name, from what their pods' states tell alone: without events and logs, and by one
    call for each :data:`JOBS_AT_ONCE` Jobs.

    Raises ApiException when the pods can't be listed.
    """
    found: dict[str, Cause] = {}
    for first in range(0, len(jobs), JOBS_AT_ONCE):
        some = jobs[first : first + JOBS_AT_ONCE]
        pods: dict[str, list[dict[str, Any]]] = {}
        for pod in _pods_of(core, namespace, [str(job.metadata.name) for job in some]):
            labels = mapping(mapping(pod.get("metadata")).get("labels"))
            pods.setdefault(str(labels.get("job-name")), []).append(pod)
        for job in some:
            document = core.api_client.sanitize_for_serialization(job)
            own = [pod for pod in pods.get(job.metadata.name, ()) if _controller(pod) in (None, job.metadata.uid)]
            cause = judged(document, own, [], lambda pod, container: "")
            if cause is not None:
                found[job.metadata.name] = cause
    return found


def _pods_of(core: Any, namespace: str, jobs: Sequence[str]) -> Iterator[dict[str, Any]]:
    place: dict[str, Any] = {}
    for _ in range(POD_PAGES):
        answer = core.list_namespaced_pod(
            namespace,
            label_selector=f"job-name in ({','.join(jobs)})",
            limit=PODS_AT_ONCE,
            _preload_content=False,
            **place,
        )
        listed = parsed(answer)
        yield from (item for item in listed.get("items") or [] if isinstance(item, dict))
        token = mapping(listed.get("metadata")).get("continue")
        if not token:
            return
        place = {"_continue": token}


def _newest_uids(pods: Sequence[dict[str, Any]]) -> list[str]:
    return [str(mapping(pod.get("metadata")).get("uid")) for pod in newest_first(pods)[:1]]


def events_of(core: Any, namespace: str, uid: str) -> list[dict[str, Any]]:
    """What the cluster tells of the object; nothing where that can't be read."""
    return _events(core, namespace, f"involvedObject.uid={uid}")


def _events(core: Any, namespace: str, selector: str) -> list[dict[str, Any]]:
    try:
        return _listed(
            core.list_namespaced_event(namespace, field_selector=selector, limit=100, _preload_content=False)
        )
    except ApiException as error:  # the right to events is not among those that are asked for
        logger.debug("Events are not to be had: %s", message_of(error))
        return []


def _tail(core: Any, namespace: str, pod: str, container: str) -> str:
    """Nothing where that can't be read."""
    try:
        answer = core.read_namespaced_pod_log(
            name=pod,
            namespace=namespace,
            container=container,
            tail_lines=TAIL_LINES,
            limit_bytes=READ,
            _preload_content=False,
        )
    except ApiException as error:
        logger.debug("A log is not to be had: %s", message_of(error))
        return ""
    return str(answer.data[-TAIL_BYTES:].decode("utf-8", errors="replace"))


def _listed(answer: Any) -> list[dict[str, Any]]:
    """The items of a list as JSON: the client's objects refuse what they do not know."""
    return [item for item in parsed(answer).get("items") or [] if isinstance(item, dict)]
