"""``lando doctor``."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from lando import config as daemons
from lando import home
from lando.cli import FAILED
from lando.doctor.examining import Examination, Part, examine
from lando.doctor.findings import Finding, Level, count
from lando.doctor.parts import Options, Site, of_file, of_home, of_server
from lando.logs import plain
from lando.masking import Masker

WIDTH = 22  # of the names of checks
_COLOURS = {Level.OK: "green", Level.UNKNOWN: "cyan", Level.WARNING: "yellow", Level.FAILED: "red"}


def doctor(file: Path | None, home_folder: Path | None, options: Options, *, server: Path | None, as_json: bool) -> int:
    """Examine everything and print it; the exit status says whether something failed."""
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries have to say comes as a finding
    reading = daemons.read(file) if file is not None else None
    of_it = of_server(str(server) if server is not None else None, reading.config if reading is not None else None)
    if reading is not None:
        site = of_file(str(file), reading, options)
    elif of_it.parts:
        site = Site(parts=())
    else:
        site = of_home(home.find(home_folder), options)
    site = Site(parts=(*site.parts, *of_it.parts), secrets=(*site.secrets, *of_it.secrets))
    told = _Teller(site, as_json=as_json)
    examinations = examine(site.parts, on_change=told.hear)
    told.close()
    counted = count(finding for one in examinations for finding in one.findings)
    if as_json:
        document = {
            "parts": [_part(one.part, one.findings, told.masker) for one in examinations],
            "counts": {level.value: counted[level] for level in Level},
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo(f"\n{summary(counted)}")
    return FAILED if counted[Level.FAILED] else 0


class _Teller:
    """Prints each part as soon as it and all before it are over; meanwhile, in a terminal, what is being asked."""

    def __init__(self, site: Site, *, as_json: bool) -> None:
        self.masker = Masker(site.secrets)
        self._as_json = as_json
        self._printed = 0
        self._line = ""
        """What stands in the terminal's last line, to be wiped."""

    def hear(self, examinations: Sequence[Examination]) -> None:
        self._wipe()
        while not self._as_json and self._printed < len(examinations) and examinations[self._printed].is_over:
            one = examinations[self._printed]
            typer.echo(("\n" if self._printed else "") + one.part.title)
            for finding in one.findings:
                typer.echo(line(finding.masked(self.masker)))
            self._printed += 1
        if sys.stderr.isatty():
            asked = ", ".join(f"{one.part.name} ({one.asking})" for one in examinations if not one.is_over)
            self._line = self.masker.mask(plain(f"… {asked}"))[:100] if asked else ""
            typer.echo(self._line, err=True, nl=False)

    def close(self) -> None:
        self._wipe()

    def _wipe(self) -> None:
        if self._line:
            typer.echo(f"\r{' ' * len(self._line)}\r", err=True, nl=False)
            self._line = ""


def line(finding: Finding) -> str:
    """One finding: level, check, what was seen, what to do."""
    level = typer.style(finding.level.value.ljust(8), fg=_COLOURS[finding.level])
    text = plain(finding.seen) + (f" → {plain(finding.advice)}" if finding.advice else "")
    return f"  {level} {plain(finding.check).ljust(WIDTH)} {text}"


def summary(counted: Mapping[Level, int]) -> str:
    """How many of each kind, and what that means."""
    words = [f"{counted[level]} {level.value}" for level in Level if counted[level] or level is Level.OK]
    verdict = "Lando can't work like this." if counted[Level.FAILED] else "Lando can work."
    return f"{', '.join(words)}. {verdict}"


def _part(part: Part, findings: Sequence[Finding], masker: Masker) -> dict[str, object]:
    return {
        "part": part.name,
        "title": part.title,
        "findings": [finding.masked(masker).document() for finding in findings],
    }
