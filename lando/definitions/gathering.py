"""What the cluster still tells of a Job: its pods' logs and last words, the events, and why it failed or waits."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubernetes.client.exceptions import ApiException

from lando.definitions import pod_logs
from lando.definitions.causes import TAIL_LINES, events_of, judged, never_placed
from lando.definitions.kubernetes_errors import UNREACHED, trouble
from lando.definitions.manager import JobManager
from lando.definitions.spec import V1Job
from lando.k8s.diagnosis.facts import ENDED_PHASES, phase, true_condition
from lando.runs import Cause

LINES = 10_000
"""Of each container, the last."""
PODS = 20
"""Of each Job, the newest."""
BYTES = 16 * 1024 * 1024
"""Of the logs of each Job, those of the newest pods first: they are in memory, all at once."""
READ = 4 * BYTES
"""Of each container's last lines, to come to their end."""

LOGS_S = 60.0
"""In which the logs of each Job have to be read: those of a node that does not answer take long."""

Logs = dict[str, dict[str, str]]
"""By pod and container."""

_NO_LOG = "[There is no log: "


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Of one Job, at one time."""

    cause: Cause | None = None
    logs: Logs
    terminations: Logs
    events: list[dict[str, Any]]
    lost: tuple[str, ...] = ()
    """What could not be had, in sentences."""
    is_settled: bool = True
    """All its pods had ended and were heard: they have no more to say."""

    @property
    def size(self) -> int:
        """Of the logs, in characters."""
        return sum(len(text) for logs in self.logs.values() for text in logs.values())

    def after(self, earlier: Gathered) -> Gathered:
        """This, and what was gathered earlier of what is gone meanwhile."""
        logs = {pod: dict(texts) for pod, texts in earlier.logs.items()}
        for pod, texts in self.logs.items():
            known = logs.setdefault(pod, {})
            known |= {name: text for name, text in texts.items() if name not in known or not is_missing(text)}
        terminations = {**earlier.terminations, **self.terminations}
        return replace(
            self,
            cause=self.cause or earlier.cause,
            logs=logs,
            terminations=terminations,
            events=_distinct([*earlier.events, *self.events]),
        )

    def without_logs(self, why: str) -> Gathered:
        return replace(self, logs={}, lost=(*self.lost, why))


NOTHING = Gathered(logs={}, terminations={}, events=[])


def gather(
    manager: JobManager, job: V1Job, *, is_gone: bool = False, clock: Callable[[], float] = time.monotonic
) -> Gathered:
    """What there is now. Raises what a cluster that is away raises; a log that can't be read is a sentence instead.

    With ``is_gone`` only pods are left, which go too: that is then no cause.
    """
    name, uid = job.metadata.name, job.metadata.uid
    logs: Logs = {}
    lost = []
    with manager.connection.core() as core:
        pods: list[Any] = []
        number = 0
        for pod in manager.each_pod(core, name, uid):
            number += 1
            pods = heapq.nlargest(PODS, [*pods, pod], key=lambda pod: pod.metadata.creation_timestamp)
        if number > len(pods):
            lost.append(f"Of its {number} pods only the newest {PODS} are kept.")
        left, until, is_settled = BYTES, clock() + LOGS_S, all(pod.status.phase in ENDED_PHASES for pod in pods)
        for pod in pods:
            for container in pod_logs.containers_of(pod):
                if not left:
                    text = missing(f"only {BYTES} bytes of a Job's logs are kept.")
                elif clock() > until:
                    text = missing(f"the others took longer than {LOGS_S:g} s.")
                else:
                    text, is_read = _log(core, pod, container, left)
                    is_settled = is_settled and is_read
                logs.setdefault(pod.metadata.name, {})[container] = text
                left = max(0, left - len(text.encode()))
        uids = [uid, *(pod.metadata.uid for pod in pods)]
        events = [event for one in uids for event in events_of(core, manager.namespace, one)]
        document, *documents = map(core.api_client.sanitize_for_serialization, [job, *pods])
        unplaced = [] if documents else never_placed(core, manager.namespace, document, events)

    def tail_of(pod: str, container: str) -> str:
        text = logs.get(pod, {}).get(container, "")
        return "" if is_missing(text) else "\n".join(text.split("\n")[-TAIL_LINES - 1 :])

    if is_gone and not has_ended(document):
        documents = [_staying(pod) for pod in documents if phase(pod) == "Pending"]
        cause = judged(document, documents, events, tail_of) if documents else None
    else:
        cause = judged(document, documents or unplaced, events, tail_of)
    return Gathered(
        cause=cause,
        logs=logs,
        terminations={pod.metadata.name: pod_logs.terminations_of(pod) for pod in pods},
        events=events,
        lost=tuple(lost),
        is_settled=is_settled,
    )


def missing(why: str) -> str:
    """In the place of a log."""
    return f"{_NO_LOG}{why}]"


def is_missing(text: str) -> bool:
    """Whether the text of a log only says why there is none."""
    return text.startswith(_NO_LOG)


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether the Job, a document of the API's, is complete or has failed."""
    return any(true_condition(job, kind) for kind in ("Complete", "Failed"))


def _staying(pod: dict[str, Any]) -> dict[str, Any]:
    return {**pod, "metadata": {key: value for key, value in pod["metadata"].items() if key != "deletionTimestamp"}}


def _log(core: Any, pod: Any, container: str, limit_bytes: int) -> tuple[str, bool]:
    """The log, and whether it makes no sense to ask again."""
    try:
        found = pod_logs.lines(core, pod, container, limit=LINES, limit_bytes=READ, last_bytes=limit_bytes)
    except (ApiException, *UNREACHED) as error:  # its node may be gone for good, and the Job is not to be kept for that
        return missing(f"{trouble(error)}."), False
    return (missing("the pod was gone."), True) if found is None else ("\n".join(found), True)


def _distinct(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last of each."""
    return list({(event.get("metadata") or {}).get("uid") or str(event): event for event in events}.values())
