"""Times and tables as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from lando.cli import rendering


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_times_are_told_in_words(seconds: float, words: str) -> None:
    assert rendering.duration(timedelta(seconds=seconds)) == words


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(rendering.table(("A", "BB"), [("long", "x"), ("", "yy")])) == ["A     BB", "long  x", "      yy"]
