"""Draws the screens of docs/screens from a real run: ``python docs/screens.py [FOLDER]``.

Everything is started as a user starts it, each command in a terminal of its own, in a home that looks like the one of
a user called ada. What differs from run to run besides times (ports, ids of pods) is made the same.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
HOME_SHOWN = "/home/ada"
TIMEOUT_S = 60.0
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}  # as pyte calls them
THEME = TerminalTheme(
    background=(22, 27, 34),
    foreground=(230, 237, 243),
    normal=[
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
SAME = ((r"(?<=-ada-)[a-z0-9]{5}\b", "x7k2p"), (r"(?<=https://127\.0\.0\.1:)\d{5}", "38443"))


class Terminal:
    """A command in a terminal of ``columns`` by ``rows``."""

    def __init__(
        self, command: str, environment: dict[str, str], *, columns: int = 110, rows: int = 60, folder: Path = ROOT
    ) -> None:
        self.command = command
        self._screen = pyte.Screen(columns, rows)
        self._changed = threading.Condition()
        self._closed = False
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}" if "|" not in command else command],
            env={**environment, "TERM": "xterm-256color"},
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def lines(self) -> list[Text]:
        """What the terminal shows now, without what is empty at the end."""
        texts = []
        for number in range(self._screen.lines):
            row = self._screen.buffer[number]
            text = Text(end="")
            for style, chars in groupby((row[column] for column in range(self._screen.columns)), _style):
                text.append("".join(char.data for char in chars), style)
            text.rstrip()
            texts.append(text)
        while texts and not texts[-1].plain:
            texts.pop()
        return texts

    def wait(self, until: Callable[[str], bool]) -> list[Text]:
        """The lines as soon as ``until`` holds of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: until(self._text()), TIMEOUT_S):
                raise TimeoutError(f"{self.command} does not show what it should:\n{self._text().rstrip()}")
            return self.lines()

    def end(self) -> list[Text]:
        """The lines once the command has ended by itself."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed, TIMEOUT_S):
                raise TimeoutError(f"{self.command} does not end:\n{self._text().rstrip()}")
        self._process.wait(TIMEOUT_S)
        return self.lines()

    def stop(self) -> None:
        """End the command as Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(TIMEOUT_S)

    def _text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def _read(self) -> None:
        stream = pyte.ByteStream(self._screen)
        while True:
            try:
                read = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                read = b""
            with self._changed:
                if read:
                    stream.feed(read)
                else:
                    self._closed = True
                self._changed.notify_all()
            if not read:
                os.close(self._master)
                return


def svg(lines: list[Text], *, title: str, columns: int, name: str) -> str:
    """The lines as a picture of a terminal that needs no font from elsewhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    picture = console.export_svg(title=title, theme=THEME, unique_id=name)
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


def same(lines: list[Text], home: str) -> list[Text]:
    """The lines without what a run has by chance; ``home`` is as long as the one that is shown instead."""
    changed = []
    for line in lines:
        text = line.copy()
        for pattern, shown in ((re.escape(home), HOME_SHOWN), *SAME):
            while (found := re.search(pattern, text.plain)) and found[0] != shown:
                text = Text.assemble(text[: found.start()], shown, text[found.end() :])
        changed.append(text)
    return changed


def _style(char: pyte.screens.Char) -> str:
    words = [word for word in ("bold", "italics", "reverse") if getattr(char, word)]
    for colour, before in ((char.fg, ""), (char.bg, "on ")):
        if colour != "default":
            known = COLOURS.get(colour, colour.replace("bright", "bright_"))
            words.append(before + (f"#{known}" if re.fullmatch("[0-9a-f]{6}", known) else known))
    return " ".join(words).replace("italics", "italic")


def record(folder: Path) -> None:
    """Run everything, and write one picture for each screen."""
    home = f"/tmp/{secrets.token_hex(2)}"  # noqa: S108 - as long as the one that is shown
    Path(home).mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"HOME": home, "USER": "ada", "LOGNAME": "ada", "PATH": path, "LANG": "C.UTF-8"}

    def keep(name: str, terminal: Terminal, lines: list[Text], columns: int = 110) -> None:
        picture = svg(same(lines, home), title=terminal.command, columns=columns, name=name)
        (folder / f"{name}.svg").write_text(picture)

    up = Terminal("lando up", environment)
    try:
        up.wait(lambda text: "is up at" in text)
        for example, options in (("fastq-qc", "--wait"), ("failing", "--wait"), ("sleep", "")):
            files = f"examples/{example}/workflow.cwl examples/{example}/job-order.yaml"
            Terminal(f"lando submit {files} {options}", environment).end()
        watching = Terminal("lando status 3 --watch", environment, columns=80)
        keep("status-watch", watching, watching.wait(lambda text: "▶ run workflow" in text), 80)
        keep("up", up, up.wait(lambda text: re.search(r"^3 +Running +run workflow", text, re.MULTILINE) is not None))
        watching.stop()
        for name, command in (("explain", "lando explain 2 | head -8"), ("doctor", "lando doctor")):
            terminal = Terminal(command, environment)
            keep(name, terminal, terminal.end())
        phases = Terminal(
            "lando phases run advanced.yaml",
            {**environment, "KUBECONFIG": f"{home}/.local/share/lando/cluster/kubeconfig"},
            columns=90,
            folder=ROOT / "examples" / "phases",
        )
        keep("phases", phases, phases.wait(lambda text: "▶ sleep_hickup_b" in text), 90)
        phases.stop()
    finally:
        up.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "screens")
