"""Kills a step's program at any of its calls that can change a file, as the kernel does: nothing of it runs any more.

``python -m tests.integration.steps.killing`` reads one request as JSON a line and answers each with a line. It has no
threads and forks one child for each, so that a death costs milliseconds. :class:`Killer` is the other end.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from lando.steps.program import run_program

CHANGING = frozenset(
    {"open", "write", "writelines", "flush", "close", "fsync", "truncate", "ftruncate", "sendfile", "copy_file_range"}
    | {"replace", "rename", "unlink", "remove", "rmdir", "mkdir", "chmod", "symlink", "link"}
)
"""Functions of the interpreter's input and output after which files may be others than before."""
KILLED = 128 + signal.SIGKILL


def _die_at(point: int) -> None:
    """End this process at the ``point``-th of such calls, alternately before and after one."""
    left = point

    def traced(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal left
        if event in ("c_call", "c_return") and function.__name__ in CHANGING and _is_of_files(function):
            left -= 1
            if left == 0:
                os._exit(KILLED)  # no `finally`, no buffer is written

    sys.setprofile(traced)


def _is_of_files(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    return "posix" in (function.__module__, getattr(owner, "__name__", "")) or type(owner).__module__ == "_io"


def _program(name: str) -> Callable[[Sequence[str]], dict[str, Any]]:
    """What the step's program does between its frame."""
    module = importlib.import_module(f"lando.steps.{name}")
    if name == "run_workflow":
        module._run_cwltool = _play_cwltool
        return lambda argv: module.run_workflow(module.parse(argv))  # type: ignore[no-any-return]
    return module._work  # type: ignore[no-any-return]


def _play_cwltool(options: Any, *_: object) -> int:
    """What the real one leaves, in the time there is; it makes its files where they belong, bit by bit."""
    result = options.outdir / "found/o.txt"
    result.parent.mkdir()
    with result.open("w") as file:
        file.write("half of it, ")
        file.flush()
        file.write("and the rest\n")
    (options.outdir / "link").symlink_to("found/o.txt")
    options.stderr.write_text("INFO done\n")
    options.stdout.write_text(json.dumps({"o": {"class": "File", "path": str(result), "size": 25}}))
    return 0


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        work = _program(request["program"])
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.dup2(2, 1)
                if request["die_at"]:
                    _die_at(request["die_at"])
                code = run_program(request["program"], "", work, request["argv"])
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Killer:
    """Runs steps' programs in processes that can be killed anywhere."""

    def __init__(self, log: Path) -> None:
        with log.open("w") as file:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.steps.killing"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "LANDO_TERMINATION_LOG": str(log.with_name("termination-log"))},
            )

    def __enter__(self) -> Killer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()

    def run(self, program: str, argv: Sequence[str], *, die_at: int = 0) -> bool:
        """Whether it came to its end; it does so with success, or is killed at point ``die_at``."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps({"program": program, "argv": argv, "die_at": die_at}), file=self._server.stdin, flush=True)
        code = int(self._server.stdout.readline())
        assert code in (0, KILLED), f"{program} ended with {code}"
        return code == 0


if __name__ == "__main__":
    main()
