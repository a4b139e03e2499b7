"""Runs the commands of a page and writes what they print into it: ``python docs/transcript.py PAGE…``.

In a block fenced with ``console``, lines that begin with ``$ `` are commands and the others are what they printed. A
block after ``<!-- file: PATH -->`` is a file, written when its turn has come. All commands of a page run in one shell,
in an empty folder and with a home of their own; what they leave running is ended. Nothing is written unless each
command ends as it should: well, or, where the line ends with ``# refused``, not.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FENCE = "```"
PROMPT = "$ "
REFUSED = "# refused"
FILE = re.compile("<!-- file: (.+) -->")
TIMEOUT_S = 240.0
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
    """What is to be run, in order: the commands in the console blocks of ``page``, and what writes its files."""
    return [command for _, command in _steps(page) if command]


def rewritten(page: str, run: Run) -> str:
    """``page`` with what its commands print now. Raises TranscriptError when one ends otherwise than it should."""
    outcomes = iter(run(commands_of(page)))
    lines: list[str] = []
    for line, command in _steps(page):
        lines.append(line)
        if command:
            outcome = next(outcomes)
            if (outcome.status != 0) is not command.endswith(REFUSED):
                raise TranscriptError(f"{command} ended with status {outcome.status}:\n{outcome.text}")
            lines += outcome.text.splitlines()
    return "\n".join(lines) + "\n"


def _steps(page: str) -> list[tuple[str, str]]:
    """Each line that stays, with the command that is run after it; what a command printed before does not stay."""
    found: list[tuple[str, str]] = []
    fence, path = "", ""
    content: list[str] = []
    for line in page.splitlines():
        command = ""
        if line.startswith(FENCE):
            if fence and path:
                command = f"mkdir -p $(dirname {path}) && cat >{path} <<'END'\n" + "\n".join([*content, "END"])
                path, content = "", []
            fence = "" if fence else line
        elif fence == f"{FENCE}console":
            if not line.startswith(PROMPT):
                continue
            command = line.removeprefix(PROMPT)
        elif fence and path:
            content.append(line)
        elif not fence and (mark := FILE.fullmatch(line)):
            path = mark[1]
        found.append((line, command))
    return found


def run_in_shell(commands: Sequence[str]) -> list[Outcome]:
    """Run all in one shell; what they leave running is ended."""
    script = "trap 'kill $(jobs -p)' EXIT\n" + "".join(f"{command}\nprintf '\\0%s\\0' $?\n" for command in commands)
    with tempfile.TemporaryDirectory() as home:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDO_", "KUBE"))}
        env = {**kept, "HOME": home, "LOGNAME": "you", "PATH": path, "NO_COLOR": "1"}
        shell = subprocess.Popen(
            ["bash"],
            env=env,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = shell.communicate(script, timeout=TIMEOUT_S)
        finally:  # in case the page did not get as far as to end it
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            subprocess.run(
                [sys.executable, "-m", "lando", "cluster", "down"], env=env, stdout=subprocess.DEVNULL, check=True
            )
        parts = _COLOURS.sub("", printed).replace(home, HOME_SHOWN).split("\0")
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
