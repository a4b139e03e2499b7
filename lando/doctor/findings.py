"""What the doctor found: one finding for each thing that was looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from lando.masking import Masker


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """Can't be seen from here with these credentials; nothing speaks against it."""
    WARNING = "warning"
    """Lando works, but not as well or as safely as it could, or not for long."""
    FAILED = "failed"
    """Lando can't work so."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    """What was looked at, in a word or two; the same whatever was found."""
    level: Level
    seen: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"level": self.level.value}

    def masked(self, masker: Masker) -> Finding:
        return replace(self, seen=masker.mask(self.seen), advice=masker.mask(self.advice))


def ok(check: str, seen: str) -> Finding:
    return Finding(check=check, level=Level.OK, seen=seen)


def unknown(check: str, seen: str, advice: str = "") -> Finding:
    return Finding(check=check, level=Level.UNKNOWN, seen=seen, advice=advice)


def warning(check: str, seen: str, advice: str) -> Finding:
    return Finding(check=check, level=Level.WARNING, seen=seen, advice=advice)


def failed(check: str, seen: str, advice: str) -> Finding:
    return Finding(check=check, level=Level.FAILED, seen=seen, advice=advice)


def count(findings: Iterable[Finding]) -> Mapping[Level, int]:
    """How many there are of each level."""
    counted = dict.fromkeys(Level, 0)
    for one in findings:
        counted[one.level] += 1
    return counted
