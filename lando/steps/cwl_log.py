"""What cwltool's log tells of a run: which tools run, which failed, how, and their last words. Pure.

Progress depends on the wording of the log; should that change, only the progress lines and the failing tool's name
would be lost, never a result or an exit code.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lando.steps.cwl_runner import LINE_MARK, RECORD_MARK

TAIL_LINES = 30  # of what the tools wrote
ERRORS_KEPT = 20  # error records of cwltool itself
LINE_LIMIT = 4000  # characters of one line

_RECORD = re.compile(f"(?={RECORD_MARK}(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) )")
_STARTED = re.compile(r"^\[job ([^\]]+)\] [^\n]*\$ ")
_CACHED = re.compile(r"^\[job ([^\]]+)\] Using cached output in ")
_EXITED = re.compile(r"^\[job ([^\]]+)\] exited with status: (\d+)")
_KILLED = re.compile(r"^\[job ([^\]]+)\] was terminated by signal: (\w+)")
_MEMORY = re.compile(r"^\[job ([^\]]+)\] Max memory used: (\d+)MiB")
_OVERTIME = re.compile(r"^\[job ([^\]]+)\] exceeded time limit of (\d+) seconds")
_COMPLETED = re.compile(r"^\[job ([^\]]+)\] completed (\w+)")
_NOT_FOUND = re.compile(r"^'([^']+)' not found: ")
_STDERR_FILE = re.compile(r" 2> (/[^\n]+)$")


@dataclass(kw_only=True)
class ToolRun:
    """One tool that cwltool started, or whose outputs it took from its cache."""

    name: str
    started: datetime
    finished: datetime | None = None
    status: str = ""
    """``success``, ``permanentFail``, ``temporaryFail``; "" while it runs."""
    cached: bool = False
    exit_code: int | None = None
    signal: str | None = None
    time_limit_s: int | None = None
    """The limit that it exceeded."""
    max_memory_mib: int | None = None
    """Peak, as sampled while it ran."""
    stderr_file: str | None = None
    """Where the tool's standard error goes, when the tool asks for it as a file."""


@dataclass(kw_only=True)
class CwlLog:
    """Fed with the lines of :mod:`lando.steps.cwl_runner`'s standard error, it knows how the run stands."""

    expected: int
    """How many tools were counted on; raised when there turn out to be more."""
    runs: dict[str, ToolRun] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    """The last lines that tools wrote to standard error."""
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=ERRORS_KEPT))
    """Error records of cwltool, the last ones."""
    missing_program: str | None = None
    """The program that a tool named and that isn't there."""
    done: int = 0

    def feed(self, line: str, now: datetime) -> Iterator[str]:
        """Take in one line (without its line break); what the step's log should say about it."""
        if not line.startswith(RECORD_MARK):
            self.tail.append(line[:LINE_LIMIT])
            yield f"  | {line[:LINE_LIMIT]}"
            return
        level, _, message = line[len(RECORD_MARK) :].replace(LINE_MARK, "\n").partition(" ")
        if level in ("ERROR", "CRITICAL"):
            self.errors.append(message)
            if found := _NOT_FOUND.match(message):
                self.missing_program = found[1]
            yield f"cwltool: {message[:LINE_LIMIT]}"
        yield from self._judge(message, now)

    @property
    def failed(self) -> ToolRun | None:
        """The tool that failed first, if one did."""
        return next((run for run in self.runs.values() if run.status not in ("", "success")), None)

    def _judge(self, message: str, now: datetime) -> Iterator[str]:
        if found := _STARTED.match(message):
            run = self._start(found[1], now)
            file = _STDERR_FILE.search(message)
            run.stderr_file = file[1] if file else None
            yield f"tool {len(self.runs)} of {self.expected} started: {run.name}"
        elif found := _CACHED.match(message):
            run = self._start(found[1], now)
            run.cached, run.finished, run.status = True, now, "success"
            self.done += 1
            yield f"tool {len(self.runs)} of {self.expected} is done already, taken from the cache: {run.name}"
        elif found := _EXITED.match(message):
            self._run(found[1], now).exit_code = int(found[2])
        elif found := _KILLED.match(message):
            self._run(found[1], now).signal = found[2]
        elif found := _MEMORY.match(message):
            self._run(found[1], now).max_memory_mib = int(found[2])
        elif found := _OVERTIME.match(message):
            self._run(found[1], now).time_limit_s = int(found[2])
        elif found := _COMPLETED.match(message):
            run = self._run(found[1], now)
            run.status, run.finished = found[2], now
            self.done += 1
            seconds = (now - run.started).total_seconds()
            words = "finished" if run.status == "success" else "failed"
            yield f"tool {words}: {run.name}, {seconds:.1f} s ({self.done} of {self.expected} done)"

    def _start(self, name: str, now: datetime) -> ToolRun:
        run = self._run(name, now)
        run.started = now
        return run

    def _run(self, name: str, now: datetime) -> ToolRun:
        run = self.runs.get(name)
        if run is None:
            run = self.runs[name] = ToolRun(name=name, started=now)
            self.expected = max(self.expected, len(self.runs))
        return run


def split(line: str) -> list[str]:
    """A line of the runner's standard error, taken apart where a tool's last words had no line break of their own."""
    return [part for part in _RECORD.split(line) if part] or [""]


def readable(line: str) -> str:
    """A line of the runner as the log file keeps it: records without their marks."""
    return line.removeprefix(RECORD_MARK).replace(LINE_MARK, "\n")
