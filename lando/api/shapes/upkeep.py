"""What staff look after: dead letters, and what does not fit or is held too long."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class DeadLetter(TypedDict):
    """A message that a daemon put aside."""

    id: str
    time: str | None
    run: int | None
    command: str | None
    reason: str
    failures: int
    tried_again: int
    size: int


class WholeDeadLetter(DeadLetter):
    """The same with its message, its history, and the beginning of its body."""

    first_reason: str | None
    history: list[dict[str, Any]]
    content_type: str | None
    message_id: str | None
    form: str | None
    message: dict[str, Any] | None
    body_base64: str
    body_is_cut: bool
    connection: int
    queue: str


class DeadLetterQueue(TypedDict):
    """The letters of one queue; with ``trouble``, a sentence, where its broker can't be asked."""

    connection: int
    queue: str
    trouble: str | None
    count: int | None
    looked_at: int
    letters: list[DeadLetter]


class DeadLetters(TypedDict):
    """The letters of all queues."""

    queues: list[DeadLetterQueue]


class Settled(TypedDict):
    """The ids of the letters that something was done with, and of those that were not there."""

    done: list[str]
    missing: list[str]


class Finding(TypedDict):
    """What does not fit between a run and its objects."""

    run: int | None
    state: str | None
    trouble: str
    wrong: str
    remedy: str
    mended_by_a_look: bool


class Findings(TypedDict):
    """What does not fit between runs and objects."""

    findings: list[Finding]


class Prunable(TypedDict):
    """What an ended run holds longer than it needs to."""

    run: int
    state: str | None
    ended: str | None
    where: str
    what: str
    bytes: int | None


class AllPrunable(TypedDict):
    """What ended runs hold longer than they need to."""

    prunable: list[Prunable]
