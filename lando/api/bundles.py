"""Phased runs as they are handed in: a model and its files in one body, checked before anything is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import islice

from lando.api.answers import Refusal, detail
from lando.api.shapes import runs as shapes
from lando.phases.files import Bundle
from lando.phases.model import Finding, Model, Settings
from lando.phases.reading import read
from lando.phases.report import MAX_ERRORS
from lando.phases.restrictions import beyond_restricted

MAX_BYTES = 4 * 2**20
"""Of all files of a bundle together, their paths included, in UTF-8."""
MAX_FILES = 2000
MAX_JOBS = 1000
MAX_WARNINGS = 100
WAIT_S = 5.0
"""How long somebody waits for a turn, with a thread of the server's."""
_places = threading.BoundedSemaphore(2)
"""Models that are read at a time: a large one takes seconds of the processor."""


def checked(model: str, files: Mapping[str, str], *, restricted: bool) -> tuple[Model, list[str]]:
    """What a bundle says, and what its owner should know about it, in sentences.

    ``restricted`` allows only pods that can't reach beyond themselves. Raises the 400 that names all that is wrong.
    """
    size = sum(len(path.encode()) + len(text.encode()) for path, text in files.items())
    if size > MAX_BYTES:
        raise detail(400, f"The bundle has {size:,} bytes; it may have {MAX_BYTES:,}. Leave out what no entry names.")
    if len(files) > MAX_FILES:
        raise detail(400, f"The bundle has {len(files):,} files; it may have {MAX_FILES:,}.")
    if not _places.acquire(timeout=WAIT_S):
        raise detail(503, "Too many models are being checked; try again.", {"Retry-After": "10"})
    try:
        found, findings = read(Bundle(files), model)
    finally:
        _places.release()
    if found is not None:
        findings = [*findings, *_beyond_the_service(found), *(_beyond_restricted(found) if restricted else ())]
    if found is None or any(finding.is_error for finding in findings):
        raise _refusal(findings)
    return found, [str(finding) for finding in findings[:MAX_WARNINGS]]


def _beyond_the_service(model: Model) -> Sequence[Finding]:
    """What a model may ask for, but not of a service."""
    findings: list[Finding] = []
    number = sum(1 for _ in model.jobs())
    if number > MAX_JOBS:
        text = f"it has {number:,} Jobs; a run may have {MAX_JOBS:,}. Hand it in as several runs."
        findings.append(Finding(file=model.path, reason=text))
    for key, is_given in (
        ("kubernetes_namespace", model.settings.kubernetes_namespace != Settings().kubernetes_namespace),
        ("incluster", model.settings.incluster is not None),
    ):
        if is_given:
            text = f"{key} is left aside: the Jobs run where the server's lando runs them."
            findings.append(Finding(file=model.path, reason=text, is_error=False))
    for resource in model.resources:
        if resource.manifest.get("kind") == "Secret":
            text = (
                f"the Secret {resource.manifest['metadata']['name']} would lie in the database in clear; "
                "make it in the namespace, and let the Jobs name it there."
            )
            findings.append(Finding(file=resource.path, reason=text))
    return findings


def _beyond_restricted(model: Model) -> Sequence[Finding]:
    found = list(islice(beyond_restricted(model), MAX_ERRORS + 1))
    if len(found) > MAX_ERRORS:
        found[-1] = Finding(file=model.path, reason="more is wrong with its pods than is told; mend this first.")
    return found


def _refusal(findings: Sequence[Finding]) -> Refusal:
    errors = sum(finding.is_error for finding in findings)
    what = "1 thing is" if errors == 1 else f"{errors} things are"
    body: shapes.BundleRefused = {
        "detail": f"The model can't be run: {what} wrong with it.",
        "findings": [_shown(finding) for finding in findings],
    }
    return Refusal(400, body)


def _shown(finding: Finding) -> shapes.ModelFinding:
    return {
        "reason": finding.reason,
        "is_error": finding.is_error,
        "file": finding.file,
        "line": finding.line,
        "phase": finding.phase,
        "entry": finding.entry,
    }
