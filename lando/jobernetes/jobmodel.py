"""The original's ``jobmodel``: a model file as a list of phases (phases contract, 11)."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

from lando.direct.events import Outcome
from lando.jobernetes.lines import problems
from lando.phases.files import Folder
from lando.phases.labels import job_labels
from lando.phases.model import Entry, JobFile, Model
from lando.phases.reading import read

EXPLODED = "exploded"
"""As ``type`` of a job: it comes from a directory."""


class JobModel:
    """The model file at ``path``."""

    def __init__(self, path: str = "jobermodel.yaml") -> None:
        self.path = path

    def get_jobmodel(self) -> list[dict[str, Any]]:
        """The phases in order, each ``phase_name`` and ``jobs``; directories are expanded to one job for each file.

        Each job has the keys of its entry and, as ``kube_job_definition``, its manifest with the three labels. If
        anything is wrong, all of it is logged and the process exits with 1, as that of the original does.
        """
        return [
            {"phase_name": phase.name, "jobs": [_job(job, entry) for entry in phase.entries for job in entry.jobs]}
            for phase in read_or_exit(self.path).phases
        ]


def read_or_exit(path: str) -> Model:
    """The model at ``path``, whose own paths count from the current folder; what is found is logged.

    Raises:
        SystemExit: with 1, if the model can't be run.
    """
    model, findings = read(Folder(Path()), path)
    problems(path, findings)
    if model is None:
        sys.exit(Outcome.REFUSED.value)
    return model


def _job(job: JobFile, entry: Entry) -> dict[str, Any]:
    definition: dict[str, Any] = copy.deepcopy(dict(job.manifest))
    metadata = definition["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **job_labels(job)}
    return {
        "name": entry.name,
        "job_path": job.path,
        **({"type": EXPLODED} if job.exploded else {}),
        "depends_on": list(entry.depends_on),
        **({"retries": entry.retries} if entry.retries else {}),
        **({"deadline": entry.deadline_s} if entry.deadline_s is not None else {}),
        "kube_job_definition": definition,
    }
