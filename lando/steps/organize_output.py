"""The third step: put a report, the scripts and the logs beside the workflow's outputs.

``python -m lando.steps.organize_output COMMAND_FILE``

Everything goes to ``docs/`` below ``destination_dir``; the workflow's outputs stay. One that lies where a file of the
report belongs moves aside (``README.workflow.md``), and a warning says so.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lando import cwl
from lando.errors import InputError
from lando.steps.output_object import OutputFile, output_files
from lando.steps.program import UsageError, log, read_command_file, required, run_program
from lando.steps.report import Report, html, markdown
from lando.steps.unzip import unzip
from lando.units import decimal_size

USAGE = "python -m lando.steps.organize_output COMMAND_FILE"


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command file."""

    job_id: int
    destination: Path
    downloaded_workflow: Path
    """The packed file, or the archive as it was downloaded."""
    workflow_to_read: Path
    packed: bool
    job_order: Path
    runner_stdout: Path
    runner_stderr: Path
    methods: str | None
    """Text of ``docs/methods.md``; None writes none."""
    additional_logs: tuple[Path, ...]
    started: str
    """ISO 8601, or ""."""
    finished: str

    @classmethod
    def read(cls, path: str) -> Command:
        """Raises: InputError: a key is missing or of the wrong type."""
        command = read_command_file(path)
        kind = required(command, "workflow_type", str, path)
        if kind not in ("packed", "zipped"):
            raise InputError(f"{path}: workflow_type {kind!r} is neither packed nor zipped.", field="workflow_type")
        return cls(
            job_id=required(command, "bespin_job_id", int, path),
            destination=Path(required(command, "destination_dir", str, path)),
            downloaded_workflow=Path(required(command, "downloaded_workflow_path", str, path)),
            workflow_to_read=Path(required(command, "workflow_to_read", str, path)),
            packed=kind == "packed",
            job_order=Path(required(command, "job_order_path", str, path)),
            runner_stdout=Path(required(command, "bespin_workflow_stdout_path", str, path)),
            runner_stderr=Path(required(command, "bespin_workflow_stderr_path", str, path)),
            methods=command.get("methods_template") if command.get("write_methods") else None,
            additional_logs=tuple(Path(name) for name in command.get("additional_log_files") or ()),
            started=command.get("bespin_workflow_started") or "",
            finished=command.get("bespin_workflow_finished") or "",
        )


def organize(command: Command) -> dict[str, Any]:
    """Write ``docs/``; the termination message (empty)."""
    files = output_files(_json(command.runner_stdout), command.destination)
    docs = _Docs(command.destination, frozenset(file.path for file in files))
    script = docs.place(f"scripts/{command.downloaded_workflow.name}")
    if command.packed:
        _copy(command.downloaded_workflow, script)
    else:
        unzip(command.downloaded_workflow, script)
    _copy(command.job_order, docs.place(f"scripts/{command.job_order.name}"))
    for log_file in (command.runner_stdout, command.runner_stderr):
        _copy(log_file, docs.place(f"logs/{log_file.name}"))
    for extra in command.additional_logs:
        if extra.is_file():
            _copy(extra, docs.place(f"logs/{extra.name}"))
        else:
            log(f"warning: the log file {extra.name} is not there; it is left out")
    numbers, readme, page = (docs.place(name) for name in ("logs/job-data.json", "README.md", "README.html"))
    methods = docs.place("methods.md") if command.methods else None

    report = _report(command, files, docs.warnings)
    numbers.write_text(json.dumps(report.job_data(), indent=1), encoding="utf-8")
    text = markdown(report)
    readme.write_text(text, encoding="utf-8")
    page.write_text(html(text), encoding="utf-8")
    if methods is not None and command.methods:
        methods.write_text(command.methods, encoding="utf-8")
    count = f"{len(files)} output file{'' if len(files) == 1 else 's'}"
    log(f"Organized {count} ({report.total_size}); the report is in docs/README.md.")
    return {}


@dataclass
class _Docs:
    """Gives the report's files their places among what the workflow left."""

    destination: Path
    outputs: frozenset[str]
    """Paths of the workflow's output files below ``destination``."""
    warnings: list[str] = field(default_factory=list)

    def place(self, name: str) -> Path:
        """``docs/<name>``, free to be written, its folder made; no part of it is a link."""
        below = Path("docs", name)
        place = self.destination / below
        for part in (*reversed(below.parents[:-1]), below):
            path, aside = self.destination / part, self.destination / self._aside(part)
            if part.as_posix() in self.outputs and (path.exists() or aside.exists()):
                if not aside.exists():  # else an earlier attempt moved it, and what is here is ours
                    path.rename(aside)
                warning = (
                    f"The output {part} made room for the report; it is {aside.relative_to(self.destination)} now."
                )
                if warning not in self.warnings:
                    self.warnings.append(warning)
            if path.is_symlink() or path.is_dir() != (path != place):
                _remove(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _aside(self, part: Path) -> Path:
        """The place of an output that makes room: one that no output has of its own."""
        aside = part.with_name(f"{part.stem}.workflow{part.suffix}")
        taken = any(output == aside.as_posix() or output.startswith(f"{aside.as_posix()}/") for output in self.outputs)
        return self._aside(aside) if taken else aside


def _report(command: Command, files: Sequence[OutputFile], own_warnings: Sequence[str]) -> Report:
    usage = _usage(command.additional_logs)
    file, name = cwl.process_reference(str(command.workflow_to_read))
    process = cwl.main_process(cwl.read_document(file), name or "main")
    started = command.started or str(usage.get("start_time") or "")
    finished = command.finished or str(usage.get("finish_time") or "")
    warnings = usage.get("warnings")
    told = [str(warning) for warning in warnings] if isinstance(warnings, list) else []
    return Report(
        job_id=command.job_id,
        documentation=cwl.documentation(process),
        started=_time(started),
        finished=_time(finished),
        files=tuple(files),
        total_size=decimal_size(sum(file.size for file in files)),
        warnings=(*told, *own_warnings),
    )


def _usage(logs: Sequence[Path]) -> dict[str, Any]:
    """The runner's usage report, if it is among the additional logs; it knows the times and the warnings."""
    for path in logs:
        if path.suffix == ".json" and path.is_file():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue
            if isinstance(found, dict) and "start_time" in found:
                return found
    return {}


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        log(f"warning: {text!r} is no time of ISO 8601; it is left out of the report")
        return None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"The workflow's output object {path} is missing.") from error
    except ValueError as error:
        raise InputError(f"The workflow's output object {path.name} is no JSON: {error}.") from error


def _copy(source: Path, place: Path) -> None:
    try:
        shutil.copyfile(source, place)
    except FileNotFoundError as error:
        raise InputError(f"{source} is missing; it belongs to the results.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _work(argv: Sequence[str]) -> dict[str, Any]:
    if len(argv) != 1:
        raise UsageError("one argument is expected.")
    return organize(Command.read(argv[0]))


def main() -> int:
    """The container's program."""
    return run_program("organize_output", USAGE, _work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
