"""A model of phases and all that it names, packed into one bundle for the server; checked as the server checks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lando.phases.files import Bundle, Files, Folder, Kind
from lando.phases.model import Finding
from lando.phases.reading import read


@dataclass(frozen=True, kw_only=True)
class PhasedSubmission:
    """A model and the texts of its files, by the paths that it has for them."""

    model: str
    files: dict[str, str]


def pack(folder: Path, model: str) -> tuple[PhasedSubmission | None, list[Finding]]:
    """The model at ``model``, from where relative paths count from ``folder``; None when any finding is an error."""
    read_files = _Noted(Folder(folder))
    found, findings = read(read_files, model)
    if found is None:
        return None, findings
    packed, findings = read(Bundle(read_files.texts), model)
    return (None if packed is None else PhasedSubmission(model=model, files=read_files.texts)), findings


class _Noted:
    """Files that keep what was read of them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.texts: dict[str, str] = {}

    def key(self, path: str) -> str:
        return self._files.key(path)

    def kind(self, path: str) -> Kind:
        return self._files.kind(path)

    def text(self, path: str) -> str:
        self.texts[path] = self._files.text(path)
        return self.texts[path]

    def below(self, path: str) -> list[str]:
        return self._files.below(path)
