"""Quantities, in words and read from words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from lando.errors import InputError

_UNITS = ("KB", "MB", "GB", "TB", "PB", "EB")


def count(number: int, thing: str) -> str:
    """``1 Job``, ``3 Jobs``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def decimal_size(size: int) -> str:
    """Bytes in decimal units with at most two decimals: ``0 bytes``, ``1 byte``, ``1.02 KB``, ``5.37 GB``."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        if float(text) < 1000 or unit == _UNITS[-1]:
            return f"{text} {unit}"
    raise AssertionError("unreachable")


def binary_size(size: int) -> str:
    """Bytes as Kubernetes writes memory, with at most two decimals: ``980Mi``, ``1.25Gi``."""
    value, unit = size / 2**20, "Mi"
    for larger in ("Gi", "Ti"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.2f}".rstrip("0").rstrip(".") + unit if unit != "Mi" else f"{value:.0f}Mi"


def minutes_between(started: datetime | None, finished: datetime | None) -> str:
    """A run time as reports give it: ``90.0 minutes``; ``0 minutes`` when a time is missing."""
    if started is None or finished is None:
        return "0 minutes"
    return f"{round((finished - started).total_seconds() / 60, 2)} minutes"


def clock_time(seconds: float) -> str:
    """A run time to the second, rounded down: ``0:00:05``, ``26:03:00``."""
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


_SUFFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", start=1)
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTP]i?)?[bB]?")


def mebibytes(text: str) -> int:
    """A quantity of memory (``16Gi``, ``512M``, bytes without a suffix) in whole MiB, rounded down.

    Raises:
        InputError: It is none, or less than one MiB.
    """
    found = _QUANTITY.fullmatch(text.strip())
    size = int(float(found[1]) * _SUFFIXES[found[2] or ""] / 2**20) if found else 0
    if size < 1:
        raise InputError(f"{text!r} is no amount of memory; write 16Gi or 512Mi.")
    return size


_SPANS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta:
    """A length of time (``30d``, ``12h``, ``45min``, ``2w``).

    Raises:
        InputError: It is none, or more than a hundred years.
    """
    found = re.fullmatch(r"(\d{1,8})\s*(min|h|d|w)", text.strip(), re.ASCII)
    if found is None or (length := timedelta(**{_SPANS[found[2]]: int(found[1])})) > timedelta(days=36525):
        raise InputError(f"{text!r} is no length of time; write 30d, 12h or 45min.")
    return length


def cores(text: str) -> float:
    """A number of processor cores (``8``, ``0.5``, ``500m``).

    Raises:
        InputError: It is none, or not more than zero.
    """
    try:
        number = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise InputError(f"{text!r} is no number of cores; write 8 or 500m.")
    return number
