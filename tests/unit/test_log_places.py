"""Logs that are read from their beginning again: nothing twice, nothing lost."""

from __future__ import annotations

import pytest
from lando.log_places import LogPlace

Line = tuple[str | None, str]


def at(*seconds: float, text: str = "") -> list[Line]:
    return [(f"2026-01-01T00:00:{second:04.1f}Z", f"{second}{text}") for second in seconds]


@pytest.mark.parametrize(
    ("first", "again", "new"),
    [
        (at(1, 2), at(1, 2, 3), ["3"]),
        (at(1, 1, 1), at(1, 1, 1, 1), ["1"]),  # lines of one time are told apart by their number
        (at(1, 3, 2), at(1, 3, 2, 2.5), ["2.5"]),  # the two streams of a program may come out of order
        (at(1, 2, 3), at(2, 3, 4), ["4"]),  # what came first is no longer there
        (at(1, 2), at(5, 6), ["5", "6"]),
        (at(1, 2), [], []),
        ([], at(1), ["1"]),
        ([(None, "a"), (None, "b")], [(None, "a"), (None, "b"), (None, "c")], ["c"]),
        (at(1, 2), [(None, "1"), (None, "2"), (None, "3")], ["3"]),
    ],
)
def test_what_was_told_is_left_out_and_nothing_else(first: list[Line], again: list[Line], new: list[str]) -> None:
    place = LogPlace()
    assert [text for time, text in first if place.is_new(time)] == [text for _, text in first]

    place.begin()

    assert [text for time, text in again if place.is_new(time)] == new


def test_a_log_that_lost_its_beginning_is_counted_anew() -> None:
    place = LogPlace()
    told = []
    for lines in (at(1, 2, 3), at(2, 3, 4), at(2, 3, 4, 5), at(5, 6)):
        place.begin()
        told += [text for time, text in lines if place.is_new(time)]

    assert told == ["1", "2", "3", "4", "5", "6"]


def test_times_without_zeros_at_their_end_are_compared_as_times() -> None:
    place = LogPlace()
    assert place.is_new("2026-01-01T00:00:01.5Z")
    assert place.is_new("2026-01-01T00:00:02.1Z")

    place.begin()

    assert [place.is_new(f"2026-01-01T00:00:{time}Z") for time in ("02.1", "02.12", "03")] == [False, True, True]
