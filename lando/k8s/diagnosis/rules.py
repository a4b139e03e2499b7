"""What a rule of diagnosis is: a row of data that is held against the signs read off a Job, its pods and events. Pure.

A :class:`Sign` is one thing that the cluster shows, at one :class:`Place`; a :class:`Rule` names the reasons and
words it is about, whose move it is, the sentence, the advice and how long the state may last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from itertools import groupby

from lando.runs import Category, Cause


class Wait(Enum):
    """How long a state that hinders a step may last, in the words of the page of causes."""

    NONE = "at once"
    """It can't pass by itself, or it is an end."""
    PATIENCE = "after patience"
    """It may pass; a failure after the configured patience."""
    LASTING = "after patience, for good"
    """As before; but a new pod would only wait as long again, so that Lando does not make one by itself."""
    ENDLESS = "never"
    """Somebody holds it on purpose, or the Job itself counts its tries."""


class Place(Enum):
    """Where the cluster shows something."""

    DEADLINE = "the Job's deadline"
    POD = "pod reason"
    DISRUPTION = "pod condition DisruptionTarget"
    ENDED = "ended container"
    DELETION = "deletion of the pod"
    TOLD = "termination message"
    EXIT = "exit code"
    JOB = "Job condition Failed"
    STATE = "state of the Job"
    CREATE = "event FailedCreate"
    CLAIM = "event of the volume claim"
    SCHEDULER = "pod condition PodScheduled"
    WAITING = "waiting container"
    SET_UP = "event of the pod"
    SILENCE = "nothing is heard"


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One thing that the cluster shows."""

    place: Place
    reason: str = ""
    """The machine-readable word, e.g. ``ErrImagePull``; for an exit code its number."""
    message: str = ""
    """What is said with it, as one line."""
    since: datetime | None = None
    """Since when it is so, for patience."""
    exit_code: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """What the sentences name: pod, container, image, …"""
    cause: Cause | None = None
    """A cause found elsewhere, which rules without a category of their own pass on."""

    def words(self) -> str:
        """Place, reason and message, for people."""
        said = " ".join(part for part in (self.place.value, self.reason) if part)
        return f"{said}: {self.message}" if self.message else said


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule has found."""

    cause: Cause
    wait: Wait
    since: datetime | None
    """Since when, for patience."""
    rule: str
    """The rule's name."""
    sign: str
    """What it saw, in words."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of the table. ``{…}`` in sentence and advice are fields of the sign or named groups of ``says``."""

    name: str
    places: tuple[Place, ...]
    reasons: tuple[str, ...] = ()
    """Any of these; empty for any reason."""
    says: str = ""
    """A pattern that the message has to contain, whatever its case."""
    needs: tuple[str, ...] = ()
    """Fields that must not be empty."""
    category: Category | None
    """None: that of the cause the sign carries."""
    sentence: str
    advice: str = ""
    """Empty where ``category`` is None: that of the cause the sign carries."""
    wait: Wait = Wait.NONE
    interrupts: bool = False
    """What it is about was done in good order: no retry is counted."""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.says, re.IGNORECASE)

    def match(self, sign: Sign) -> Finding | None:
        """The finding if the rule is about ``sign``."""
        if sign.place not in self.places or (self.reasons and sign.reason not in self.reasons):
            return None
        found = self._pattern.search(sign.message)
        if found is None or not all(sign.fields.get(name) for name in self.needs):
            return None
        filling = {
            "reason": sign.reason,
            "message": sign.message,
            "because": f": {sign.message}" if sign.message else "",
            **sign.fields,
            **{name: text or "" for name, text in found.groupdict().items()},
        }
        told = sign.cause
        category = self.category or (told.category if told else Category.USER)
        advice = self.advice.format_map(filling) or (told.advice if told and self.category is None else "")
        cause = Cause(
            category=category,
            sentence=self.sentence.format_map(filling),
            advice=advice,
            exit_code=sign.exit_code,
            interrupted=self.interrupts,
            lasting=self.wait is Wait.LASTING or (self.category is None and told is not None and told.lasting),
        )
        return Finding(cause=cause, wait=self.wait, since=sign.since, rule=self.name, sign=sign.words())


def first_match(rules: Sequence[Rule], signs: Iterable[Sign]) -> Finding | None:
    """The first finding: places in the order of ``signs``, and of one place the first rule that fits any sign."""
    for _, group in groupby(signs, key=lambda sign: sign.place):
        together = list(group)
        for rule in rules:
            for sign in together:
                if found := rule.match(sign):
                    return found
    return None
