"""The second step: run the workflow with cwltool, under the flags that Calrissian takes too.

``python -m lando.steps.run_workflow [FLAG…] WORKFLOW JOBORDER``

cwltool runs as a child process; its output object goes to the ``--stdout`` file, its log to the ``--stderr`` file,
and this step's own log says "tool k of n". What an earlier attempt left in ``--outdir`` is removed first, its cache
in ``--cachedir`` is used. A failure's cause names the tool, its exit code and its last words.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from lando import cwl
from lando.errors import StepError
from lando.runs import Category, Cause
from lando.steps import volume
from lando.steps.cwl_log import TAIL_LINES, CwlLog, ToolRun
from lando.steps.engines import Engine, find_engine, search_path
from lando.steps.program import ProgramFailedError, UsageError, log, run_program
from lando.steps.runner_log import follow
from lando.steps.volume import VolumeWatch
from lando.units import cores, mebibytes

USAGE = (
    "python -m lando.steps.run_workflow [--cachedir DIR] [--outdir DIR] [--max-ram 16Gi] [--max-cores 8] "
    "[--usage-report FILE] [--stdout FILE] [--stderr FILE] [CWLTOOL-FLAG…] WORKFLOW JOBORDER"
)
STOP_TIMEOUT_S = 20.0  # seconds that cwltool gets to end its tools when the pod is stopped
SENTENCE_LIMIT = 600  # characters of cwltool's own words in a cause
TAIL_BYTES = 64 * 1024  # read from the end of a tool's own stderr file

_FULL = "No space left on device"  # strerror(ENOSPC)
_INTRODUCTION = re.compile(r"^(\[job [^\]]+\] Job error:|Workflow error(, try again with --debug[^\n]*)?:)\s*")
_TOO_LARGE = re.compile(
    r"Job \"(?P<tool>[^\"]+)\" cannot be run, requests more resources "
    r"\(\{'cores': (?P<cores>[\d.]+), 'ram': (?P<ram>\d+).*max ram (?P<max_ram>\d+), max cores (?P<max_cores>[\d.]+)"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    workflow: str
    """Path, with ``#main`` or the like behind it for one process of a packed file."""
    job_order: Path
    outdir: Path
    cachedir: Path | None
    max_ram_mib: int
    """0 is what the machine has."""
    max_cores: float
    usage_report: Path | None
    stdout: Path | None
    stderr: Path | None
    others: tuple[str, ...]
    """Flags for cwltool itself."""

    @property
    def workflow_file(self) -> Path:
        return cwl.process_reference(self.workflow)[0]

    @property
    def process_name(self) -> str:
        return cwl.process_reference(self.workflow)[1] or "main"

    @property
    def workflow_uri(self) -> str:
        """For cwltool, which takes a bare path apart at its first ``#``."""
        file, name = cwl.process_reference(self.workflow)
        return file.absolute().as_uri() + (f"#{name}" if name else "")


def parse(argv: Sequence[str]) -> Options:
    """Read the command line; of a repeated flag the last one counts.

    Raises:
        UsageError: Too few arguments, or a flag without its value.
        InputError: A quantity that is none.
    """
    if len(argv) < 2 or argv[-2].startswith("-") or argv[-1].startswith("-"):
        raise UsageError("WORKFLOW and JOBORDER are missing.")
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--cachedir", type=Path)
    parser.add_argument("--outdir", type=Path, default=Path())
    parser.add_argument("--max-ram")
    parser.add_argument("--max-cores")
    parser.add_argument("--usage-report", type=Path)
    parser.add_argument("--stdout", type=Path)
    parser.add_argument("--stderr", type=Path)
    known, others = parser.parse_known_args(argv[:-2])
    return Options(
        workflow=argv[-2],
        job_order=Path(argv[-1]),
        outdir=known.outdir,
        cachedir=known.cachedir,
        max_ram_mib=mebibytes(known.max_ram) if known.max_ram else 0,
        max_cores=cores(known.max_cores) if known.max_cores else 0.0,
        usage_report=known.usage_report,
        stdout=known.stdout,
        stderr=known.stderr,
        others=tuple(others),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.")


def run_workflow(options: Options) -> dict[str, Any]:
    """Run the workflow; the termination message.

    Raises:
        InputError: The workflow or job order can't be read.
        StepError: An image is required and there is no engine, or the workflow failed (:class:`ProgramFailedError`).
    """
    document = cwl.read_process(options.workflow_file)
    job_order = cwl.read_document(options.job_order)
    needs = cwl.check_container_requirements(document, options.process_name)
    engine = find_engine() if needs else None
    warnings: list[str] = []
    if needs and engine is None:
        refusal = cwl.refusal_without_engine(needs)
        if refusal is not None:
            advice = "Run it where an engine is, or make the image a hint if its programs are installed here."
            raise StepError(Cause(category=Category.IMAGE, sentence=refusal, advice=advice))
        warnings = [cwl.ran_without_image(need) for need in needs]
    told: dict[str, Any] = {"warnings": warnings} if warnings else {}
    for warning in warnings:
        log(f"warning: {warning}")
    _clear(options)
    progress = CwlLog(expected=cwl.count_tools(document, job_order, options.process_name))
    started = datetime.now(UTC)
    with VolumeWatch(log):
        exit_code = _run_cwltool(options, engine, bool(needs), progress)
    finished = datetime.now(UTC)
    if options.usage_report is not None:
        report = usage_report(options, progress, started, finished, exit_code, warnings)
        options.usage_report.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if exit_code != 0:
        cause = cause_of_failure(progress, exit_code, {need.tool: need.image for need in needs} if not engine else {})
        if progress.failed is not None and progress.failed.stderr_file is not None:  # else it was said already
            for line in cause.log_tail.splitlines():
                log(f"  | {line}")
        raise ProgramFailedError(cause, exit_code=_own_exit_code(exit_code), report=told)
    use = volume.of_this_container()
    if use is not None and use.share > volume.NEARLY_FULL:
        told["warnings"] = [*warnings, use.warning()]
        log(f"warning: {use.warning()}")
    log(f"Workflow finished in {(finished - started).total_seconds():.1f} s; tools run: {len(progress.runs)}.")
    return told


def _own_exit_code(exit_code: int) -> int:
    """What a shell would make of a child's exit code: signals are negative in Python, 128 and more outside."""
    return exit_code if exit_code > 0 else 128 - exit_code


def _clear(options: Options) -> None:
    """Remove what a broken attempt left, except the cache."""
    options.outdir.mkdir(parents=True, exist_ok=True)
    for left in options.outdir.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
    for file in (options.stdout, options.stderr, options.usage_report):
        if file is not None:
            file.unlink(missing_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)


def _run_cwltool(options: Options, engine: Engine | None, containers: bool, progress: CwlLog) -> int:
    with tempfile.TemporaryDirectory(prefix="lando-run-") as scratch:
        command = _command(options, engine, containers, Path(scratch))
        environment = {**os.environ, "PATH": search_path(Path(scratch)), "PYTHONUNBUFFERED": "1"}
        log(f"Running {options.workflow_file.name} with cwltool; tools expected: {progress.expected}.")
        output = Path(scratch, "output.json")
        with (
            output.open("wb") as stdout,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=environment
            ) as child,
        ):
            try:
                assert child.stderr is not None  # noqa: S101 - asked for above
                follow(child, child.stderr, options.stderr, progress)
                exit_code = child.wait()
            finally:
                _stop(child)
        if options.stdout is not None:
            shutil.copyfile(output, options.stdout)
        else:
            log(output.read_text(encoding="utf-8"))
    return exit_code


def _command(options: Options, engine: Engine | None, containers: bool, scratch: Path) -> list[str]:
    if engine is not None:
        container_flags: tuple[str, ...] = engine.cwltool_flags
    else:
        container_flags = ("--no-container",) if containers else ()
    cache = ("--cachedir", str(options.cachedir)) if options.cachedir is not None else ()
    return [
        *(sys.executable, "-m", "lando.steps.cwl_runner", str(options.max_ram_mib), str(options.max_cores)),
        *("--disable-color", "--skip-schemas", "--disable-ga4gh-tool-registry", "--no-doc-cache", "--parallel"),
        *(
            "--relax-path-checks",
            "--tmpdir-prefix",
            f"{scratch}/",
            *container_flags,
            *cache,
            "--outdir",
            str(options.outdir),
            *options.others,
        ),
        *(options.workflow_uri, str(options.job_order)),
    ]


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End cwltool, which ends its tools, if it is still there."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def cause_of_failure(progress: CwlLog, exit_code: int, images_left_out: dict[str, str]) -> Cause:
    """Who failed and how, from what cwltool said."""
    failed = progress.failed
    if failed is None:
        return _cause_without_tool(progress, exit_code)
    tail = _last_words(failed, progress)
    step = _step_of(failed.name, images_left_out)
    image = f" It ran without its image {images_left_out[step]}." if step in images_left_out else ""
    if progress.missing_program is not None and failed.exit_code is None:
        sentence = (
            f"Tool {failed.name} could not start: its program {progress.missing_program!r} is not installed here."
        )
        return _tool_cause(f"{sentence}{image}", _advice_missing(bool(image)), 127, tail)
    if failed.exit_code == 127:
        return _tool_cause(
            f"Tool {failed.name} exited with 127: a program it calls is not installed here.{image}",
            _advice_missing(bool(image)),
            127,
            tail,
        )
    if failed.time_limit_s is not None:
        sentence = f"Tool {failed.name} exceeded its time limit of {failed.time_limit_s} s and was ended.{image}"
        return _tool_cause(sentence, "Raise the tool's ToolTimeLimit, or give it less to do.", None, tail)
    if _FULL in "\n".join((tail, *progress.errors)):
        return Cause(
            category=Category.RESOURCES,
            sentence=f"Tool {failed.name} failed, most likely because its volume is full.",
            advice="Ask for a larger volume (volume size of the job) and restart.",
            exit_code=failed.exit_code,
            log_tail=tail,
        )
    if failed.signal == "SIGKILL" or failed.exit_code == 137:
        return Cause(
            category=Category.RESOURCES,
            sentence=f"Tool {failed.name} was killed, most likely because memory ran out.",
            advice="Give the job a flavor with more memory and restart.",
            exit_code=137,
            log_tail=tail,
        )
    if failed.signal is not None:
        return _tool_cause(f"Tool {failed.name} was ended by {failed.signal}.{image}", "", None, tail)
    if failed.exit_code is not None and failed.exit_code != 0:
        sentence = f"Tool {failed.name} exited with {failed.exit_code}.{image}"
        last = tail.rstrip().rpartition("\n")[2].strip()
        advice = f"Its last words: {last[:300]}" if last else "It wrote nothing to standard error."
        return _tool_cause(sentence, advice, failed.exit_code, tail)
    reason = " ".join(_plain(progress.errors[-1]).split())[:SENTENCE_LIMIT] if progress.errors else "it gave no reason"
    return _tool_cause(f"Tool {failed.name} failed: {reason.rstrip('.')}.{image}", "", failed.exit_code, tail)


def _cause_without_tool(progress: CwlLog, exit_code: int) -> Cause:
    """cwltool refused the workflow or its inputs, or came to grief itself."""
    said = "\n".join(_plain(error) for error in progress.errors) or "\n".join(progress.tail)
    if exit_code < 0:
        return Cause(
            category=Category.RESOURCES,
            sentence=f"cwltool was ended by signal {-exit_code} before the workflow was done.",
            advice="If memory ran out, give the step a flavor with more of it; then restart.",
            log_tail=said,
        )
    if found := _TOO_LARGE.search(said):
        return Cause(
            category=Category.RESOURCES,
            sentence=f"Tool {found['tool']} asks for {found['cores']} cores and {found['ram']} MiB of memory, "
            f"but the job has {found['max_cores']} cores and {found['max_ram']} MiB.",
            advice="Give the job a larger flavor, or lower the tool's ResourceRequirement.",
            log_tail=said,
        )
    reason = " ".join(said.split())[:SENTENCE_LIMIT] or "it gave no reason"
    category = Category.RESOURCES if "Requested at least" in said or _FULL in said else Category.USER
    return Cause(category=category, sentence=f"cwltool could not run the workflow: {reason}", log_tail=said)


def _tool_cause(sentence: str, advice: str, exit_code: int | None, tail: str) -> Cause:
    return Cause(category=Category.USER, sentence=sentence, advice=advice, exit_code=exit_code, log_tail=tail)


def _advice_missing(had_image: bool) -> str:
    engine = "Install the program, or run the job where a container engine is (docker, podman, apptainer, udocker)."
    return (
        engine if had_image else "Install the program, or give the tool a DockerRequirement with an image that has it."
    )


def _step_of(job: str, images: dict[str, str]) -> str:
    """The tool's name in the workflow: cwltool numbers the jobs of a scatter (``qc``, ``qc_2``, …)."""
    for name in (job, job.rpartition("_")[0]):
        for tool in images:
            if name and tool.rpartition("/")[2] == name:
                return tool
    return job


def _last_words(run: ToolRun, progress: CwlLog) -> str:
    """The end of the tool's standard error: of its own file, if it has one, else of what all tools wrote."""
    if run.stderr_file is not None:
        try:
            with open(run.stderr_file, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - TAIL_BYTES, 0))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:])
        except OSError:
            return ""
    return "\n".join(progress.tail)


def _plain(error: str) -> str:
    """An error record of cwltool without the introductions that say nothing."""
    return _INTRODUCTION.sub("", error).strip()


def usage_report(
    options: Options,
    progress: CwlLog,
    started: datetime,
    finished: datetime,
    exit_code: int,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """When the run and each of its tools began and ended (ISO 8601, UTC); Calrissian's names where it has them."""
    return {
        "start_time": started.isoformat(),
        "finish_time": finished.isoformat(),
        "elapsed_seconds": round((finished - started).total_seconds(), 3),
        "elapsed_hours": (finished - started).total_seconds() / 3600,
        "cores_allowed": options.max_cores,
        "ram_mb_allowed": options.max_ram_mib,
        "total_tasks": len(progress.runs),
        "exit_code": exit_code,
        "warnings": list(warnings),
        "children": [_tool_usage(run, finished) for run in progress.runs.values()],
    }


def _tool_usage(run: ToolRun, finished: datetime) -> dict[str, Any]:
    end = run.finished or finished
    return {
        "name": run.name,
        "start_time": run.started.isoformat(),
        "finish_time": end.isoformat(),
        "elapsed_seconds": round((end - run.started).total_seconds(), 3),
        "elapsed_hours": (end - run.started).total_seconds() / 3600,
        "status": run.status,
        "cached": run.cached,
        "max_memory_mib": run.max_memory_mib,
        "exit_code": run.exit_code if run.exit_code is not None or run.status != "success" else 0,
    }


def main() -> int:
    """The container's program."""
    return run_program("run_workflow", USAGE, lambda argv: run_workflow(parse(argv)), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
