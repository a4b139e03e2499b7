"""Having a workflow fetched and checked, in a process of its own with a limit of time and memory.

Nothing of a workflow that a stranger wrote is read in the server itself: :mod:`lando.steps.check_workflow` reads it, is
told nothing of the server's secrets, and is killed when it takes too long.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from lando.api.answers import Refusal, detail, invalid
from lando.api.bodies import storable
from lando.api.settings import Settings

logger = logging.getLogger(__name__)

AT_A_TIME = 2
"""Checks of one server that run side by side."""
WAIT_S = 5.0
"""How long others wait for their turn, each of them with a thread of the server's."""
MAX_BYTES = 256 * 1024 * 1024
"""Of a workflow's file, and of all that an archive holds."""
MAX_MEMORY_BYTES = 384 * 1024 * 1024
"""Data of one check: most take 40 MiB, and all at once have to fit beside the server in its container."""
SILENCE_S = 10.0
"""How long a server may say nothing before a download is given up."""
_PASSED_ON = re.compile(r"PATH|PYTHONPATH|LANG|LC_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|(?i:(https?|no|all)_proxy)")
"""Variables of the environment that a check gets; the server's settings are none of its business."""
_places = threading.BoundedSemaphore(AT_A_TIME)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a workflow is."""

    workflow_path: str
    fields: list[dict[str, Any]]
    description: str
    label: str
    """May be empty."""
    with_cwltool: bool
    """Whether cwltool had nothing against it; else it was not there to be asked, or should not be."""

    def keepable(self, field: str) -> Self:
        """Itself; raises the 400, naming ``field``, for what could be stored but never be shown again."""
        try:
            storable([self.workflow_path, self.fields, self.description, self.label])
        except ValueError as error:
            raise invalid(field, f"The workflow's inputs or description can't be kept: {error}") from error
        return self


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a workflow's file is, and what it is said to be."""

    field: str
    """Of the request, which is to blame for what is wrong with the file."""
    name: str
    """What the file is called in sentences."""
    type: Literal["packed", "zipped"] = "packed"
    workflow_path: str | None = None
    """None: to be found."""
    file: Path | None = None
    url: str | None = None
    """Instead of a file: to be fetched from."""
    data: bytes | None = None
    """Instead of a file: what would be in it."""


@contextmanager
def checked(settings: Settings, source: Source) -> Iterator[tuple[Checked, Path]]:
    """What the workflow of ``source`` is, and its file, which stays until the end of the block.

    Raises the 400 that says what is wrong with it, and 503 when too many are being checked.
    """
    folder = Path(tempfile.mkdtemp(prefix="lando-workflow-"))
    try:
        file = source.file or folder / "file"
        if source.data is not None:
            file.write_bytes(source.data)
        request = {
            "folder": str(folder / "work"),
            "file": str(file),
            "name": source.name,
            "type": source.type,
            "workflow_path": source.workflow_path,
            "with_cwltool": settings.check_workflows,
            "url": source.url,
            "max_bytes": MAX_BYTES,
            "max_memory_bytes": MAX_MEMORY_BYTES,
            "max_time_s": settings.check_timeout_s,
            "timeout_s": min(settings.check_timeout_s, SILENCE_S),
            "allow_local_addresses": settings.allow_local_addresses,
        }
        (folder / "work").mkdir()
        yield _answer(source, _run(request, folder, settings.check_timeout_s, source.field)), file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_name(url: str) -> str:
    """The last part of a URL's path."""
    return unquote(urlsplit(url).path).rpartition("/")[2] or "workflow"


def _run(request: dict[str, Any], folder: Path, timeout_s: float, field: str) -> dict[str, Any]:
    if not _places.acquire(timeout=WAIT_S):
        raise detail(503, "Too many workflows are being checked; try again.", {"Retry-After": "10"})
    try:
        with open(folder / "stderr", "w+b") as stderr:
            found = subprocess.run(
                [sys.executable, "-P", "-m", "lando.steps.check_workflow"],  # -P: nothing unpacked is ever imported
                input=json.dumps(request).encode(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                env=_environment(folder),
                timeout=timeout_s,
                start_new_session=True,
            )
            if found.returncode == 0:
                answer: dict[str, Any] = json.loads(found.stdout)
                return answer
            if found.returncode == -signal.SIGXCPU:
                raise _too_slow(timeout_s, field)
            stderr.seek(max(0, stderr.tell() - 2000))
            logger.error(
                "checking a workflow ended with %s: %s", found.returncode, stderr.read().decode(errors="replace")
            )
    except subprocess.TimeoutExpired as error:
        raise _too_slow(timeout_s, field) from error
    finally:
        _places.release()
    raise invalid(field, "It broke the program that checks workflows; the server's log says how.")


def _too_slow(timeout_s: float, field: str) -> Refusal:
    return invalid(field, f"It could not be checked within {timeout_s:g} s; try again, or ask the site's staff.")


def _answer(source: Source, found: dict[str, Any]) -> Checked:
    if problem := found.get("problem"):
        is_path = found["field"] == "workflow_path"
        raise invalid("workflow_path" if is_path else source.field, str(problem))
    return Checked(
        workflow_path=found["workflow_path"],
        fields=found["fields"],
        description=found["description"],
        label=found["label"],
        with_cwltool=found["checked"],
    ).keepable(source.field)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder)}
