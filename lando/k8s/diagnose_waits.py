"""The rules for what has not ended: what keeps a Job's pod from its work, and how long that may last.

Tables for what is a matter of a reason's name, one small function for each rule that looks at more. The reasons are
those of kubelet, scheduler and Job controller of Kubernetes 1.28 and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lando.k8s.findings import (
    CONFIG_ADVICE,
    IMAGE_ADVICE,
    VOLUME_ADVICE,
    Finding,
    PodRule,
    Wait,
    Words,
    node,
    quiet,
    runtime_words,
    waiting,
)
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
)
from lando.runs import Category

WAITING_REASONS: Mapping[str, Words] = {
    "ErrImagePull": Words(
        category=Category.IMAGE, sentence="The image {image} can't be pulled: {message}.", advice=IMAGE_ADVICE
    ),
    "ImagePullBackOff": Words(
        category=Category.IMAGE, sentence="The image {image} can't be pulled: {message}.", advice=IMAGE_ADVICE
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
        category=Category.IMAGE, sentence="The image {image} can't be read on its node: {message}.", advice=IMAGE_ADVICE
    ),
    "RegistryUnavailable": Words(
        category=Category.IMAGE, sentence="The registry of the image {image} can't be reached: {message}."
    ),
    "SignatureValidationFailed": Words(
        category=Category.IMAGE,
        sentence="The signature of the image {image} was not accepted: {message}.",
        advice=IMAGE_ADVICE,
        wait=Wait.NONE,
    ),
    "CreateContainerConfigError": Words(
        category=Category.INFRASTRUCTURE,
        sentence="Container {container} lacks something it refers to: {message}.",
        advice=CONFIG_ADVICE,
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
        advice=CONFIG_ADVICE,
    ),
    "FailedAttachVolume": Words(
        category=Category.INFRASTRUCTURE,
        sentence="A volume of pod {pod} can't be attached to its node: {message}.",
        advice=VOLUME_ADVICE,
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
        return waiting(Category.RESOURCES, f"Pod {name(pod)} is held back: {said}.", "", Wait.ENDLESS, since)
    if match := re.search(r'persistentvolumeclaim "?([^" ]+)"? not found', said):
        sentence = f"The volume {match[1]} of pod {name(pod)} does not exist: {said}."
        return waiting(Category.INFRASTRUCTURE, sentence, CONFIG_ADVICE, Wait.PATIENCE, since)
    if "PersistentVolumeClaim" in said or "persistentvolumeclaim" in said:
        sentence = f"A volume of pod {name(pod)} is not provided by the cluster: {said}."
        return waiting(Category.RESOURCES, sentence, VOLUME_ADVICE, Wait.PATIENCE, since)
    sentence = f"No node of the cluster can take pod {name(pod)}: {said}."
    advice = "Ask for less processor or memory, or wait until the cluster has room."
    return waiting(Category.RESOURCES, sentence, advice, Wait.PATIENCE, since)


def container_waiting(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """A container can't start for a reason that its status names."""
    since = moment(mapping(pod.get("status")).get("startTime")) or created(pod)
    for container in containers(pod):
        reason = str(container.waiting.get("reason", ""))
        words = WAITING_REASONS.get(reason)
        if words is None:
            continue
        message = runtime_words(container.waiting.get("message"))
        wait = words.wait
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            message = _pull_words(container, events) or message
            wait = Wait.NONE if _NO_SUCH_IMAGE.search(message) else wait
        sentence = words.sentence.format(
            container=container.name, image=container.image, message=message or "no reason is given"
        )
        advice = words.advice.format(image=container.image)
        return waiting(words.category, sentence, advice, wait, since, exit_code=container.exit_code)
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
            return waiting(words.category, sentence, words.advice, words.wait, since)
    return None


def unheeded_end(job: Manifest, pod: Manifest) -> Finding | None:
    """The Job's last pod has ended, and the Job does not say so; normal for a moment.

    A Job that makes several pods by itself (the original's do) may take its time for the next one.
    """
    if mapping(job.get("spec")).get("backoffLimit") != 0:
        return None
    ends = [moment(container.terminated.get("finishedAt")) for container in containers(pod) if container.terminated]
    since = max((end for end in ends if end is not None), default=created(pod))
    return quiet(f"Pod {name(pod)} has ended, but the cluster does not say how Job {name(job)} has.", since)


def never_looked_at(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """No scheduler has said anything about the pod; normal for a moment."""
    if mapping(pod.get("spec")).get("nodeName") or condition(pod, "PodScheduled") is not None:
        return None
    return quiet(f"No scheduler has looked at pod {name(pod)} yet.", created(pod))


def stuck_deletion(pod: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The pod is to go, but its node does not confirm it."""
    deleted = moment(mapping(pod.get("metadata")).get("deletionTimestamp"))
    if deleted is None:
        return None
    return quiet(f"Pod {name(pod)} is being deleted, but its node {node(pod)} does not confirm it.", deleted)


NOT_STARTED: tuple[PodRule, ...] = (unscheduled, container_waiting, set_up, never_looked_at)
"""For pods whose program has not begun."""

UNFINISHED: tuple[PodRule, ...] = (stuck_deletion, *NOT_STARTED)
"""For pods that are neither at work nor at their end."""


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
            advice=CONFIG_ADVICE,
        ),
    ),
    ("", Words(category=Category.INFRASTRUCTURE, sentence="The cluster can't create the step's pod: {message}.")),
)
"""By a part of the message of the Job's event FailedCreate; the first row that fits counts."""


def no_pod(job: Manifest, events: Sequence[Manifest]) -> Finding | None:
    """The Job has no pod: refused, or not made yet."""
    since = moment(mapping(job.get("status")).get("startTime")) or created(job)
    for event in events:
        if event.get("reason") != "FailedCreate":
            continue
        message = quoted(str(event.get("message", "")).removeprefix("Error creating: "))
        words = next(words for part, words in CREATE_REFUSALS if part in message)
        first = moment(event.get("firstTimestamp")) or event_time(event)
        return waiting(
            words.category, words.sentence.format(message=message), words.advice, words.wait, min(first, since or first)
        )
    if any(mapping(job.get("status")).get(count) for count in ("active", "terminating", "failed", "succeeded")):
        return None  # it had one: the Job's condition, or its next pod, is about to follow
    return quiet(f"The cluster has made no pod for Job {name(job)} yet.", since)


def _pull_words(container: Container, events: Sequence[Manifest]) -> str:
    """The registry's words: the status says only "back-off" from the second try on, the event has them."""
    prefix = f'Failed to pull image "{container.image}"'
    for event in events:
        message = str(event.get("message", ""))
        if event.get("reason") == "Failed" and message.startswith(prefix):
            return runtime_words(message.removeprefix(prefix).lstrip(": "))
    waiting = str(container.waiting.get("message", ""))
    # Since 1.31 the back-off's message carries the pull's own after this mark.
    return runtime_words(waiting.partition("ErrImagePull: ")[2])


def is_hindered(pod: Manifest) -> bool:
    """Whether the rules of :data:`UNFINISHED` are for this pod: not ended, and not simply at work."""
    if phase(pod) in ENDED_PHASES:
        return False
    if mapping(pod.get("metadata")).get("deletionTimestamp"):
        return True
    return phase(pod) != "Running" or any(container.waiting for container in containers(pod))
