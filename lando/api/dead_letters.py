"""Dead letters as documents, and what is done with those that an operator named: for the server's route, and for the
command line where it speaks to the broker itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from dataclasses import asdict
from enum import Enum
from typing import Any

from lando.errors import MessageError
from lando.messages import Message, codec
from lando.queues.dead import DeadLetter, DeadLetters, Fate

DEFAULT_LIMIT = 100
"""Letters of one queue that are listed when nobody says how many."""
MOST = 10_000
"""Letters of one queue that are looked at in one go: in a list, or for those that an operator named."""
BODY_LIMIT = 64 * 1024
"""Bytes of a body that are shown."""
MAX_DEPTH = 30
"""Levels of a JSON message that are shown; ours have three."""

Document = dict[str, Any]


def survey(letters: DeadLetters, *, limit: int, run: int | None = None, reason: str | None = None) -> Document:
    """``count``, and in ``letters`` those of the first ``limit`` that are about ``run`` and whose reason holds
    ``reason``, in whatever case; oldest first."""
    found: list[Document] = []

    def judge(one: DeadLetter) -> Fate:
        document = brief(one)
        if (run is None or document["run"] == run) and (reason or "").lower() in one.reason.lower():
            found.append(document)
        return Fate.KEEP

    count = letters.visit(judge, limit=limit)
    return {"count": count, "looked_at": min(count, limit), "letters": found}


def find(letters: DeadLetters, identity: str) -> Document | None:
    """The whole of the letter with this id; None when it is not there."""
    found: list[Document] = []

    def judge(one: DeadLetter) -> Fate:
        if one.id == identity and not found:
            found.append(whole(one))
        return Fate.KEEP

    letters.visit(judge, limit=MOST)
    return found[0] if found else None


def settle(letters: DeadLetters, identities: Collection[str], fate: Fate) -> set[str]:
    """Do the same with every letter that is named; the ids that were there."""
    met: set[str] = set()

    def judge(one: DeadLetter) -> Fate:
        if one.id not in identities:
            return Fate.KEEP
        met.add(one.id)
        return fate

    letters.visit(judge, limit=MOST)
    return met


def brief(one: DeadLetter) -> Document:
    """One line of a list."""
    message = _read(one)
    return {
        "id": one.id,
        "time": one.time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if one.time else None,
        "run": message.run_id if message else None,
        "command": message.command.value if message else None,
        "reason": one.reason,
        "failures": one.failures,
        "tried_again": len(one.history),
        "size": len(one.body),
    }


def whole(one: DeadLetter) -> Document:
    """Everything about a letter; ``message`` is null when nobody can read it. Nothing is ever unpickled."""
    message = _read(one)
    told = _told(message, one.body) if message else None
    return {
        **brief(one),
        "first_reason": one.first_reason,
        "history": [asdict(earlier) for earlier in one.history],
        "content_type": one.content_type,
        "message_id": one.message_id,
        "form": _form(one.body) if message else None,
        "message": told if told is None or not _is_deep(told) else None,
        "body_base64": base64.b64encode(one.body[:BODY_LIMIT]).decode(),
        "body_is_cut": len(one.body) > BODY_LIMIT,
    }


def _read(one: DeadLetter) -> Message | None:
    try:
        return codec.decode(one.body)
    except MessageError:
        return None


def _form(body: bytes) -> codec.Form:
    return "json" if body.startswith(b"{") else "pickle"


def _told(message: Message, body: bytes) -> Document:
    """A JSON message as it came, with fields that nobody knows; a legacy one in the words of our own."""
    if _form(body) == "json":
        whole_texts = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
        document: Document = json.loads(whole_texts)
        return document
    told: Document = {"command": message.command.value, "job_id": message.run_id}
    if message.evidence is not None:
        evidence = asdict(message.evidence).items()
        told["evidence"] = {
            key: value.value if isinstance(value, Enum) else value for key, value in evidence if value not in (None, "")
        }
    return told


def _is_deep(document: Document) -> bool:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [inner for part in parts for inner in part]
    return bool(level)
