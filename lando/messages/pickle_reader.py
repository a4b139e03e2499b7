"""Reads a legacy command body without the pickle module: an interpreter for the few opcodes that senders use.

A pickle is a program for a stack machine, and the machine that Python ships imports and calls whatever the
program names. This one knows nineteen opcodes and nine class names, makes inert records, and can't import or
call anything. The count of opcodes is bounded, and a length is compared with what is left of the body before
anything of that length is made.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lando.errors import UnreadableMessage, UnsafeMessage

Scalar = str | int | None

WORK_REQUEST: Final = ("lando_messaging.workqueue", "WorkRequest")
PAYLOADS: Final = "lando_messaging.messaging"
PAYLOAD_CLASSES: Final = frozenset(
    {
        "StartJobPayload",
        "RestartJobPayload",
        "CancelJobPayload",
        "StartDebugPayload",
        "CancelDebugPayload",
        "JobStepCompletePayload",
        "JobStepStoreOutputCompletePayload",
        "JobStepErrorPayload",
    }
)

MAX_OPCODES: Final = 256  # the longest body of a known sender has 46
PROTOCOL: Final = 2

_LOADS_CODE: Final = frozenset(
    {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
)


@dataclass(frozen=True, kw_only=True)
class LegacyRequest:
    """What a ``WorkRequest`` carries, nothing of it judged but its types."""

    command: Scalar
    payload_class: str | None
    payload: Mapping[str, Scalar] | None
    """The payload's attributes, None when the request has no payload object."""
    version: Scalar


def read_request(body: bytes) -> LegacyRequest:
    """The request that a protocol 2 pickle describes.

    Raises :class:`UnsafeMessage` when the pickle names a class that is not on the list or would call something,
    :class:`UnreadableMessage` for everything else that no known sender writes.
    """
    try:
        return _request(_Machine(body).run())
    except UnreadableMessage:
        if _would_load_code(body):
            raise UnsafeMessage(
                "The pickle names code to load or call, which no message of lando-messaging does; it was not run."
            ) from None
        raise


class _Mark:
    """The stack's mark before several items."""


class _NoArguments:
    """An empty tuple: the only constructor arguments there are."""


@dataclass(frozen=True)
class _Class:
    module: str
    name: str


class _Record:
    """An object that was never made: its class's name and, once built, its attributes."""

    __slots__ = ("attributes", "cls")

    def __init__(self, cls: _Class) -> None:
        self.cls = cls
        self.attributes: _Attributes | None = None

    @property
    def is_request(self) -> bool:
        return (self.cls.module, self.cls.name) == WORK_REQUEST


_Attributes = dict[str, "Scalar | _Record"]
_Value = Scalar | _Mark | _NoArguments | _Class | _Record | _Attributes


class _Machine:
    """One reading of one body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self._stack: list[_Value] = []
        self._memo: dict[int, _Value] = {}

    def run(self) -> _Value:
        """The one value left on the stack at STOP."""
        if self._take(1) != b"\x80" or self._unsigned("<B") != PROTOCOL:
            raise UnreadableMessage("The body is a pickle, but not of protocol 2, the only one that senders use.")
        for _ in range(MAX_OPCODES):
            opcode = self._take(1)
            if opcode == b".":
                if self._at != len(self._body):
                    raise UnreadableMessage("The pickle is followed by other bytes.")
                if len(self._stack) != 1:
                    raise UnreadableMessage("The pickle does not end with exactly one object.")
                return self._stack[0]
            self._step(opcode)
        raise UnreadableMessage(f"The pickle has more than {MAX_OPCODES} opcodes, which no known message has.")

    def _step(self, opcode: bytes) -> None:
        push = self._stack.append
        match opcode:
            case b"X":
                push(_text(self._take(self._unsigned("<I")), "utf-8"))
            case b"U":
                push(_text(self._take(self._unsigned("<B")), "ascii"))
            case b"T":
                push(_text(self._take(self._unsigned("<i")), "ascii"))
            case b"N":
                push(None)
            case b"K":
                push(self._unsigned("<B"))
            case b"M":
                push(self._unsigned("<H"))
            case b"J":
                push(self._unsigned("<i"))
            case b"\x8a":
                push(int.from_bytes(self._take(self._unsigned("<B")), "little", signed=True))
            case b"c":
                push(self._class())
            case b")":
                push(_NoArguments())
            case b"\x81":
                self._new_object()
            case b"}":
                push({})
            case b"(":
                push(_Mark())
            case b"s":
                value, key = self._pop(), self._pop()
                self._set_items([key, value])
            case b"u":
                self._set_items(self._pop_to_mark())
            case b"b":
                self._build()
            case b"q":
                self._memo[self._unsigned("<B")] = self._top()
            case b"r":
                self._memo[self._unsigned("<I")] = self._top()
            case b"h":
                push(self._remembered(self._unsigned("<B")))
            case b"j":
                push(self._remembered(self._unsigned("<I")))
            case _:
                raise UnreadableMessage(f"The pickle uses the opcode 0x{opcode.hex()}, which no known sender writes.")

    # -- the body -----------------------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._body) - self._at:
            raise UnreadableMessage("The pickle is cut short.")
        taken = self._body[self._at : self._at + count]
        self._at += count
        return taken

    def _unsigned(self, layout: str) -> int:
        number: int = struct.unpack(layout, self._take(struct.calcsize(layout)))[0]
        return number

    def _line(self) -> str:
        end = self._body.find(b"\n", self._at, self._at + 256)
        if end < 0:
            raise UnreadableMessage("The pickle is cut short in a class name.")
        line = self._body[self._at : end]
        self._at = end + 1
        return line.decode("utf-8", "replace")

    # -- the stack ----------------------------------------------------------------------------------------

    def _top(self) -> _Value:
        if not self._stack or isinstance(self._stack[-1], _Mark):
            raise UnreadableMessage("The pickle takes a value from an empty stack.")
        return self._stack[-1]

    def _pop(self) -> _Value:
        self._top()
        return self._stack.pop()

    def _pop_to_mark(self) -> list[_Value]:
        for index in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[index], _Mark):
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise UnreadableMessage("The pickle sets several items without a mark.")

    def _remembered(self, index: int) -> str:
        value = self._memo.get(index)
        if not isinstance(value, str):
            raise UnreadableMessage("The pickle refers back to something other than a text.")
        return value

    # -- objects ------------------------------------------------------------------------------------------

    def _class(self) -> _Class:
        module, name = self._line(), self._line()
        if (module, name) == WORK_REQUEST or (module == PAYLOADS and name in PAYLOAD_CLASSES):
            return _Class(module, name)
        raise UnsafeMessage(
            f"The pickle names {f'{module}.{name}'[:120]!r}, which is no message class; nothing of it was loaded."
        )

    def _new_object(self) -> None:
        arguments, cls = self._pop(), self._pop()
        if not isinstance(arguments, _NoArguments) or not isinstance(cls, _Class):
            raise UnsafeMessage("The pickle makes an object in a way that no message of lando-messaging does.")
        self._stack.append(_Record(cls))

    def _set_items(self, items: list[_Value]) -> None:
        attributes = self._top()
        if not isinstance(attributes, dict) or len(items) % 2:
            raise UnreadableMessage("The pickle sets an item of something that is no attribute dictionary.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str) or key in attributes:
                raise UnreadableMessage("The pickle has an attribute name that is no text, or one twice.")
            if not (value is None or isinstance(value, str | int | _Record)):
                raise UnreadableMessage(
                    f"The attribute {key[:60]!r} is neither a text, a number, nothing nor a payload."
                )
            attributes[key] = value

    def _build(self) -> None:
        attributes, record = self._pop(), self._top()
        if not isinstance(attributes, dict) or not isinstance(record, _Record) or record.attributes is not None:
            raise UnsafeMessage("The pickle gives state to something that is no new message object.")
        for key, value in attributes.items():
            if not isinstance(value, _Record):
                continue
            if not record.is_request or key != "payload" or value.is_request or value.attributes is None:
                raise UnreadableMessage("The pickle nests objects in a way that no known sender does.")
        record.attributes = attributes


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode(encoding, "surrogatepass")  # as Python's own pickler writes half pairs
    except UnicodeDecodeError:
        raise UnreadableMessage(f"A text of the pickle is not {encoding.upper()}.") from None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _request(value: _Value) -> LegacyRequest:
    if not isinstance(value, _Record) or not value.is_request or value.attributes is None:
        raise UnreadableMessage("The pickle is readable, but no WorkRequest.")
    payload = value.attributes.get("payload")
    record = payload if isinstance(payload, _Record) else None
    return LegacyRequest(
        command=_scalar(value.attributes, "command"),
        payload_class=record.cls.name if record else None,
        payload={key: _scalar(record.attributes or {}, key) for key in record.attributes or {}} if record else None,
        version=_scalar(value.attributes, "version"),
    )


def _scalar(attributes: _Attributes, name: str) -> Scalar:
    value = attributes.get(name)
    return None if isinstance(value, _Record) else value


def _would_load_code(body: bytes) -> bool:
    """Whether a pickle that can't be read names code all the same: only then is it a security event."""
    listed = {f"{WORK_REQUEST[0]} {WORK_REQUEST[1]}", *(f"{PAYLOADS} {name}" for name in PAYLOAD_CLASSES)}
    try:
        for (opcode, argument, _), _count in zip(pickletools.genops(body), range(MAX_OPCODES), strict=False):
            if opcode.name in _LOADS_CODE and not (opcode.name == "GLOBAL" and argument in listed):
                return True
    except (ValueError, OverflowError, struct.error):  # genops's ways to say that the body is broken
        return False
    return False
