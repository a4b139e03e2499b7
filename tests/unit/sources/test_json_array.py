"""A JSON array read as it comes, wherever the wire cuts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.sources.json_array import NoArray, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.booleans(), st.sampled_from((None, 1)))
def test_every_element_comes_however_the_bytes_are_cut(
    values: list[Any], size: int, is_ascii: bool, indent: int | None
) -> None:
    data = json.dumps(values, ensure_ascii=is_ascii, indent=indent).encode("utf-8", "surrogatepass")
    if b"\xed" in data:
        data = json.dumps(values).encode()  # half a surrogate pair is no UTF-8
    assert list(elements(pieces(data + b"\n", size))) == values


@pytest.mark.parametrize(
    "data", [b"", b"  ", b"[", b"[1", b"[1,", b"[1 2]", b"[1,]", b"{}", b"7", b"[nope]", b"[,1]", b"]", b'["\xff"]']
)
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_array_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(NoArray):
        list(elements(pieces(data, size)))


def test_what_came_before_the_fault_has_been_given_out() -> None:
    got = elements([b'[{"a": 1}, 2, ', b"oops"])
    assert (next(got), next(got)) == ({"a": 1}, 2)
    with pytest.raises(NoArray):
        next(got)


def test_a_long_list_is_never_held_as_a_whole() -> None:
    read = 0

    def wire() -> Iterator[bytes]:
        nonlocal read
        yield b"["
        for read in range(1000):
            yield b'{"id": %d, "words": "' % read + b"x" * 500 + b'"}' + (b"]" if read == 999 else b",")

    for number, element in enumerate(elements(wire())):
        assert element["id"] == number
        assert read - number <= 1
