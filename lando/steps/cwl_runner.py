"""The process that is cwltool: its own ``main`` with an executor that keeps to the job's memory and cores.

``python -m lando.steps.cwl_runner MAX_RAM_MIB MAX_CORES CWLTOOL-ARGUMENT…`` (0 is no limit but the machine's)

``python -m cwltool`` itself always exits 0 and can't be limited. Log records go to standard error as one line each,
marked, so that the parent can tell them from what the tools write there themselves.
"""

from __future__ import annotations

import logging
import os
import sys

RECORD_MARK = "\x1e"  # ASCII record separator: starts a log record
LINE_MARK = "\x1f"  # ASCII unit separator: stands for a line break inside one


class RecordHandler(logging.Handler):
    """Writes each record to standard error in one call, so that no tool's output lands inside it."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record).replace("\n", LINE_MARK)
        os.write(sys.stderr.fileno(), f"{RECORD_MARK}{text}\n".encode("utf-8", "replace"))


def main(argv: list[str]) -> int:
    """Run cwltool; its exit code."""
    from cwltool.executors import MultithreadedJobExecutor
    from cwltool.main import run

    executor = MultithreadedJobExecutor()
    if int(argv[0]):
        executor.max_ram = int(argv[0])
    if float(argv[1]):
        executor.max_cores = float(argv[1])
    return int(run(argv[2:], executor=executor, logger_handler=RecordHandler()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
