"""What was found in a model and its files, told where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from lando.phases.model import Finding

MAX_FINDINGS = 1_000


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something is wrong."""

    file: str
    phase: str = ""
    entry: str = ""

    def __str__(self) -> str:
        about = [f"phase {self.phase}" if self.phase else "", f"entry {self.entry}" if self.entry else ""]
        return f"{self.file} ({', '.join(one for one in about if one)})" if any(about) else self.file


@dataclass
class Report:
    """Collects findings in the order in which they are met."""

    found: list[Finding] = field(default_factory=list)
    untold: int = 0
    failed: bool = False
    """Whether there was an error."""

    def error(self, place: Place, line: int | None, reason: str) -> None:
        self.failed = True
        self._add(place, line, reason, is_error=True)

    def warn(self, place: Place, line: int | None, reason: str) -> None:
        self._add(place, line, reason, is_error=False)

    def findings(self, path: str) -> list[Finding]:
        """All of them; the last one counts those that are too many to be told."""
        if not self.untold:
            return self.found
        return [*self.found, Finding(file=path, reason=f"{self.untold:,} more findings are left out.")]

    def _add(self, place: Place, line: int | None, reason: str, *, is_error: bool) -> None:
        if len(self.found) >= MAX_FINDINGS:
            self.untold += 1
            return
        self.found.append(
            Finding(
                reason=f"{reason}.",
                is_error=is_error,
                file=place.file,
                line=line,
                phase=place.phase,
                entry=place.entry,
            )
        )
