"""The elements of a JSON array as they come over the wire, so that a long list is never held as a whole."""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

_BLANKS = " \t\r\n"
_END = ""
_UNFINISHED = object()


class NoArray(ValueError):
    """The bytes are no JSON array, or end before it does."""


def elements(chunks: Iterable[bytes]) -> Iterator[Any]:
    """Each element of the array that ``chunks`` (UTF-8) spell; raises NoArray where they don't.

    What follows the array is read and left alone, so that its connection can be used again.
    """
    text, wanted, before = "", 1, "["
    ended = False
    try:
        for piece in itertools.chain(codecs.iterdecode(chunks, "utf-8"), [_END]):
            if ended:
                continue
            text += piece
            if len(text) < wanted and piece is not _END:
                continue
            while not ended and (text := text.lstrip(_BLANKS)):
                if before:
                    ended = before == "," and text[0] == "]"
                    if not ended and text[0] != before:
                        raise NoArray(f"it has {text[0]!r} where {before!r} belongs")
                    text, is_first, before = text[1:], before == "[", ""
                elif text[0] == "]" and is_first:
                    ended = True
                else:
                    element, text = _first_of(text)
                    if element is _UNFINISHED:
                        break
                    yield element
                    before = ","
            # An element longer than this is tried again when twice as much of it has come, not at each piece.
            wanted = 2 * len(text)
    except UnicodeDecodeError as error:
        raise NoArray("it is no UTF-8") from error
    if not ended:
        raise NoArray("it ends too early, or holds what is no JSON")


def _first_of(text: str) -> tuple[Any, str]:
    """The value that ``text`` begins with, and the rest; unfinished while it may go on in the next piece."""
    try:
        element, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return _UNFINISHED, text
    is_whole = text[end : end + 1] in tuple(",]" + _BLANKS)  # not so in the middle of a number
    return (element, text[end:]) if is_whole else (_UNFINISHED, text)
