"""Our own form, JSON version 1: one object per message, unknown fields ignored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from lando.errors import UnknownCommand, UnreadableMessage, UnsupportedVersion
from lando.messages import Command, Condition, Evidence, Message
from lando.messages.fields import LARGEST_ID, run_id
from lando.runs import Category, cut_middle

VERSION = 1
SIZE_LIMIT = 1024 * 1024
"""Bytes of a body. The longest that Lando writes has less, and what is read takes some thirty times that in memory."""
_COMMANDS = {
    command.value: command
    for command in (Command.START, Command.RESTART, Command.CANCEL, Command.STEP_CHANGED, Command.PRUNE)
}
_Named = TypeVar("_Named", bound=Enum)


def read(body: bytes) -> Message:
    """The message in a JSON body; raises a :class:`lando.errors.MessageError`."""
    document = _document(body)
    version = document.get("v")
    if version != VERSION or isinstance(version, bool):
        told = "names no version" if version is None else f"is of version {str(version)[:40]!r}"
        raise UnsupportedVersion(f"The JSON message {told}; only {VERSION} is understood.")
    name = _text(document, "command") or ""
    if name not in _COMMANDS:
        raise UnknownCommand(f"The command {name[:60]!r} does not belong on this queue.")
    command = _COMMANDS[name]
    known: dict[str, Any] = {"command": command, "run_id": run_id(document.get("job_id"))}
    if (kind := _text(document, "kind")) is not None:
        known["kind"] = kind
    if (generation := _whole(document, "generation")) is not None:
        known["generation"] = generation
    if (identity := _text(document, "id")) is not None:
        known["id"] = identity
    if (sent := _text(document, "sent")) is not None:
        known["sent"] = _moment("sent", sent)
    if command is Command.PRUNE and (before := _text(document, "ended_before")) is not None:
        known["ended_before"] = _moment("ended_before", before)
    if command is Command.STEP_CHANGED and document.get("evidence") is not None:
        known["evidence"] = _evidence(_object(document, "evidence"))
    return Message(**known)


def is_writable(message: Message) -> bool:
    """Whether the JSON form can say this: everything but the debug commands, which only legacy senders use."""
    return message.command.value in _COMMANDS


def write(message: Message) -> bytes:
    """The JSON body of ``message``; texts of evidence longer than a job error may be are cut.

    Raises ValueError for what :func:`is_writable` denies.
    """
    if not is_writable(message):
        raise ValueError(f"The command {message.command.value} has no JSON form.")
    document: dict[str, Any] = {
        "v": VERSION,
        "id": message.id,
        "command": message.command.value,
        "kind": message.kind,
        "job_id": message.run_id,
        "generation": message.generation,
        "sent": _stamp(message.sent),
        "ended_before": _stamp(message.ended_before) if message.ended_before else None,
    }
    if message.evidence is not None:
        document["evidence"] = _evidence_document(message.evidence)
    given = {key: value for key, value in document.items() if value is not None}
    return json.dumps(given, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
    document: dict[str, Any] = {
        "step": evidence.step,
        "job": evidence.job,
        "uid": evidence.uid,
        "condition": evidence.condition.value,
        "category": evidence.category.value if evidence.category else None,
        "cause": cut_middle(evidence.cause) or None,
        "exit_code": evidence.exit_code,
        "log_tail": cut_middle(evidence.log_tail) or None,
        "termination_message": dict(evidence.termination_message) if evidence.termination_message is not None else None,
    }
    return {key: value for key, value in document.items() if value is not None}


def _document(body: bytes) -> dict[str, Any]:
    if len(body) > SIZE_LIMIT:
        raise UnreadableMessage(f"The JSON message has {len(body)} bytes; it may have {SIZE_LIMIT}.")
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        if b"\\u" in body:  # an escape may be half of a surrogate pair, which no UTF-8 text can hold
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise UnreadableMessage("The body begins like JSON, but is not.") from None
    if not isinstance(document, dict):
        raise UnreadableMessage("The body is JSON, but no object.")
    return document


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _evidence(document: dict[str, Any]) -> Evidence | None:
    """None for a condition of a newer sender: the message says "look at this run" all the same."""
    step, named = _text(document, "step"), _text(document, "condition")
    if not step or not named:
        raise UnreadableMessage("The evidence names no step, or no condition.")
    if (condition := _member(Condition, named)) is None:
        return None
    return Evidence(
        step=step,
        condition=condition,
        job=_text(document, "job"),
        uid=_text(document, "uid"),
        category=_member(Category, _text(document, "category")),
        cause=_text(document, "cause") or "",
        exit_code=_whole(document, "exit_code"),
        log_tail=_text(document, "log_tail") or "",
        termination_message=_object(document, "termination_message")
        if document.get("termination_message") is not None
        else None,
    )


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(name, "a text")


def _whole(document: dict[str, Any], name: str) -> int | None:
    value = document.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID):
        return value
    raise _wrong(name, "a whole number of 64 bits")


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if isinstance(value, dict):
        return value
    raise _wrong(name, "an object")


def _member(kind: type[_Named], value: str | None) -> _Named | None:
    return next((member for member in kind if member.value == value), None)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise _wrong(name, "a time with its zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wrong(name, "an ISO 8601 time") from None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _wrong(name: str, wanted: str) -> UnreadableMessage:
    return UnreadableMessage(f"The field {name!r} of the JSON message is not {wanted}.")
