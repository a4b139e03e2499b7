"""The process that is cwltool: its own ``main`` with an executor that keeps to the job's memory and cores.

``python -m lando.steps.cwl_runner MAX_RAM_MIB MAX_CORES CWLTOOL-ARGUMENT…`` (0 is no limit but the machine's)

``python -m cwltool`` itself always exits 0, can't be limited, and waits ten seconds for every tool when it is to end.
Log records go to standard error as one line each, marked, so that the parent can tell them from what the tools write
there themselves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

RECORD_MARK = "\x1e"  # ASCII record separator: starts a log record
LINE_MARK = "\x1f"  # ASCII unit separator: stands for a line break inside one
TOOLS_STOP_TIMEOUT_S = 5.0  # seconds from SIGTERM to SIGKILL of the tools, all together
CONTAINER_STOP_TIMEOUT_S = 10.0  # seconds for the engine to end one container


class RecordHandler(logging.Handler):
    """Writes each record to standard error in one call, so that no tool's output lands inside it."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record).replace("\n", LINE_MARK)
        os.write(sys.stderr.fileno(), f"{RECORD_MARK}{text}\n".encode("utf-8", "replace"))


def main(argv: list[str]) -> int:
    """Run cwltool; its exit code."""
    from cwltool.argparser import arg_parser
    from cwltool.context import LoadingContext
    from cwltool.executors import MultithreadedJobExecutor
    from cwltool.main import main as run_cwltool

    from lando.steps.cwl_cache import make_tool

    signal.signal(signal.SIGTERM, _stop)
    executor = MultithreadedJobExecutor()
    if int(argv[0]):
        executor.max_ram = int(argv[0])
    if float(argv[1]):
        executor.max_cores = float(argv[1])
    loading = LoadingContext(vars(arg_parser().parse_args(argv[2:])))
    loading.construct_tool_object = make_tool
    return int(run_cwltool(argv[2:], executor=executor, logger_handler=RecordHandler(), loadingContext=loading))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """End the tools, then this process; without a way back, as cwltool's threads would start the next tools."""
    import psutil  # type: ignore[import-untyped]

    deadline = time.monotonic() + TOOLS_STOP_TIMEOUT_S
    for _ in range(2):  # again, for one that was just being started
        tools = psutil.Process().children(recursive=True)
        for tool in tools:
            with contextlib.suppress(psutil.NoSuchProcess):
                tool.terminate()  # `docker run` and its like hand it on to their containers
        _, alive = psutil.wait_procs(tools, timeout=max(deadline - time.monotonic(), 0))
        for tool in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                _kill_container(tool.cmdline())
                tool.kill()
    os._exit(128 + signal.SIGTERM)


def _kill_container(command: Sequence[str]) -> None:
    """End the container of a ``docker run --cidfile=…`` that did not heed SIGTERM."""
    for argument in command[1:]:
        if argument.startswith("--cidfile="):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                container = Path(argument.partition("=")[2]).read_text(encoding="utf-8").strip()
                subprocess.run([command[0], "kill", container], timeout=CONTAINER_STOP_TIMEOUT_S, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
