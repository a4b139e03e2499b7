"""What a rule of diagnosis finds, and the words that all rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lando.k8s.pod_facts import Manifest, containers, mapping, name, quoted
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

INFRA_ADVICE = "Nothing is wrong with the workflow itself; the step can be run again."
IMAGE_ADVICE = "Check the image's name and tag in the runtime's step, and that the cluster may pull from its registry."
CONFIG_ADVICE = "Ask the operators to create what is missing; the run can then be restarted."
VOLUME_ADVICE = "Ask the operators whether the storage class exists and has room."


def failed(category: Category, sentence: str, advice: str = "", *, exit_code: int | None = None) -> Finding:
    return Finding(cause=Cause(category=category, sentence=sentence, advice=advice, exit_code=exit_code))


def waiting(
    category: Category, sentence: str, advice: str, wait: Wait, since: datetime | None, exit_code: int | None = None
) -> Finding:
    cause = Cause(category=category, sentence=sentence, advice=advice, exit_code=exit_code)
    return Finding(cause=cause, wait=wait, since=since)


def quiet(sentence: str, since: datetime | None) -> Finding:
    return waiting(Category.INFRASTRUCTURE, sentence, INFRA_ADVICE, Wait.PATIENCE, since)


def infrastructure(pod: Manifest, what: str, message: object) -> Finding:
    said = quoted(message)
    sentence = f"Pod {name(pod)} on node {node(pod)} {what}"
    codes = [container.exit_code for container in containers(pod) if container.failed]
    return failed(
        Category.INFRASTRUCTURE,
        f"{sentence}: {said}." if said else f"{sentence}.",
        INFRA_ADVICE,
        exit_code=codes[0] if codes else None,
    )


def node(pod: Manifest) -> str:
    return str(mapping(pod.get("spec")).get("nodeName") or "(none)")


def runtime_words(message: object) -> str:
    """A runtime's or registry's message without the layers of protocol around it."""
    return quoted(re.sub(r"rpc error: code = \w+ desc = ", "", str(message or "")))
