"""Messages as bytes: the form is told by the first byte, ``{`` for JSON and 0x80 for a legacy pickle."""

from __future__ import annotations

import json
from typing import Literal

from lando.errors import UnreadableMessage
from lando.messages import Message, json_form, legacy

Form = Literal["json", "pickle"]
"""Which form a receiver reads; an unmodified lando stops at JSON."""

SIZE_LIMIT = 16 * 1024 * 1024  # bytes; nothing longer is looked at


def decode(body: bytes) -> Message:
    """The message that ``body`` carries; raises a :class:`lando.errors.MessageError`, never anything else."""
    if len(body) > SIZE_LIMIT:
        raise UnreadableMessage(f"The body has {len(body)} bytes; a message may have {SIZE_LIMIT}.")
    if body.startswith(b"{"):
        return json_form.read(body)
    if body.startswith(b"\x80"):
        return legacy.read(body)
    raise UnreadableMessage("The body is neither a JSON message nor a legacy pickle.")


def encode(message: Message, form: Form) -> bytes:
    """The body of ``message``; raises ValueError where ``form`` has no words for it (see :func:`can_encode`)."""
    return json_form.write(message) if form == "json" else legacy.write(message)


def can_encode(message: Message, form: Form) -> bool:
    """Whether ``form`` can say this message: a legacy pickle knows no waiting, no deletion and only cwl runs."""
    return json_form.is_writable(message) if form == "json" else legacy.is_writable(message)


def content_type(form: Form) -> str | None:
    """The content type that a body of ``form`` is published with; a pickle has none."""
    return "application/json" if form == "json" else None


def message_id(message: Message, form: Form) -> str | None:
    """The message id that a body of ``form`` is published with; a pickle has none."""
    return message.id if form == "json" else None


def progress_notice(job: int, state: str, step: str) -> bytes:
    """The notice to listeners of ``job_status``: the API's id and the letters of state and step just recorded."""
    return json.dumps({"job": job, "state": state, "step": step}).encode()
