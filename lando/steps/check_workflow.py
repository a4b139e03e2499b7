"""Fetch, unpack and check a workflow that somebody else made; a process of its own, because it may do anything.

The API server starts it and kills it after a while. It reads a request in JSON from standard input and answers one in
JSON on standard output: ``{"problem", "field"}``, or what the workflow is. It limits its own memory and time.
"""

from __future__ import annotations

import json
import math
import os
import posixpath
import resource
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lando import cwl, cwl_validation
from lando.cwl_inputs import main_process
from lando.errors import InputError, StepError
from lando.steps.http_download import Downloader, Limits, Progress
from lando.steps.unzip import unzip

ENDINGS = (".cwl", ".yml", ".yaml", ".json")
USUAL_NAMES = ("workflow.cwl", "main.cwl")
SENTENCE_CHARACTERS = 10_000
ANSWER_BYTES = 4 * 1024 * 1024
"""Of what is told of a workflow: in YAML, a short text can stand for an endless one."""


def check(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the workflow of ``request`` is.

    The request has ``folder`` (empty, to work in), ``file`` (where it lies, or is put when there is a ``url``),
    ``name`` (what it is called), ``type`` (``packed`` or ``zipped``), ``workflow_path`` (None to find it),
    ``with_cwltool``, and for a URL ``max_bytes``, ``timeout_s`` and ``allow_local_addresses``.

    Raises:
        InputError: It can't be run; the field says which part of the request is to blame.
        StepError: It can't be fetched.
    """
    file, content = Path(request["file"]), Path(request["folder"]) / "content"
    if request.get("url"):
        _download(request, file)
    if request["type"] == "zipped":
        unzip(file, content, max_bytes=request["max_bytes"], name=request["name"])
        path = request["workflow_path"] or _entry(content)
    else:
        content.mkdir()
        shutil.copyfile(file, content / request["name"])
        path = request["name"] + (request["workflow_path"] or "")
    return _described(content, path, request)


def written(answer: Mapping[str, Any]) -> bytes:
    """``answer`` in JSON; raises InputError for one that is too large, or that nobody could read again."""
    parts: list[bytes] = []
    left = ANSWER_BYTES
    try:
        for part in json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).iterencode(answer):
            parts.append(part.encode())
            left -= len(parts[-1])
            if left < 0:
                raise InputError("The workflow's inputs and description take more room than they may.")
    except (ValueError, TypeError) as error:
        raise InputError(f"The workflow's inputs or description can't be kept as JSON: {error}.") from error
    return b"".join(parts)


def of_archive(file: Path, folder: Path) -> dict[str, Any]:
    """What the archive ``file`` of somebody who is trusted holds; works in the empty ``folder``. Raises as above."""
    request = {"file": file, "folder": folder, "type": "zipped", "workflow_path": None, "name": file.name}
    return check({**request, "with_cwltool": True, "url": None, "max_bytes": None})


def _described(content: Path, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
    is_zipped = request["type"] == "zipped"
    name, _, process_name = path.partition("#")
    document_path = content / posixpath.normpath(name)
    if not document_path.resolve().is_relative_to(content.resolve()) or not document_path.is_file():
        raise InputError(f"The archive holds no file {name!r}.", field="workflow_path")
    try:
        document = cwl.read_document(document_path)
    except InputError as error:
        raise InputError(str(error).replace(f"{content}/", "")) from error
    if not isinstance(document, Mapping):
        raise InputError(f"{name} is no CWL: it must hold fields such as cwlVersion, class and inputs.")
    process = main_process(document)
    if process_name not in ("", "main"):
        raise InputError(f"Only the process #main can be run, not #{process_name}.", field="workflow_path")
    is_checked = request["with_cwltool"] and _validate(document_path, content)
    return {
        "workflow_path": path if is_zipped else process.path,
        "fields": process.fields,
        "description": process.description,
        "label": process.label,
        "checked": is_checked,
    }


def _validate(path: Path, content: Path) -> bool:
    """Whether cwltool is there to say that the document is right; raises what it has against it."""
    try:
        cwl_validation.resolve(path.as_uri(), path.name, doing="Checking", inside=content)
    except cwl_validation.CwltoolMissing:
        return False
    except InputError as error:
        raise InputError(str(error).replace(f"{content.resolve().as_uri()}/", "").replace(f"{content}/", "")) from error
    return True


def _entry(content: Path) -> str:
    """The path of the one document that no other runs; raises InputError when that is not one."""
    documents = {str(path.relative_to(content)): path for path in sorted(content.rglob("*.cwl")) if path.is_file()}
    used: set[str] = set()
    candidates = []
    for name, path in documents.items():
        try:
            document = cwl.read_document(path)
        except InputError as error:
            raise InputError(str(error).replace(f"{content}/", "")) from error
        used.update(posixpath.normpath(posixpath.join(posixpath.dirname(name), run)) for run in _runs(document))
        if isinstance(document, Mapping) and ("$graph" in document or document.get("class") == "Workflow"):
            candidates.append(name)
    free = [name for name in candidates if name not in used]
    usual = [name for name in free if posixpath.basename(name) in USUAL_NAMES]
    for choice in (free, usual, list(documents)):
        if len(choice) == 1:
            return choice[0]
    found = f"holds {len(free)} workflows ({', '.join(free[:5])})" if free else "holds no workflow (no .cwl file)"
    raise InputError(f"The archive {found}; say by workflow_path which is to be run.", field="workflow_path")


def _runs(document: Any) -> Iterator[str]:
    """The documents that the steps of one run, as they name them."""
    left, seen = [document], set()
    while left:
        value = left.pop()
        if not isinstance(value, Mapping | list) or id(value) in seen:
            continue  # YAML's aliases let one object stand in many places, also in itself
        seen.add(id(value))
        if isinstance(value, Mapping) and isinstance(value.get("run"), str):
            yield unquote(value["run"].partition("#")[0])
        left.extend(value if isinstance(value, list) else value.values())


def _download(request: Mapping[str, Any], file: Path) -> None:
    url = str(request["url"])
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError("The URL of a workflow must begin with https:// or http://.", field="url")
    limits = Limits(
        schemes=frozenset({"http", "https"}),
        allow_local_addresses=request["allow_local_addresses"],
        max_bytes=request["max_bytes"],
        timeout_s=request["timeout_s"],
        attempts=1,
    )
    Downloader(limits, log=lambda _line: None).fetch(url, file, None, Progress())


def main() -> int:
    """The program; its result is the exit code."""
    request = json.load(sys.stdin)
    cpu_s = math.ceil(request["max_time_s"])  # should the server die, nobody else would end this process
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (request["max_memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_bytes"],) * 2)  # of what is logged, too
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        answer = written(check(request))
    except StepError as error:
        answer = _problem(error.cause.sentence, "url")
    except InputError as error:
        answer = _problem(str(error), error.field)
    except (MemoryError, RecursionError):
        answer = _problem("The workflow takes more memory to read than a workflow may.", None)
    with answers:
        answers.write(answer)
    return 0


def _problem(sentence: str, field: str | None) -> bytes:
    readable = sentence[:SENTENCE_CHARACTERS].encode("utf-8", "replace").decode()
    return json.dumps({"problem": readable, "field": field}).encode()


if __name__ == "__main__":
    raise SystemExit(main())
