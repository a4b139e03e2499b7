"""The wire format of Protocol Buffers, as far as kubectl can't do without it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lando.local.rules.status import bad_request

_VARINT, _LENGTH_DELIMITED = 0, 2
_SIZES = {1: 8, 5: 4}
"""Bytes of a value of the wire types that have a fixed size."""


def field(number: int, value: str | bytes) -> bytes:
    """One field: text or an inner message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def fields(number: int, values: Iterable[str | bytes]) -> bytes:
    """A repeated field."""
    return b"".join(field(number, value) for value in values)


def read(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of ``message``, as number and value, in order; ApiError 400 when it is no message."""
    at = 0
    try:
        while at < len(message):
            key, at = _read_varint(message, at)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, at = _read_varint(message, at)
                yield number, value
                continue
            size, at = _read_varint(message, at) if kind == _LENGTH_DELIMITED else (_SIZES[kind], at)
            if at + size > len(message):
                raise IndexError
            data = message[at : at + size]
            yield number, data if kind == _LENGTH_DELIMITED else int.from_bytes(data, "little")
            at += size
    except (IndexError, KeyError):
        raise bad_request("the body of the request can't be decoded: it is no Protocol Buffers message") from None


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
