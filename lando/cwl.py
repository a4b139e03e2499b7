"""What Lando itself needs to know of a CWL document, without a CWL library: its main process, tools and images.

Works on packed documents (one process, or ``$graph``) and on plain ones whose ``run`` files have been read in by
:func:`read_process`. It never validates: that is cwltool's work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lando.errors import InputError

PROCESS_CLASSES = frozenset({"Workflow", "CommandLineTool", "ExpressionTool", "Operation"})
NESTING_LIMIT = 32  # workflows within workflows; more is a loop
STEPS_LIMIT = 100_000  # steps of all workflows within workflows; a few lines can name a billion

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ContainerNeed:
    """One tool that asks for a container image."""

    tool: str
    """Its step's name (``align``, or ``prepare/index`` inside a sub-workflow); the tool's own where there is none."""
    image: str
    required: bool
    """True for a requirement (it can't run without), False for a hint."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One place of a workflow where a command line tool runs."""

    name: str
    process: Document
    image: str | None
    image_required: bool
    scatter: tuple[str, ...]
    """Names of the workflow's inputs over which this place is scattered directly; what is unknown is left out."""


def read_document(path: Path) -> Any:
    """The YAML or JSON of a CWL file.

    Raises:
        InputError: It can't be read, or has a syntax error (whose line is named).
    """
    try:
        text = path.read_text(encoding="utf-8")
        return _parse(text)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is no text in UTF-8.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path.name}, line {error.lineno}: {error.msg}.") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path.name}{line}: {error.problem or 'syntax error'}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is no YAML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{path.name} is nested too deeply to be read.") from error


def _parse(text: str) -> Any:
    """JSON where it looks like it and is (much faster), else YAML, of which JSON is nearly a subset."""
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            try:
                return yaml.safe_load(text)
            except yaml.YAMLError:
                pass
            raise
    return yaml.safe_load(text)


def read_process(path: Path) -> Any:
    """Like :func:`read_document`, with the files that steps name as ``run`` read in their place."""
    return _read_process(path, {})


def _read_process(path: Path, known: dict[Path, Any]) -> Any:
    """``known`` holds what has been read; None for what is being read further up."""
    place = path.resolve()
    if place in known:
        if known[place] is None:
            raise InputError(f"{path.name} runs itself.")
        return known[place]
    known[place] = None
    document = read_document(path)
    if isinstance(document, dict):
        for process in document.get("$graph") or [document]:
            for _, step in _named(process.get("steps") if isinstance(process, dict) else None):
                run = step.get("run")
                if isinstance(run, str) and not run.startswith("#") and "://" not in run:
                    file = path.parent / run.partition("#")[0]
                    if file.is_file():
                        inner = _read_process(file, known)
                        step["run"] = main_process(inner, run.partition("#")[2] or "main")
    known[place] = document
    return document


def main_process(document: Any, name: str = "main") -> Document:
    """The process that a document is about: itself, or the one called ``name`` in its ``$graph``.

    Raises:
        InputError: There is none.
    """
    if isinstance(document, Mapping):
        if document.get("class") in PROCESS_CLASSES:
            return document
        for process in document.get("$graph") or ():
            if isinstance(process, Mapping) and str(process.get("id", "")).lstrip("#") == name:
                return process
        if str(document.get("id", "")).lstrip("#") == name:
            return document
    raise InputError(f"The workflow file has no process called #{name}: pack it, or name its main process so.")


def process_reference(text: str) -> tuple[Path, str]:
    """File and process name of ``flow.cwl#name``; a file whose own name has a ``#`` is taken for what it is."""
    path, mark, name = text.rpartition("#")
    return (Path(path), name) if mark and not Path(text).is_file() else (Path(text), "")


def documentation(process: Document) -> str:
    """``doc`` of a process, else its ``label``, else its ``id``; "" when it has none of them."""
    doc = process.get("doc")
    if isinstance(doc, Sequence) and not isinstance(doc, str):
        doc = "\n".join(str(line) for line in doc)
    return str(doc or process.get("label") or process.get("id") or "").strip()


def tools(document: Any, name: str = "main") -> list[Tool]:
    """Every command line tool that running the document comes to, in the order of the file.

    Raises:
        InputError: It has no such process, or one that runs itself, or too many.
    """
    graph = document.get("$graph") if isinstance(document, Mapping) else None
    processes = {
        str(process.get("id", "")).lstrip("#"): process for process in graph or () if isinstance(process, Mapping)
    }
    return list(_tools(main_process(document, name), "", _Inherited(), (), processes, iter(range(STEPS_LIMIT)), 0))


def check_container_requirements(packed: Any, name: str = "main") -> list[ContainerNeed]:
    """The images that a workflow's tools ask for, requirements first, each tool once.

    Where no container engine is to be had, one with ``required`` is a reason to refuse the workflow
    (:func:`refusal_without_engine`); the others run without their image.
    """
    needs = [
        ContainerNeed(tool=tool.name, image=tool.image, required=tool.image_required)
        for tool in tools(packed, name)
        if tool.image is not None
    ]
    return sorted(needs, key=lambda need: not need.required)


def refusal_without_engine(needs: Sequence[ContainerNeed]) -> str | None:
    """One sentence why a workflow can't run where there is no container engine; None if it can."""
    required = [need for need in needs if need.required]
    if not required:
        return None
    first, more = required[0], len(required) - 1
    others = f" (and {more} more tool{'' if more == 1 else 's'} its own)" if more else ""
    return (
        f"Tool {first.tool} requires the container image {first.image}{others}, and there is no container engine here "
        "(docker, podman, apptainer or udocker)."
    )


def ran_without_image(need: ContainerNeed) -> str:
    """The warning for a tool whose hint could not be followed."""
    return f"{need.tool} ran without its image {need.image}."


def count_tools(document: Any, job_order: Any, name: str = "main") -> int:
    """How many tools will run, as far as it can be told before: scatters over the workflow's own inputs are counted
    by the job order's lists, others as one."""
    order = job_order if isinstance(job_order, Mapping) else {}
    total = 0
    for tool in tools(document, name):
        times = 1
        for name_ in tool.scatter:
            values = order.get(name_)
            times = max(times, len(values)) if isinstance(values, list) else times
        total += times
    return total


@dataclass(frozen=True, kw_only=True)
class _Inherited:
    """DockerRequirements from the surrounding workflow and step."""

    requirement: Document | None = None
    hint: Document | None = None

    def with_(self, holder: Document) -> _Inherited:
        """What holds inside ``holder``: the innermost of each kind."""
        return _Inherited(
            requirement=_docker(holder.get("requirements")) or self.requirement,
            hint=_docker(holder.get("hints")) or self.hint,
        )


def _tools(
    process: Document,
    name: str,
    inherited: _Inherited,
    scatter: tuple[str, ...],
    processes: Mapping[str, Document],
    left: Iterator[int],
    depth: int,
) -> Iterator[Tool]:
    within = inherited.with_(process)
    if process.get("class") == "CommandLineTool":
        docker = within.requirement or within.hint
        yield Tool(
            name=name or _last_part(process.get("id")) or "tool",
            process=process,
            image=_image(docker) if docker is not None else None,
            image_required=within.requirement is not None,
            scatter=scatter,
        )
    if process.get("class") != "Workflow":
        return
    if depth == NESTING_LIMIT:
        raise InputError(f"The workflow runs itself, or workflows {NESTING_LIMIT} deep, at step {name[:80]}….")
    for step_name, step in _named(process.get("steps")):
        if next(left, None) is None:
            raise InputError(f"The workflow comes to more than {STEPS_LIMIT} steps.")
        run = step.get("run")
        inner = processes.get(run.lstrip("#")) if isinstance(run, str) else run
        if isinstance(inner, Mapping):
            path = f"{name}/{step_name}" if name else step_name
            over = scatter + (_scattered_inputs(step, process) if depth == 0 else ())
            yield from _tools(inner, path, within.with_(step), over, processes, left, depth + 1)


def _scattered_inputs(step: Document, workflow: Document) -> tuple[str, ...]:
    """The workflow's inputs that a step is scattered over."""
    scatter = step.get("scatter")
    wanted = {_last_part(item) for item in ([scatter] if isinstance(scatter, str) else scatter or ())}
    inputs = {name for name, _ in _named(workflow.get("inputs"))}
    found = []
    for name, step_input in _named(step.get("in"), text_key="source"):
        source = step_input.get("source")
        if name in wanted and isinstance(source, str) and _last_part(source) in inputs:
            found.append(_last_part(source))
    return tuple(found)


def _docker(requirements: Any) -> Document | None:
    """The DockerRequirement of a list (``class``) or map (by class) of requirements or hints."""
    if isinstance(requirements, Mapping):
        found = requirements.get("DockerRequirement")
        return found if isinstance(found, Mapping) else None
    for requirement in requirements or ():
        if isinstance(requirement, Mapping) and requirement.get("class") == "DockerRequirement":
            return requirement
    return None


def _image(docker: Document) -> str:
    for key in ("dockerPull", "dockerImageId", "dockerImport", "dockerLoad"):
        if docker.get(key):
            return str(docker[key])
    return "built from its own Dockerfile" if docker.get("dockerFile") else "(unnamed)"


def _named(items: Any, text_key: str = "type") -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and value of each entry of a CWL list (with ``id``) or map; a bare text stands for ``text_key``."""
    if isinstance(items, Mapping):
        for key, value in items.items():
            yield str(key), value if isinstance(value, dict) else {text_key: value}
    elif isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                yield _last_part(item.get("id")), item


def _last_part(identifier: Any) -> str:
    return str(identifier or "").rpartition("#")[2].rpartition("/")[2]
