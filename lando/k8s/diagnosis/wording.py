"""Causes in the words of whoever wrote the Jobs: they have manifests, where a workflow has steps and settings."""

from __future__ import annotations

import re
from dataclasses import replace

from lando.runs import Cause

_PHRASES = (
    ("Nothing is wrong with the workflow itself; the step can be run again.", "The Job can be run again."),
    ("Ask the operators to create what is missing; the run can then be restarted.", "Create what is missing."),
    ("Restart the run from its beginning if nobody meant to end it.", "Apply it again if nobody meant to remove it."),
    ("or make the workflow need less", "or make the program need less"),
    (
        "Give the step's runtime a flavor with as much memory as it uses",
        "Let the Job ask for as much memory as it uses",
    ),
    ("Choose a flavor within the namespace's limits.", "Ask for what the namespace's limits allow."),
    ("choose a flavor with fewer processors", "ask for fewer processors"),
    ("choose a flavor with less memory", "ask for less memory"),
    ("Set pods.security to openshift, or grant", "Grant"),
    ("Set pods.security to what the namespace allows", "Give its pods the securityContext that the namespace asks for"),
    ("set pods.security to what the image needs", "name a user in its securityContext"),
    ("Ask the operators to check pods.image_pull_secrets.", "Check its imagePullSecrets."),
    ("needs pods.image_pull_secrets", "needs imagePullSecrets"),
    ("Name a storage class in the configuration", "Name a storage class in the claim"),
    ("Set storage_class_name to one", "Set the claim's storageClassName to one"),
    ("the pod template of the configuration", "the manifest"),
    ("the output volume", "a volume"),
    ("the base command", "the command"),
    ("the runtime's step", "the manifest"),
    ("Storage for runs", "A volume that several pods use"),
    ("while its step ran", "while its Job ran"),
)
_PATTERNS = (
    (re.compile(r"\bsteps\.(?:<step type>|[\w.-]+)\.limits\.memory"), "its memory limit"),
    (re.compile(r"\bsteps\.(?:<step type>|[\w.-]+)\.image_pull_policy"), "its imagePullPolicy"),
    (re.compile(r"\bsteps\.(?:<step type>|[\w.-]+)\.deadline_s"), "its deadline"),
    (re.compile(r"\b([Tt]he) step(s?)\b"), r"\1 Job\2"),
)


def of_a_job(cause: Cause) -> Cause:
    """A cause of the rules as one of a Job that somebody wrote; what the program said itself stays."""
    return replace(cause, sentence=reworded(cause.sentence), advice=reworded(cause.advice))


def reworded(text: str) -> str:
    """A sentence or advice about a step as one about a Job and its manifest."""
    for words, instead in _PHRASES:
        text = text.replace(words, instead)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
