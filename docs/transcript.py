"""Runs the commands of a page and writes what they print into it: ``python docs/transcript.py PAGE…``.

In a block fenced with ``console``, lines that begin with ``$ `` are commands and the others are what they printed. All
commands of a page run in one shell, in an empty folder and with a home of their own. Nothing is written unless each
command ends as it should: well, or, where the line ends with ``# refused``, not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FENCE = "```"
PROMPT = "$ "
REFUSED = "# refused"
TIMEOUT_S = 120.0
HOME_SHOWN = "/home/you"
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class Outcome:
    """What one command printed, and its exit status."""

    text: str
    status: int


Run = Callable[[Sequence[str]], list[Outcome]]


class TranscriptError(Exception):
    """A command of the page did not end as the page says."""


def commands_of(page: str) -> list[str]:
    """The commands in the console blocks of ``page``, in order."""
    return [line.removeprefix(PROMPT) for line, is_console in _lines(page) if is_console and line.startswith(PROMPT)]


def rewritten(page: str, run: Run) -> str:
    """``page`` with what its commands print now. Raises TranscriptError when one ends otherwise than it should."""
    commands = commands_of(page)
    outcomes = iter(run(commands))
    lines: list[str] = []
    for line, is_console in _lines(page):
        if is_console and line.startswith(PROMPT):
            outcome = next(outcomes)
            if (outcome.status != 0) is not line.endswith(REFUSED):
                raise TranscriptError(f"{line} ended with status {outcome.status}:\n{outcome.text}")
            lines += [line, *outcome.text.splitlines()]
        elif not is_console:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _lines(page: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is inside a console block."""
    found, fence = [], ""
    for line in page.splitlines():
        inside = fence == f"{FENCE}console" and line != FENCE
        found.append((line, inside))
        if line.startswith(FENCE):
            fence = "" if fence else line
    return found


def run_in_shell(commands: Sequence[str]) -> list[Outcome]:
    """Run all in one shell; a cluster that they leave running is ended."""
    script = "".join(f"{command}\nprintf '\\0%s\\0' $?\n" for command in commands)
    with tempfile.TemporaryDirectory() as home:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDO_", "KUBE"))}
        env = {**kept, "HOME": home, "PATH": path, "NO_COLOR": "1"}
        try:
            done = subprocess.run(
                ["bash"],
                input=script,
                env=env,
                cwd=home,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT_S,
                check=True,
            )
        finally:  # in case the page did not get as far as to end it
            subprocess.run(
                [sys.executable, "-m", "lando", "cluster", "down"], env=env, stdout=subprocess.DEVNULL, check=True
            )
        parts = _COLOURS.sub("", done.stdout).replace(home, HOME_SHOWN).split("\0")
    return [Outcome(text.rstrip(), int(status)) for text, status in zip(parts[::2], parts[1::2], strict=False)]


def main(pages: Sequence[str]) -> int:
    for name in pages:
        page = Path(name)
        try:
            page.write_text(rewritten(page.read_text(), run_in_shell))
        except TranscriptError as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
