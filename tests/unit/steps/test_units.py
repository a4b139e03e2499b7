"""Quantities, in words and read from words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from lando.errors import InputError
from lando.units import cores, decimal_size, mebibytes, minutes_between, span


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1020, "1.02 KB"),
        (1024, "1.02 KB"),
        (2000, "2 KB"),
        (999_999, "1 MB"),
        (5_370_000_000, "5.37 GB"),
        (10**18, "1 EB"),
        (10**22, "10000 EB"),
    ],
)
def test_sizes_are_decimal_with_two_places_at_most(size: int, words: str) -> None:
    assert decimal_size(size) == words


def test_run_times_are_minutes() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert minutes_between(start, start + timedelta(minutes=90)) == "90.0 minutes"
    assert minutes_between(start, start + timedelta(seconds=3)) == "0.05 minutes"
    assert minutes_between(None, start) == "0 minutes"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16Gi", 16384),
        ("512Mi", 512),
        ("1G", 953),
        ("1.5Gi", 1536),
        ("2048Ki", 2),
        ("1073741824", 1024),
        ("4 GB", 3814),
    ],
)
def test_memory_is_read_in_all_forms(text: str, size: int) -> None:
    assert mebibytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1Gi", "1000", "Gi", "1Xi"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no amount of memory"):
        mebibytes(text)


def test_cores_are_read_in_all_forms() -> None:
    assert [cores("8"), cores("0.5"), cores("500m")] == [8.0, 0.5, 0.5]


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "nan", "inf", "m"])
def test_what_is_no_number_of_cores_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no number of cores"):
        cores(text)


def test_lengths_of_time_are_read_in_all_forms() -> None:
    assert [span("30d"), span("12h"), span("45min"), span("2w"), span("0d")] == [
        timedelta(days=30),
        timedelta(hours=12),
        timedelta(minutes=45),
        timedelta(days=14),
        timedelta(),
    ]


@pytest.mark.parametrize("text", ["", "30", "-1d", "1.5h", "d", "3 months", "99999999w"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no length of time; write 30d, 12h or 45min"):
        span(text)
