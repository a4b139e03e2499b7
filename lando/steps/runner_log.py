"""Following the runner's standard error: all of it to a file, what matters to this step's own log.

Memory stays flat and the step's log bounded however much the tools write, and a process that a tool left behind does
not hold up the end.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from lando.steps.cwl_log import CwlLog, readable, split
from lando.steps.cwl_runner import RECORD_MARK
from lando.steps.program import log

TOOLS_LOG_LIMIT = 4 << 20  # bytes of the tools' own output in this step's log; the file has all of them
LINE_BYTES = 1 << 20  # of one line; longer ones are taken as several
READ_BYTES = 1 << 16
LINGER_S = 2.0  # seconds that output is still taken when the runner is gone and others hold its standard error


def follow(child: subprocess.Popen[bytes], stream: IO[bytes], log_file: Path | None, progress: CwlLog) -> None:
    """Read ``stream``, the standard error of ``child``, to its end."""
    room = TOOLS_LOG_LIMIT
    with open(log_file or os.devnull, "w", encoding="utf-8", errors="replace") as file:
        for text in (part for raw in _lines(child, stream) for part in split(raw.decode("utf-8", "replace"))):
            line = text.rstrip("\r").rpartition("\r")[2]  # a progress bar's last state
            file.write(f"{readable(line)}\n")
            file.flush()
            of_a_tool = not line.startswith(RECORD_MARK)
            for said in progress.feed(line, datetime.now(UTC)):
                size = len(said.encode()) if of_a_tool else 0
                if not of_a_tool or room > 0:
                    log(said)
                if 0 < room <= size:
                    log(f"[… more than {TOOLS_LOG_LIMIT} bytes; the rest is in bespin-workflow-output.log …]")
                room -= size


def _lines(child: subprocess.Popen[bytes], stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of ``stream`` without their ends."""
    rest, deadline = bytearray(), None
    while True:
        if deadline is None and child.poll() is not None:
            deadline = time.monotonic() + LINGER_S
        if deadline is not None and time.monotonic() > deadline:
            log("warning: a process that a tool left behind still runs; its output is no longer followed")
            break
        if not select.select([stream], [], [], LINGER_S / 4)[0]:
            continue
        data = os.read(stream.fileno(), READ_BYTES)
        if not data:
            break
        rest += data
        *whole, last = rest.split(b"\n")
        yield from (bytes(line) for line in whole)
        rest = bytearray(last)
        if len(rest) >= LINE_BYTES:
            yield bytes(rest)
            rest.clear()
    if rest:
        yield bytes(rest)
