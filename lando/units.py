"""Quantities in words."""

from __future__ import annotations

from datetime import datetime

_UNITS = ("KB", "MB", "GB", "TB", "PB", "EB")


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


def minutes_between(started: datetime | None, finished: datetime | None) -> str:
    """A run time as reports give it: ``90.0 minutes``; ``0 minutes`` when a time is missing."""
    if started is None or finished is None:
        return "0 minutes"
    return f"{round((finished - started).total_seconds() / 60, 2)} minutes"
