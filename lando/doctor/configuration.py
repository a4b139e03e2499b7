"""The daemons' file itself, as ``lando config check --strict`` judges it."""

from __future__ import annotations

from collections.abc import Iterator

from lando.config import Finding as Remark
from lando.config import Reading
from lando.doctor.findings import Finding, Level, ok

CHECK = "file"


def examine(file: str, reading: Reading) -> Iterator[Finding]:
    """Every error, unknown key and warning; that it is fine where there is none of them."""
    remarks = [(Level.FAILED, one) for one in reading.errors + reading.unknown_keys]
    remarks += [(Level.WARNING, one) for one in reading.warnings]
    for level, remark in remarks:
        yield Finding(check=remark.key or CHECK, level=level, seen=_seen(remark))
    if not remarks:
        yield ok(CHECK, f"{file} is fine")


def _seen(remark: Remark) -> str:
    """Where it stands and what is wrong; how to mend it is part of the sentence."""
    place = f"line {remark.line}: " if remark.line is not None else ""
    return f"{place}{remark.sentence.rstrip('.')}"
