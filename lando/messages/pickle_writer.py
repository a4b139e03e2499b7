"""Writes legacy command bodies: byte for byte what lando-messaging 2.1.0 writes, without its classes.

The layout is fixed: protocol 2, a memo entry for each class, object, dictionary and text, none for numbers
and None, and a mark only before two or more attributes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from lando.messages.pickle_reader import PAYLOADS, PROTOCOL, WORK_REQUEST, Scalar

VERSION = "2.1.0"
"""The version of lando-messaging whose messages these are; receivers look at the part before the first dot."""
MAIL_PROTOCOL = 3
"""Of notices of mails; that of commands is another."""


def write_request(command: str, payload_class: str, payload: Mapping[str, Scalar], version: str = VERSION) -> bytes:
    """The body of a ``WorkRequest`` with one payload object, its attributes in the order given."""
    writer = _Writer()
    writer.raw(bytes((0x80, PROTOCOL)))
    writer.begin(*WORK_REQUEST)
    writer.raw(b"(")
    writer.text("command")
    writer.text(command)
    writer.text("payload")
    writer.begin(PAYLOADS, payload_class)
    if len(payload) > 1:
        writer.raw(b"(")
    for name, value in payload.items():
        writer.text(name)
        writer.scalar(value)
    writer.raw(b"ub" if len(payload) > 1 else b"sb")
    writer.text("version")
    writer.text(version)
    writer.raw(b"ub.")
    return writer.body()


def write_mail_notice(message_id: int) -> bytes:
    """What Bespin's mailer is told of a stored mail, as Python 3's pickler writes it (messages contract, 7)."""
    writer = _Writer()
    writer.raw(bytes((0x80, MAIL_PROTOCOL)) + b"}")
    writer.remember()
    writer.text("send_email")
    writer.scalar(message_id)
    writer.raw(b"s.")
    return writer.body()


class _Writer:
    """The bytes so far and how many memo entries they hold."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._memo_size = 0

    def body(self) -> bytes:
        return b"".join(self._parts)

    def raw(self, data: bytes) -> None:
        self._parts.append(data)

    def remember(self) -> None:
        self.raw(b"q" + bytes((self._memo_size,)))
        self._memo_size += 1

    def begin(self, module: str, name: str) -> None:
        """A new object of the class and the dictionary that becomes its attributes."""
        self.raw(f"c{module}\n{name}\n".encode())
        self.remember()
        self.raw(b")\x81")
        self.remember()
        self.raw(b"}")
        self.remember()

    def text(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.raw(b"X" + struct.pack("<I", len(data)) + data)
        self.remember()

    def scalar(self, value: Scalar) -> None:
        if value is None:
            self.raw(b"N")
        elif isinstance(value, str):
            self.text(value)
        else:
            self.raw(_integer(value))


def _integer(value: int) -> bytes:
    if 0 <= value <= 0xFF:
        return struct.pack("<cB", b"K", value)
    if 0 <= value <= 0xFFFF:
        return struct.pack("<cH", b"M", value)
    if -(2**31) <= value < 2**31:
        return struct.pack("<ci", b"J", value)
    size = value.bit_length() // 8 + 1
    return struct.pack("<cB", b"\x8a", size) + value.to_bytes(size, "little", signed=True)
