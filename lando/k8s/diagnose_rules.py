"""The rules of diagnosis: what a pod's or Job's state means in words, whose move it is, and how long to wait.

Tables for what is a matter of a reason's name, one small function for each rule that looks at more. The reasons are
those of kubelet, scheduler, Job controller and node lifecycle controller of Kubernetes 1.28 and later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lando.k8s.pod_facts import (
    ENDED_PHASES,
    Container,
    Manifest,
    condition,
    containers,
    created,
    event_time,
    mapping,
    moment,
    name,
    phase,
    quoted,
    signal_name,
    termination_message,
    told_cause,
    true_condition,
)
from lando.runs import Category, Cause


class Wait(Enum):
    """How long a state that hinders a step may last."""

    NONE = "none"
    """It can't pass by itself: a failure at once."""
    PATIENCE = "patience"
    """It may pass; a failure after the configured patience."""
    ENDLESS = "endless"
    """Somebody holds it on purpose, or the Job itself counts its tries."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule has found."""

    cause: Cause
    wait: Wait = Wait.NONE
    since: datetime | None = None
    """Since when, for patience."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A row of a table; ``{…}`` are filled in by the rule that uses it."""

    category: Category
    sentence: str
    advice: str = ""
    wait: Wait = Wait.PATIENCE


PodRule = Callable[[Manifest, Sequence[Manifest]], Finding | None]

_INFRA = "Nothing is wrong with the workflow itself; the step can be run again."
_IMAGE = "Check the image's name and tag in the runtime's step, and that the cluster may pull from its registry."
_CONFIG = "Ask the operators to create what is missing; the run can then be restarted."
_VOLUME = "Ask the operators whether the storage class exists and has room."

# -- ends ------------------------------------------------------------------------------------------------------------

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
    return _infrastructure(pod, words, entry.get("message"))


def pod_reason(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The node or a controller ended the pod as a whole."""
    status = mapping(pod.get("status"))
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    if reason == "DeadlineExceeded":
        return _failed(Category.RESOURCES, f"The pod {name(pod)} ran longer than its deadline.", _DEADLINE_ADVICE)
    if reason == "Evicted" and _OWN_STORAGE.search(message):
        return _failed(
            Category.RESOURCES,
            f"The pod {name(pod)} was evicted for using more disk than its limit: {quoted(message)}.",
            "Raise the step's ephemeral-storage limit, or write to the output volume instead.",
        )
    if reason not in POD_REASONS:
        return None
    return _infrastructure(pod, POD_REASONS[reason], message)


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
        return _failed(
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
        return _failed(
            Category.IMAGE,
            f"Container {container.name} could not be started: {_runtime_words(container.terminated.get('message'))}.",
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
    return _infrastructure(pod, "was deleted from outside while its step ran", "")


def own_cause(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The step's program said itself why it failed (termination message)."""
    failed = next((container for container in containers(pod) if container.failed), None)
    cause = told_cause(termination_message([pod])) if failed else None
    if failed is None or cause is None:
        return None
    return _failed(cause.category, cause.sentence, cause.advice, exit_code=failed.exit_code)


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
            return _failed(
                words.category, words.sentence.format(**filling), words.advice.format(**filling), exit_code=code
            )
        said = signal_name(code)
        ending = f"was ended by {said} (exit code {code})" if said else f"ended with exit code {code}"
        return _failed(
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

# -- waits -----------------------------------------------------------------------------------------------------------

WAITING_REASONS: Mapping[str, Words] = {
    "ErrImagePull": Words(
        category=Category.IMAGE, sentence="The image {image} can't be pulled: {message}.", advice=_IMAGE
    ),
    "ImagePullBackOff": Words(
        category=Category.IMAGE, sentence="The image {image} can't be pulled: {message}.", advice=_IMAGE
    ),
    "InvalidImageName": Words(
        category=Category.IMAGE,
        sentence="{image} is no valid image name: {message}.",
        advice="Correct the image name in the runtime's step.",
        wait=Wait.NONE,
    ),
    "ErrImageNeverPull": Words(
        category=Category.IMAGE,
        sentence="The image {image} is not on the node, and its pull policy is Never.",
        advice="Load the image onto the nodes or change steps.<step type>.image_pull_policy.",
        wait=Wait.NONE,
    ),
    "ImageInspectError": Words(
        category=Category.IMAGE, sentence="The image {image} can't be read on its node: {message}.", advice=_IMAGE
    ),
    "RegistryUnavailable": Words(
        category=Category.IMAGE, sentence="The registry of the image {image} can't be reached: {message}."
    ),
    "SignatureValidationFailed": Words(
        category=Category.IMAGE,
        sentence="The signature of the image {image} was not accepted: {message}.",
        advice=_IMAGE,
        wait=Wait.NONE,
    ),
    "CreateContainerConfigError": Words(
        category=Category.INFRASTRUCTURE,
        sentence="Container {container} lacks something it refers to: {message}.",
        advice=_CONFIG,
    ),
    "CreateContainerError": Words(
        category=Category.INFRASTRUCTURE, sentence="Container {container} can't be created: {message}."
    ),
    "RunContainerError": Words(
        category=Category.IMAGE,
        sentence="Container {container} can't be started: {message}.",
        advice="Check the base command of the runtime's step against the image {image}.",
    ),
    "CrashLoopBackOff": Words(
        category=Category.USER,
        sentence="The program of container {container} keeps failing and is started again: {message}.",
        wait=Wait.ENDLESS,
    ),
}
"""``state.waiting.reason`` of containers that need help; other reasons pass by themselves."""

_NO_SUCH_IMAGE = re.compile(
    r"manifest unknown|name unknown|not found|repository does not exist|no such image|invalid reference format"
    r"|no match for platform|no matching manifest|runs programs of the machine, not images|no command of its own on",
    re.IGNORECASE,
)
"""Registries' words, and the embedded node's, for an image that is not there and won't come by waiting."""

_SETTING_UP = ("", "ContainerCreating", "PodInitializing")

SETUP_EVENTS: Mapping[str, Words] = {
    "FailedMount": Words(
        category=Category.INFRASTRUCTURE,
        sentence="A volume of pod {pod} can't be mounted: {message}.",
        advice=_CONFIG,
    ),
    "FailedAttachVolume": Words(
        category=Category.INFRASTRUCTURE,
        sentence="A volume of pod {pod} can't be attached to its node: {message}.",
        advice=_VOLUME,
    ),
    "FailedCreatePodSandBox": Words(
        category=Category.INFRASTRUCTURE, sentence="The node can't set up pod {pod}: {message}."
    ),
}
"""Events of a scheduled pod whose containers can't be created yet."""


def unscheduled(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The scheduler has found no node, in its own words."""
    entry = condition(pod, "PodScheduled")
    if entry is None or entry.get("status") != "False":
        return None
    since = moment(entry.get("lastTransitionTime")) or created(pod)
    said = quoted(entry.get("message"))
    if entry.get("reason") == "SchedulingGated":
        return _waiting(Category.RESOURCES, f"Pod {name(pod)} is held back: {said}.", "", Wait.ENDLESS, since)
    if match := re.search(r'persistentvolumeclaim "?([^" ]+)"? not found', said):
        sentence = f"The volume {match[1]} of pod {name(pod)} does not exist: {said}."
        return _waiting(Category.INFRASTRUCTURE, sentence, _CONFIG, Wait.PATIENCE, since)
    if "PersistentVolumeClaim" in said or "persistentvolumeclaim" in said:
        sentence = f"A volume of pod {name(pod)} is not provided by the cluster: {said}."
        return _waiting(Category.RESOURCES, sentence, _VOLUME, Wait.PATIENCE, since)
    sentence = f"No node of the cluster can take pod {name(pod)}: {said}."
    advice = "Ask for less processor or memory, or wait until the cluster has room."
    return _waiting(Category.RESOURCES, sentence, advice, Wait.PATIENCE, since)


def container_waiting(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """A container can't start for a reason that its status names."""
    since = moment(mapping(pod.get("status")).get("startTime")) or created(pod)
    for container in containers(pod):
        reason = str(container.waiting.get("reason", ""))
        words = WAITING_REASONS.get(reason)
        if words is None:
            continue
        message = _runtime_words(container.waiting.get("message"))
        wait = words.wait
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            message = _pull_words(container, events) or message
            wait = Wait.NONE if _NO_SUCH_IMAGE.search(message) else wait
        sentence = words.sentence.format(
            container=container.name, image=container.image, message=message or "no reason is given"
        )
        advice = words.advice.format(image=container.image)
        return _waiting(words.category, sentence, advice, wait, since, exit_code=container.exit_code)
    return None


def set_up(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The pod has its node, but a volume or its sandbox is not to be had."""
    if any(str(container.waiting.get("reason", "")) not in _SETTING_UP for container in containers(pod)):
        return None
    if any(mapping(container.status.get("state")).keys() - {"waiting"} for container in containers(pod)):
        return None
    for event in events:
        if words := SETUP_EVENTS.get(str(event.get("reason"))):
            sentence = words.sentence.format(pod=name(pod), message=quoted(event.get("message")))
            since = moment(mapping(pod.get("status")).get("startTime")) or created(pod)
            return _waiting(words.category, sentence, words.advice, words.wait, since)
    return None


def never_looked_at(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """No scheduler has said anything about the pod; normal for a moment."""
    if mapping(pod.get("spec")).get("nodeName") or condition(pod, "PodScheduled") is not None:
        return None
    return _quiet(f"No scheduler has looked at pod {name(pod)} yet.", created(pod))


def stuck_deletion(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The pod is to go, but its node does not confirm it."""
    deleted = moment(mapping(pod.get("metadata")).get("deletionTimestamp"))
    if deleted is None:
        return None
    return _quiet(f"Pod {name(pod)} is being deleted, but its node {_node(pod)} does not confirm it.", deleted)


UNFINISHED: tuple[PodRule, ...] = (stuck_deletion, unscheduled, container_waiting, set_up, never_looked_at)
"""For pods that are neither at work nor at their end."""

# -- Jobs ------------------------------------------------------------------------------------------------------------

_DEADLINE_ADVICE = "Raise steps.<step type>.deadline_s if the step really needs longer."

CREATE_REFUSALS: Sequence[tuple[str, Words]] = (
    (
        "exceeded quota",
        Words(
            category=Category.RESOURCES,
            sentence="A quota of the namespace leaves no room for the step's pod: {message}.",
            advice="Wait until other work has ended, or ask for a larger quota.",
        ),
    ),
    (
        "violates PodSecurity",
        Words(
            category=Category.RESOURCES,
            sentence="The namespace's pod security forbids the step's pod: {message}.",
            advice="Set pods.security to what the namespace allows.",
            wait=Wait.NONE,
        ),
    ),
    (
        "security context constraint",
        Words(
            category=Category.RESOURCES,
            sentence="No security context constraint of the cluster allows the step's pod: {message}.",
            advice="Set pods.security to openshift, or grant the account a fitting constraint.",
            wait=Wait.NONE,
        ),
    ),
    (
        "usage per",
        Words(
            category=Category.RESOURCES,
            sentence="A limit range of the namespace forbids the step's pod: {message}.",
            advice="Choose a flavor within the namespace's limits.",
            wait=Wait.NONE,
        ),
    ),
    (
        "service account",
        Words(
            category=Category.INFRASTRUCTURE,
            sentence="The service account of the step's pod does not exist: {message}.",
            advice=_CONFIG,
        ),
    ),
    ("", Words(category=Category.INFRASTRUCTURE, sentence="The cluster can't create the step's pod: {message}.")),
)
"""By a part of the message of the Job's event FailedCreate; the first row that fits counts."""


def no_pod(job: Manifest, events: Sequence[Manifest]) -> Finding:
    """The Job has no pod: refused, or not made yet."""
    since = moment(mapping(job.get("status")).get("startTime")) or created(job)
    for event in events:
        if event.get("reason") != "FailedCreate":
            continue
        message = quoted(str(event.get("message", "")).removeprefix("Error creating: "))
        words = next(words for part, words in CREATE_REFUSALS if part in message)
        first = moment(event.get("firstTimestamp")) or event_time(event)
        return _waiting(
            words.category, words.sentence.format(message=message), words.advice, words.wait, min(first, since or first)
        )
    return _quiet(f"The cluster has made no pod for Job {name(job)} yet.", since)


def deadline(job: Manifest, hindrance: Finding | None) -> Finding:
    """The Job's own deadline ended it; ``hindrance`` is what kept it from work, if something did."""
    seconds = mapping(job.get("spec")).get("activeDeadlineSeconds")
    limit = f" of {seconds} s" if seconds is not None else ""
    if hindrance is not None:
        sentence = f"The step's deadline{limit} passed before it could start. {hindrance.cause.sentence}"
        return _failed(hindrance.cause.category, sentence, hindrance.cause.advice)
    return _failed(Category.RESOURCES, f"The step ran longer than its deadline{limit}.", _DEADLINE_ADVICE)


def unexplained(job: Manifest, has_pods: bool) -> Finding:
    """The Job failed and no pod says why."""
    entry = true_condition(job, "Failed") or {}
    said = quoted(entry.get("message") or entry.get("reason"))
    if not has_pods:
        sentence = f"The pod of Job {name(job)} is gone, so it was probably deleted from outside"
        return _failed(Category.INFRASTRUCTURE, f"{sentence} ({said})." if said else f"{sentence}.", _INFRA)
    return _failed(Category.USER, f"Job {name(job)} failed: {said or 'the cluster gives no reason'}.")


# -- building blocks -------------------------------------------------------------------------------------------------


def _failed(category: Category, sentence: str, advice: str = "", *, exit_code: int | None = None) -> Finding:
    return Finding(cause=Cause(category=category, sentence=sentence, advice=advice, exit_code=exit_code))


def _waiting(
    category: Category, sentence: str, advice: str, wait: Wait, since: datetime | None, exit_code: int | None = None
) -> Finding:
    cause = Cause(category=category, sentence=sentence, advice=advice, exit_code=exit_code)
    return Finding(cause=cause, wait=wait, since=since)


def _quiet(sentence: str, since: datetime | None) -> Finding:
    return _waiting(Category.INFRASTRUCTURE, sentence, _INFRA, Wait.PATIENCE, since)


def _infrastructure(pod: Manifest, what: str, message: object) -> Finding:
    said = quoted(message)
    sentence = f"Pod {name(pod)} on node {_node(pod)} {what}"
    codes = [container.exit_code for container in containers(pod) if container.failed]
    return _failed(
        Category.INFRASTRUCTURE,
        f"{sentence}: {said}." if said else f"{sentence}.",
        _INFRA,
        exit_code=codes[0] if codes else None,
    )


def _node(pod: Manifest) -> str:
    return str(mapping(pod.get("spec")).get("nodeName") or "(none)")


def _runtime_words(message: object) -> str:
    """A runtime's or registry's message without the layers of protocol around it."""
    return quoted(re.sub(r"rpc error: code = \w+ desc = ", "", str(message or "")))


def _pull_words(container: Container, events: Sequence[Manifest]) -> str:
    """The registry's words: the status says only "back-off" from the second try on, the event has them."""
    prefix = f'Failed to pull image "{container.image}"'
    for event in events:
        message = str(event.get("message", ""))
        if event.get("reason") == "Failed" and message.startswith(prefix):
            return _runtime_words(message.removeprefix(prefix).lstrip(": "))
    waiting = str(container.waiting.get("message", ""))
    # Since 1.31 the back-off's message carries the pull's own after this mark.
    return _runtime_words(waiting.partition("ErrImagePull: ")[2])


def is_hindered(pod: Manifest) -> bool:
    """Whether the rules of :data:`UNFINISHED` are for this pod: not ended, and not simply at work."""
    if phase(pod) in ENDED_PHASES:
        return False
    if mapping(pod.get("metadata")).get("deletionTimestamp"):
        return True
    return phase(pod) != "Running" or any(container.waiting for container in containers(pod))
