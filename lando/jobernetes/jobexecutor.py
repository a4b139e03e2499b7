"""The original's ``jobexecutor``: runs what :meth:`JobModel.get_jobmodel` gives (phases contract, 11)."""

from __future__ import annotations

import copy
import itertools
import json
import posixpath
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lando.direct.events import Outcome
from lando.jobernetes.jobmodel import EXPLODED
from lando.jobernetes.lines import Lines, problems
from lando.jobernetes.running import execute
from lando.phases import labels
from lando.phases.files import SUFFIXES, Bundle
from lando.phases.reading import read

_MODEL = "jobmodel.json"
_LABELS = (labels.ENTRY, labels.PHASE, labels.EXPLODED)


class JobExecutor:
    """Runs a list of phases with the given settings, whose defaults are not all those of the model file."""

    def __init__(
        self,
        jobmodel: Sequence[Mapping[str, Any]],
        namespace: str = "default",
        ssl_insecure_warnings: bool = True,
        cleanup: bool = True,
        refresh_time: float = 5,
        incluster: bool = True,
        parallelization: int = 0,
    ) -> None:
        self.jobmodel = jobmodel
        self.settings = {
            "kubernetes_namespace": namespace,
            "ssl_insecure_warnings": ssl_insecure_warnings,
            "cleanup": cleanup,
            "refresh_time": refresh_time,
            "incluster": incluster,
            "parallelization": parallelization,
        }

    def start(self) -> NoReturn:
        """Run all phases and exit the process with the command's exit code; what is wrong is logged before."""
        model, findings = read(self._bundle(), _MODEL)
        problems(_MODEL, findings)
        sys.exit(Outcome.REFUSED.value if model is None else execute(model, Lines()))

    def _bundle(self) -> Bundle:
        """The phases as the files that they could have been read from, so that they are checked alike."""
        texts: dict[str, str] = {}
        phases = []
        for number, phase in enumerate(self.jobmodel):
            entries: list[dict[str, Any]] = []
            for jobs in _by_entry(phase["jobs"]):
                folder = f"phase-{number}/entry-{len(entries)}"
                paths = [_file(folder, job) for job in jobs]
                texts.update({path: json.dumps(_as_written(job)) for path, job in zip(paths, jobs, strict=True)})
                entry = {key: value for key, value in jobs[0].items() if key != "kube_job_definition"}
                if entry.get("type") == EXPLODED:
                    entries.append({**entry, "type": "directory", "job_path": folder})
                else:
                    entries.append({**entry, "job_path": paths[0]})
            phases.append({"phase_name": phase["phase_name"], "jobs": entries})
        return Bundle({_MODEL: json.dumps({"jobernetes_config": self.settings, "jobernetes": phases}), **texts})


def _by_entry(jobs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The jobs of a directory together, all others alone."""
    numbered = itertools.groupby(
        enumerate(jobs), lambda one: one[1]["name"] if one[1].get("type") == EXPLODED else one[0]
    )
    return [[job for _, job in group] for _, group in numbered]


def _file(folder: str, job: Mapping[str, Any]) -> str:
    """Where its manifest lies in the bundle; the end is as it was."""
    path = posixpath.normpath(posixpath.join("/", str(job["job_path"])))
    return folder + (path if path.endswith(SUFFIXES) else f"{path}.json")


def _as_written(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its manifest without the three labels, so that it counts as unchanged when the command runs it."""
    definition: dict[str, Any] = copy.deepcopy(dict(job["kube_job_definition"]))
    own = {key: value for key, value in definition["metadata"].pop("labels", {}).items() if key not in _LABELS}
    if own:
        definition["metadata"]["labels"] = own
    return definition
