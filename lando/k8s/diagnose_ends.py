"""The rules for what has ended: why a pod did not succeed, why a Job failed, and whose move it is.

A table where a reason's name is all that matters, one small function for each rule that looks at more. The reasons are
those of kubelet, scheduler, Job controller and node lifecycle controller of Kubernetes 1.28 and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lando.k8s.findings import INFRA_ADVICE, Finding, PodRule, Words, failed, infrastructure, runtime_words
from lando.k8s.pod_facts import (
    Manifest,
    containers,
    mapping,
    name,
    phase,
    quoted,
    signal_name,
    termination_message,
    told_cause,
    true_condition,
)
from lando.runs import Category

_DEADLINE_ADVICE = "Raise steps.<step type>.deadline_s if the step really needs longer."

DISRUPTIONS: Mapping[str, str] = {
    "PreemptionByScheduler": "was preempted by a pod of higher priority",
    "DeletionByTaintManager": "had to leave its node, which is lost or being emptied",
    "EvictionByEvictionAPI": "was evicted from its node, for instance because the node is being drained",
    "DeletionByPodGC": "was removed because its node no longer exists",
    "TerminationByKubelet": "was ended by its node, which is shutting down or short of resources",
}
"""Reasons of the pod condition DisruptionTarget."""

POD_REASONS: Mapping[str, str] = {
    "Evicted": "was evicted from its node",
    "Preempting": "was preempted on its node by a more important pod",
    "Preempted": "was preempted on its node by a more important pod",
    "NodeLost": "is on a node that no longer answers",
    "NodeShutdown": "was ended because its node is shutting down",
    "Shutdown": "was ended because its node is shutting down",
    "Terminated": "was ended because its node is shutting down",
    "NodeAffinity": "was refused by its node, whose labels have changed",
    "OutOfcpu": "was refused by its node, which has no processor left",
    "OutOfmemory": "was refused by its node, which has no memory left",
    "OutOfpods": "was refused by its node, which runs as many pods as it may",
    "OutOfephemeral-storage": "was refused by its node, which has no disk space left",
    "UnexpectedAdmissionError": "was refused by its node",
}
"""``status.reason`` of pods that the cluster, not their program, ended."""

_OWN_STORAGE = re.compile(r"exceed(s|ed)\b.*\b(limit|total limit)")
"""An eviction for a pod's own ephemeral-storage or emptyDir limit, in contrast to a node's shortage."""

START_ERRORS = ("ContainerCannotRun", "StartError", "RunContainerError")
"""Reasons of a container that ended before its program ran."""

EXIT_CODES: Mapping[int, Words] = {
    126: Words(
        category=Category.IMAGE,
        sentence="The program of container {container} can't be executed (exit code 126): {program}.",
        advice="Check that the base command names an executable of the image {image}, built for the nodes' processors.",
    ),
    127: Words(
        category=Category.IMAGE,
        sentence="The program of container {container} was not found in its image (exit code 127): {program}.",
        advice="Check the base command of the runtime's step against the image {image}.",
    ),
    137: Words(
        category=Category.RESOURCES,
        sentence="Container {container} was killed (exit code 137, SIGKILL).",
        advice="Most often the memory was used up; give the step more, or make the workflow need less.",
    ),
}
"""Exit codes that say more than "the program failed"."""


def disruption(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The cluster took the pod away and says so (pod condition DisruptionTarget)."""
    entry = true_condition(pod, "DisruptionTarget")
    if entry is None:
        return None
    words = DISRUPTIONS.get(str(entry.get("reason")), f"was taken away by the cluster ({quoted(entry.get('reason'))})")
    return infrastructure(pod, words, entry.get("message"))


def pod_reason(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The node or a controller ended the pod as a whole."""
    status = mapping(pod.get("status"))
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    if reason == "DeadlineExceeded":
        return failed(Category.RESOURCES, f"The pod {name(pod)} ran longer than its deadline.", _DEADLINE_ADVICE)
    if reason == "Evicted" and _OWN_STORAGE.search(message):
        return failed(
            Category.RESOURCES,
            f"The pod {name(pod)} was evicted for using more disk than its limit: {quoted(message)}.",
            "Raise the step's ephemeral-storage limit, or write to the output volume instead.",
        )
    if reason not in POD_REASONS:
        return None
    return infrastructure(pod, POD_REASONS[reason], message)


def out_of_memory(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """A container was ended for its memory (reason OOMKilled)."""
    for container in containers(pod):
        if container.terminated.get("reason") != "OOMKilled":
            continue
        limit, request = container.quantity("limits", "memory"), container.quantity("requests", "memory")
        if limit:
            sentence = f"Container {container.name} was ended for using more memory than its limit of {limit}."
        else:
            asked = f"it asked for {request} and has" if request else "it has"
            sentence = f"Container {container.name} was ended because memory ran out ({asked} no limit of its own)."
        return failed(
            Category.RESOURCES,
            sentence,
            "Choose a flavor with more memory, or make the workflow need less.",
            exit_code=container.exit_code,
        )
    return None


def start_error(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The runtime could not start the container's program."""
    for container in containers(pod):
        if container.terminated.get("reason") not in START_ERRORS:
            continue
        return failed(
            Category.IMAGE,
            f"Container {container.name} could not be started: {runtime_words(container.terminated.get('message'))}.",
            f"Check the base command of the runtime's step against the image {container.image}.",
            exit_code=container.exit_code,
        )
    return None


def deleted_from_outside(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """Somebody deleted the pod while its program ran; what the program then ended with is the deletion's doing."""
    if not mapping(pod.get("metadata")).get("deletionTimestamp") or phase(pod) == "Succeeded":
        return None
    ends = [container.exit_code for container in containers(pod) if container.failed]
    if any(code not in (137, 143) for code in ends):
        return None
    return infrastructure(pod, "was deleted from outside while its step ran", "")


def own_cause(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The step's program said itself why it failed (termination message)."""
    code = next((container.exit_code for container in containers(pod) if container.failed), None)
    cause = told_cause(termination_message([pod])) if code is not None else None
    if cause is None:
        return None
    return failed(cause.category, cause.sentence, cause.advice, exit_code=code)


def exit_code(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """All that is known is the number the program ended with."""
    for container in containers(pod):
        code = container.exit_code
        if code in (None, 0):
            continue
        assert code is not None  # noqa: S101  (for the type checker)
        filling = {
            "container": container.name,
            "image": container.image,
            "program": " ".join(map(str, (container.spec.get("command") or ["the image's own"])[:3])),
        }
        if words := EXIT_CODES.get(code):
            return failed(
                words.category, words.sentence.format(**filling), words.advice.format(**filling), exit_code=code
            )
        said = signal_name(code)
        ending = f"was ended by {said} (exit code {code})" if said else f"ended with exit code {code}"
        return failed(
            Category.USER,
            f"The program of container {container.name} {ending}.",
            "Its last log lines tell more.",
            exit_code=code,
        )
    return None


ENDED: tuple[PodRule, ...] = (
    disruption,
    pod_reason,
    out_of_memory,
    start_error,
    deleted_from_outside,
    own_cause,
    exit_code,
)
"""For pods that did not succeed; the first that finds something is right."""


def deadline(job: Manifest, hindrance: Finding | None) -> Finding:
    """The Job's own deadline ended it; ``hindrance`` is what kept it from work, if something did."""
    seconds = mapping(job.get("spec")).get("activeDeadlineSeconds")
    limit = f" of {seconds} s" if seconds is not None else ""
    if hindrance is not None:
        sentence = f"The step's deadline{limit} passed before it could start. {hindrance.cause.sentence}"
        return failed(hindrance.cause.category, sentence, hindrance.cause.advice)
    return failed(Category.RESOURCES, f"The step ran longer than its deadline{limit}.", _DEADLINE_ADVICE)


def unexplained(job: Manifest, has_pods: bool) -> Finding:
    """The Job failed and no pod says why."""
    entry = true_condition(job, "Failed") or {}
    said = quoted(entry.get("message") or entry.get("reason"))
    if not has_pods:
        sentence = f"The pod of Job {name(job)} is gone, so it was probably deleted from outside"
        return failed(Category.INFRASTRUCTURE, f"{sentence} ({said})." if said else f"{sentence}.", INFRA_ADVICE)
    return failed(Category.USER, f"Job {name(job)} failed: {said or 'the cluster gives no reason'}.")
