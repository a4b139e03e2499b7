"""Why a Job failed, or what it waits for, by Lando's diagnosis of the Job, its pods and their events."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes.client.exceptions import ApiException

from lando.definitions.kubernetes_errors import message_of
from lando.definitions.spec import V1Job
from lando.k8s.diagnosis import Verdict, diagnose, of_a_job
from lando.k8s.diagnosis.facts import containers, mapping, newest_first
from lando.runs import Cause

logger = logging.getLogger(__name__)

TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
_FOREVER = timedelta(days=36500)
"""Nothing ends a wait here: whether the Job has failed is the cluster's to say."""


def cause_of(core: Any, job: V1Job, namespace: str) -> Cause | None:
    """The cause, with the end of the failed container's log; None where the Job succeeded or is at work.

    Raises ApiException when the pods can't be listed; events and logs that can't be read only make it shorter.
    """
    document = core.api_client.sanitize_for_serialization(job)
    name = job.metadata.name
    pods = _listed(core.list_namespaced_pod(namespace, label_selector=f"job-name={name}", _preload_content=False))
    events = [event for one in (job.metadata.uid, *_newest_uids(pods)) for event in events_of(core, namespace, one)]
    judged = diagnose(document, pods, events, now=datetime.now(UTC), patience=_FOREVER)
    if judged.cause is None:
        return None
    tail = _tail(core, namespace, pods) if judged.verdict is Verdict.FAILED else ""
    return replace(of_a_job(judged.cause), log_tail=tail)


def _newest_uids(pods: Sequence[dict[str, Any]]) -> list[str]:
    return [str(mapping(pod.get("metadata")).get("uid")) for pod in newest_first(pods)[:1]]


def events_of(core: Any, namespace: str, uid: str) -> list[dict[str, Any]]:
    """What the cluster tells of the object; nothing where that can't be read."""
    try:
        return _listed(
            core.list_namespaced_event(
                namespace, field_selector=f"involvedObject.uid={uid}", limit=100, _preload_content=False
            )
        )
    except ApiException as error:  # the right to events is not among those that are asked for
        logger.debug("Events are not to be had: %s", message_of(error))
        return []


def _tail(core: Any, namespace: str, pods: Sequence[dict[str, Any]]) -> str:
    """The last lines of the newest container that failed."""
    for pod in newest_first(pods):
        for container in containers(pod):
            if container.failed:
                try:
                    answer = core.read_namespaced_pod_log(
                        name=pod["metadata"]["name"],
                        namespace=namespace,
                        container=container.name,
                        tail_lines=TAIL_LINES,
                        limit_bytes=TAIL_BYTES,
                        _preload_content=False,
                    )
                except ApiException as error:
                    logger.debug("A log is not to be had: %s", message_of(error))
                    return ""
                return str(answer.data.decode("utf-8", errors="replace"))
    return ""


def _listed(answer: Any) -> list[dict[str, Any]]:
    """The items of a list as JSON: the client's objects refuse what they do not know."""
    return [item for item in json.loads(answer.data).get("items") or [] if isinstance(item, dict)]
