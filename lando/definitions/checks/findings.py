"""What is wrong with definitions, told by file, line and key."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    sentence: str
    """What it is and, where that is not plain, what to do; without a full stop."""
    file: str
    line: int | None = None
    """From 1."""
    key: str = ""
    """Of the definition, or of the manifest: ``metadata.name``."""
    definition: str | None = None
    """Its name, where it has one."""
    is_error: bool = True
    """The definition can't be used, or the cluster will surely refuse its Jobs; otherwise a warning."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        return ": ".join(part for part in (place, self.key, self.sentence) if part)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a definition stands in its file."""

    file: str
    line: int
    keys: dict[str, int]
    """The line of each key; of what is declared below ``arguments``, too: ``arguments.name``."""
    text_line: int | None = None
    """Of the first line of the text of ``spec``, where the lines of that are those of the file."""
    definition: str | None = None

    def finding(self, key: str, sentence: str) -> Finding:
        """About that key of the definition; "" for all of it."""
        line = self.keys.get(key, self.line)
        return Finding(sentence=sentence, file=self.file, line=line, key=key, definition=self.definition)

    def warning(self, key: str, sentence: str) -> Finding:
        """As :meth:`finding`, of what is no error."""
        return replace(self.finding(key, sentence), is_error=False)

    def of_key(self, key: str) -> str:
        """``file:line: key``."""
        return str(self.finding(key, ""))
