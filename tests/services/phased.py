"""Models of phases made up at random, and what must hold of every run of one: who may begin when, and nobody twice.

The judging here goes by the phases contract alone and shares no code with the engine.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lando.k8s.cluster import Cluster
from lando.phases.files import Bundle
from lando.phases.model import Model
from lando.phases.reading import read
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

MODEL_FILE = "jobermodel.yaml"
Manifest = dict[str, Any]


def read_files(files: Mapping[str, str]) -> Model:
    """The model of ``files``, which must be without a fault."""
    model, findings = read(Bundle(files), MODEL_FILE)
    assert model is not None, "; ".join(str(finding) for finding in findings)
    return model


def random_files(
    chance: random.Random,
    jobs: int,
    *,
    phases: int = 3,
    namespace: str = "default",
    spec: Mapping[str, Any] | None = None,
    **config: Any,
) -> dict[str, str]:
    """Files of a model of ``jobs`` Jobs: some entries are directories, most depend on others before or after them.

    ``spec`` is what their Jobs have besides; ``config`` goes into the model's settings.
    """
    files: dict[str, str] = {}
    counts = _cut(chance, jobs, phases)
    document: list[Manifest] = []
    made = 0
    for phase, count in enumerate(counts):
        entries: list[Manifest] = []
        while count:
            size = min(count, chance.choice([1, 1, 1, 2, 3]))
            name = f"p{phase}-{len(entries)}"
            entry: Manifest = {"name": name, "job_path": f"{name}.yaml"}
            if size > 1:
                entry = {"name": name, "type": "directory", "job_path": name}
            for at in range(size):
                path = entry["job_path"] if size == 1 else f"{name}/{at}.json"
                manifest = {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    **job(f"job-{made}", "true", notes(), **(spec or {})),
                }
                files[path] = json.dumps(manifest)
                made += 1
            before = [one["name"] for one in entries]
            if wanted := chance.sample(before, min(len(before), chance.choice([0, 1, 1, 2, 3]))):
                entry["depends_on"] = wanted
            entries.append(entry)
            count -= size
        chance.shuffle(entries)
        document.append({"phase_name": f"phase-{phase}", "jobs": entries})
    settings = {"kubernetes_namespace": namespace, **config}
    files[MODEL_FILE] = json.dumps({"jobernetes_config": settings, "jobernetes": document})
    return files


def _cut(chance: random.Random, whole: int, parts: int) -> list[int]:
    """``whole`` in ``parts`` pieces of at least one."""
    cuts = sorted(chance.sample(range(1, whole), parts - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, whole], strict=True)]


def needs(model: Model) -> dict[str, set[str]]:
    """What must be complete before each Job may be made: all of earlier phases, and what its entry depends on."""
    earlier: set[str] = set()
    found: dict[str, set[str]] = {}
    for phase in model.phases:
        of_entry = {entry.name: {one.name for one in entry.jobs} for entry in phase.entries}
        for entry in phase.entries:
            wanted = earlier.union(*(of_entry[name] for name in entry.depends_on))
            found |= {one.name: wanted for one in entry.jobs}
        earlier = earlier.union(*of_entry.values())
    return found


@dataclass(frozen=True)
class Moment:
    """One thing that happened to a Job, in the order of the cluster's own versions."""

    what: str
    """``made``, ``complete``, ``failed`` or ``gone``."""
    job: str
    uid: str


@dataclass
class History:
    """What happens to the Jobs of a model from now on, as the cluster tells it."""

    cluster: Cluster
    moments: list[Moment] = field(default_factory=list)
    failure: str = ""
    _known: set[Moment] = field(default_factory=set)
    _closing: bool = False

    def __enter__(self) -> History:
        page = self.cluster.list_page("Job", "jobernetes_job_name")
        self._watch = self.cluster.watch("Job", "jobernetes_job_name", page.resource_version, timeout_s=3600)
        self._thread = threading.Thread(target=self._follow, name="history", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._watch.close()
        self._thread.join(10)

    def _follow(self) -> None:
        try:
            for event in self._watch:
                for moment in _moments(event):
                    if moment not in self._known:
                        self._known.add(moment)
                        self.moments.append(moment)
        except Exception as error:  # noqa: BLE001 - of a thread; the test tells it
            self.failure = "" if self._closing else repr(error)

    def of(self, what: str) -> list[str]:
        """The names of the Jobs that this happened to, in order."""
        return [moment.job for moment in list(self.moments) if moment.what == what]

    def wait_for_all(self, model: Model, timeout_s: float = 60.0) -> None:
        """Until every Job of ``model`` was seen complete."""
        names = {one.name for one in model.jobs()}
        wait_until(lambda: bool(self.failure) or names <= set(self.of("complete")), timeout_s, what="all Jobs' end")
        assert not self.failure


def _moments(event: Manifest) -> Iterator[Moment]:
    manifest = event["object"]
    metadata = manifest.get("metadata") or {}
    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
        return
    name, uid = metadata["name"], metadata["uid"]
    yield Moment("made", name, uid)
    for condition in (manifest.get("status") or {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            yield Moment(condition["type"].lower(), name, uid)
    if event["type"] == "DELETED":
        yield Moment("gone", name, uid)


def faults(model: Model, moments: list[Moment]) -> list[str]:
    """What was wrong with a run that went well: a Job too early, too many at once, twice or never."""
    wanted, limit = needs(model), model.settings.parallelization
    complete: set[str] = set()
    at_work: set[str] = set()
    made: set[str] = set()
    found: list[str] = []
    for moment in moments:
        if moment.what == "made":
            if moment.job in made:
                found.append(f"{moment.job} was made twice")
            if missing := sorted(wanted[moment.job] - complete):
                found.append(f"{moment.job} was made before {', '.join(missing)} had ended")
            made.add(moment.job)
            at_work.add(moment.job)
            if limit and len(at_work) > limit:
                found.append(f"{len(at_work)} Jobs were at work at once, {moment.job} the last; the limit is {limit}")
        elif moment.what == "complete":
            complete.add(moment.job)
            at_work.discard(moment.job)
        else:
            found.append(f"{moment.job} was {moment.what}")
    found += [f"{name} was never complete" for name in wanted if name not in complete]
    return found
