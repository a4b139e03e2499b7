"""The plan of a phased run: a step for each Job of its model, in the order that phases and dependencies demand."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lando import labels
from lando.config import Config
from lando.decide import ObjectRef, Plan, PlannedStep
from lando.phases.labels import DIGEST, job_labels
from lando.phases.model import Entry, JobFile, Model
from lando.phases.restrictions import restrict
from lando.plans import Making, Manifest, manifests
from lando.plans.phased_names import JOB_LIMIT, Names, own_name, with_names
from lando.runs import Category, Cause, Run

KIND = "phases"
RESOURCES = "run_resources"
"""The step that makes what the model names as resources; no Job can be called so."""

_LEASE = ObjectRef("Lease", "jobernetes")


def plan_of(model: Model, record: ObjectRef = _LEASE) -> Plan:
    """The plan of ``model`` under the names of its files; ``record`` is the object that holds the run's record.

    Its steps are in the order of the file. Steps of one phase share what they need, so that 500 of them stay cheap.
    """
    resources = _refs(resource.manifest for resource in model.resources)
    first = [PlannedStep(name=RESOURCES, makes=resources)] if resources else []
    steps = list(first)
    always = barrier = tuple(step.name for step in first)
    for phase in model.phases:
        jobs_of = {entry.name: tuple(job.name for job in entry.jobs) for entry in phase.entries}
        for entry in phase.entries:
            needs = barrier
            if entry.depends_on:
                needs = (*always, *(job for name in dict.fromkeys(entry.depends_on) for job in jobs_of[name]))
            steps += [
                PlannedStep(
                    name=job.name,
                    needs=needs,
                    job=ObjectRef("Job", job.name),
                    reads=resources,
                    retries=entry.retries,
                )
                for job in entry.jobs
            ]
        barrier = (*always, *(job for jobs in jobs_of.values() for job in jobs))
    return Plan(
        steps=tuple(steps),
        record=record,
        parallel=model.settings.parallelization,
        on_failure=model.settings.on_failure,
        infrastructure_retries=0,  # a Job that failed has failed; how often it is made again is the model's to say
        keep_complete=True,
        keep_finished=True,
    )


def job_manifest(job: JobFile, entry: Entry, attempt: int) -> Manifest:
    """The Job of one attempt: its file's, with the three labels, our annotations and the entry's deadline."""
    manifest: Manifest = copy.deepcopy(dict(job.manifest))
    metadata = manifest["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **job_labels(job)}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        DIGEST: job.digest,
        labels.ATTEMPT: str(attempt),
    }
    if entry.deadline_s is not None:
        spec = manifest["spec"]
        own = spec.get("activeDeadlineSeconds")
        spec["activeDeadlineSeconds"] = entry.deadline_s if own is None else min(own, entry.deadline_s)
    return manifest


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a phased run of the service was handed in as: the ``document`` of its :class:`lando.runs.Run`."""

    model: Model
    restricted: bool
    """Whether its pods are held to what can't reach beyond them."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """The ``document`` of a run that was handed in to a server with other rules; it can only be canceled or fail."""

    reason: str
    """The first thing that is wrong with its model, a sentence."""


class PhasesPlanner:
    """Plans phased runs of the service."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def labels(self, run_id: int) -> Mapping[str, str]:
        """The two labels of every object of a run."""
        return {labels.RUN_ID: str(run_id), labels.RUN_KIND: KIND}

    def inputs(self, step: str) -> str | None:
        """Nothing: a model holds all that its Jobs are made of."""
        return None

    def plan(self, run: Run) -> Plan:
        """That of the model, with names of this run's own and the settings of this daemon."""
        if isinstance(run.document, Unreadable):
            return _without_a_model(run, run.document)
        model = _document(run).model
        plan = plan_of(model, manifests.run_record_ref(run.id))
        resources = tuple(ObjectRef(kind, name) for (kind, _), name in _names(model, run.id).items())

        def own(step: PlannedStep) -> PlannedStep:
            return replace(
                step,
                job=step.job and ObjectRef("Job", job_name(step.job.name, run.id)),
                makes=step.makes and resources,
                reads=step.reads and resources,
            )

        return replace(
            plan,
            steps=tuple(own(step) for step in plan.steps),
            infrastructure_retries=self._config.infrastructure_retries,
            keep_finished=self._config.retention.finished_s > 0 and not model.settings.cleanup,
        )

    def objects(self, run: Run, step: str, making: Making) -> list[Manifest]:
        """The resources, or the Job of a step with the run's labels on it and on its pods."""
        submitted = _document(run)
        names = _names(submitted.model, run.id)
        if step == RESOURCES:
            made = []
            for one in submitted.model.resources:
                manifest = self._own(copy.deepcopy(dict(one.manifest)), run, step, making)
                manifest["metadata"]["name"] = names[one.manifest["kind"], one.manifest["metadata"]["name"]]
                made.append(manifest)
            return made
        job, entry = _find(submitted.model, step)
        manifest = self._own(job_manifest(job, entry, making.attempt), run, step, making)
        manifest["metadata"]["name"] = job_name(job.name, run.id)
        # What ended is removed by the run's end or by retention; nothing else may take away how it ended.
        manifest["spec"].pop("ttlSecondsAfterFinished", None)
        template = manifest["spec"]["template"]
        metadata = template["metadata"] = dict(template.get("metadata") or {})
        metadata["labels"] = {**(metadata.get("labels") or {}), **self._labels(run, step)}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), labels.ATTEMPT: str(making.attempt)}
        metadata.pop("namespace", None)
        template["spec"] = with_names(template["spec"], names)
        if submitted.restricted:
            template["spec"] = restrict(template["spec"])
        return [manifest]

    def _labels(self, run: Run, step: str) -> dict[str, str]:
        return {**self.labels(run.id), labels.RUN_STEP: step}

    def _own(self, manifest: Manifest, run: Run, step: str, making: Making) -> Manifest:
        """``manifest`` as an object of the run, in the namespace of this daemon."""
        metadata = manifest["metadata"]
        metadata.pop("namespace", None)
        metadata["labels"] = {**(metadata.get("labels") or {}), **self._labels(run, step)}
        metadata["ownerReferences"] = manifests.owner(run.id, making.record_uid)
        return manifest


def _without_a_model(run: Run, document: Unreadable) -> Plan:
    """The steps of a run as far as they can be told without its model, and why nothing more is begun."""
    problem = Cause(
        category=Category.USER,
        sentence=f"This lando can't read the run's model: {document.reason}",
        advice="Hand it in anew, mended; if server and lando are of different versions, ask the administrator.",
    )
    return Plan(
        steps=tuple(PlannedStep(name=name, job=ObjectRef("Job", job_name(name, run.id))) for name in run.steps),
        record=manifests.run_record_ref(run.id),
        problem=problem,
        infrastructure_retries=0,
        keep_complete=True,
        keep_finished=True,
    )


def job_name(name: str, run_id: int) -> str:
    """Of the Job of a run's step."""
    return own_name(name, run_id, JOB_LIMIT)


def _names(model: Model, run_id: int) -> Names:
    """What a run's resources are called in the cluster."""
    refs = _refs(resource.manifest for resource in model.resources)
    return {(ref.kind, ref.name): own_name(ref.name, run_id) for ref in refs}


def _refs(objects: Iterable[Mapping[str, Any]]) -> tuple[ObjectRef, ...]:
    return tuple(dict.fromkeys(ObjectRef(str(one["kind"]), str(one["metadata"]["name"])) for one in objects))


def _find(model: Model, step: str) -> tuple[JobFile, Entry]:
    for phase in model.phases:
        for entry in phase.entries:
            for job in entry.jobs:
                if job.name == step:
                    return job, entry
    raise KeyError(step)


def _document(run: Run) -> Submission:
    if not isinstance(run.document, Submission):
        raise TypeError(f"run {run.id} is no phased run")
    return run.document
