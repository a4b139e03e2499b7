"""What was found in a model and its files, told where it is."""

from __future__ import annotations

from dataclasses import dataclass

from lando.phases.model import Finding

MAX_ERRORS = 1_000
MAX_WARNINGS = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something is wrong."""

    file: str
    phase: str = ""
    entry: str = ""

    def __str__(self) -> str:
        about = [f"phase {self.phase}" if self.phase else "", f"entry {self.entry}" if self.entry else ""]
        return f"{self.file} ({', '.join(one for one in about if one)})" if any(about) else self.file


class Report:
    """Collects findings."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._errors = 0
        self._warnings = 0

    @property
    def failed(self) -> bool:
        """Whether there was an error."""
        return self._errors > 0

    @property
    def is_full(self) -> bool:
        """Whether further findings are only counted, so that nobody need think about what to advise."""
        return self._errors >= MAX_ERRORS or self._warnings >= MAX_WARNINGS

    def error(self, place: Place, line: int | None, reason: str) -> None:
        self._errors += 1
        if self._errors <= MAX_ERRORS:
            self._add(place, line, reason, is_error=True)

    def warn(self, place: Place, line: int | None, reason: str) -> None:
        self._warnings += 1
        if self._warnings <= MAX_WARNINGS:
            self._add(place, line, reason, is_error=False)

    def findings(self, path: str) -> list[Finding]:
        """All of them; the last one counts those that are too many to be told."""
        untold = self._errors + self._warnings - len(self._found)
        if not untold:
            return self._found
        return [
            *self._found,
            Finding(file=path, reason=f"{untold:,} more findings are left out.", is_error=self.failed),
        ]

    def _add(self, place: Place, line: int | None, reason: str, *, is_error: bool) -> None:
        self._found.append(
            Finding(
                reason=reason if reason.endswith("?") else f"{reason}.",
                is_error=is_error,
                file=place.file,
                line=line,
                phase=place.phase,
                entry=place.entry,
            )
        )
