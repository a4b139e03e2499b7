"""Looks, before anything is created, for what the cluster will say to a model: rights, names, dry runs, quotas.

Everything is asked side by side and told at once, in the order of the model. What may not be read is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from lando.direct import lease_record as records
from lando.direct import pod_room, resources
from lando.direct.rights import Right, wanted
from lando.errors import Conflict, NotFound, PeerError, QuotaExceeded, Rejected, Unavailable
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.permissions import Permission, permissions
from lando.k8s.side_by_side import together
from lando.phases.labels import DIGEST, ENTRY, is_of
from lando.phases.model import Entry, Finding, JobFile, Model, Resource
from lando.plans.phases import job_manifest

_CREATE, _LIST, _GET = (next(iter(permissions("batch", "jobs", verb))) for verb in ("create", "list", "get"))

_NO_DRY_RUNS = "does not support dry run"
"""How the API server words that an admission webhook may have side effects, so that it was not asked."""

T = TypeVar("T")


def check(model: Model, cluster: Cluster, *, changed: bool = False) -> list[Finding]:
    """What is in the way, and what a run would have to do without.

    With ``changed`` also for the Jobs that are made again because their files say something else. Raises Unavailable
    when the cluster does not answer.
    """
    return _Check(model, cluster, changed).findings()


class _Check:
    def __init__(self, model: Model, cluster: Cluster, changed: bool) -> None:
        self._model = model
        self._cluster = cluster
        self._changed = changed
        self._jobs = [(job, entry) for phase in model.phases for entry in phase.entries for job in entry.jobs]
        self._phases = {phase.index: phase.name for phase in model.phases}

    def findings(self) -> list[Finding]:
        rights = wanted(self._model)
        allowed = together([partial(self._cluster.may, right.permission) for right in rights])
        missing = [right for right, may in zip(rights, allowed, strict=True) if not may]
        unfit = list(self._missing(missing))
        refused = {right.permission for right in missing if not right.lost}

        ranges, limits, present_jobs = together(
            [
                partial(self._readable, "LimitRange"),
                partial(self._readable, "ResourceQuota"),
                partial(self._present, refused),
            ]
        )
        there = {str(item["metadata"]["name"]): item for item in present_jobs}
        fatal, of_resources = self._of_resources(refused)
        if fatal is None:
            fatal, of_jobs = self._of_jobs(there, refused, ranges, limits)
        if fatal is not None:
            return [*unfit, self._about(fatal)]
        found = [*unfit, *of_resources, *of_jobs]
        present = sum(job.name in there for job, _ in self._jobs)
        staying = sum(job.manifest["spec"].get("ttlSecondsAfterFinished") is None for job, _ in self._jobs)
        for words, for_good in pod_room.room_for_jobs(staying, present, limits):
            found.append(self._about(f"{words}.", is_error=for_good))
        return found

    def _missing(self, missing: Sequence[Right]) -> Iterator[Finding]:
        """One finding for each resource; of what is needed first."""
        by_kind: dict[tuple[str, str], list[Right]] = {}
        for right in missing:
            by_kind.setdefault((right.permission.group, right.permission.resource), []).append(right)
        for (group, resource), rights in by_kind.items():
            # The first says what is lost: who may not list has no use for watching either, and a run for neither.
            verbs, lost, why = [right.permission.verb for right in rights], rights[0].lost, rights[0].why
            rule = f'apiGroups: ["{group}"], resources: ["{resource}"], verbs: [{", ".join(verbs)}]'
            listed = " or ".join(part for part in (", ".join(verbs[:-1]), verbs[-1]) if part)
            may_not = f"this account may not {listed} {resource} in namespace {self._cluster.namespace}"
            because = f" ({why})" if why else ""
            if lost:
                yield self._about(f"{may_not}: {lost}; a Role would say {rule}.", is_error=False)
            else:
                yield self._about(f"{may_not}{because}: give it a Role with {rule}, as in examples/phases/rbac.yaml.")

    # -- resources -------------------------------------------------------------------------------------------------

    def _of_resources(self, refused: set[Permission]) -> tuple[str | None, list[Finding]]:
        """What is wrong with everything, and what with each."""
        if any(one.group != "batch" for one in refused):
            return None, []
        calls = [partial(self._of_resource, resource) for resource in self._model.resources]
        found: list[Finding] = []
        for outcome in _first_alone(calls):
            if isinstance(outcome, str):
                return outcome, []
            found += outcome
        return None, found

    def _of_resource(self, resource: Resource) -> list[Finding] | str:
        kind, name = resources.key_of(resource)
        lease = records.lease_name(job.name for job, _ in self._jobs)
        try:
            self._cluster.create(dict(resource.manifest), dry_run=True)
            return []
        except Conflict:
            pass
        except (Rejected, QuotaExceeded, Unavailable) as error:
            if fatal := self._fatal(error):
                return fatal
            reason, is_error = _refusal(f"the {kind}", error, resource.manifest)
            return [Finding(reason=reason, file=resource.path, is_error=is_error)]
        try:
            there = self._cluster.get(kind, name)
            jobs = records.digests(job.name for job, _ in self._jobs)
            fault = resources.obstacle(resource, there, lease, jobs, self._cluster)
        except NotFound:
            return []
        if fault is None or "deletionTimestamp" in there["metadata"]:
            return []
        return [Finding(reason=f"{kind} {name} {fault}.", file=resource.path)]

    # -- Jobs ------------------------------------------------------------------------------------------------------

    def _present(self, refused: set[Permission]) -> list[Manifest]:
        """The Jobs that are there of this or another model."""
        return [] if _LIST in refused else self._cluster.list("Job", ENTRY)

    def _of_jobs(
        self,
        there: dict[str, Manifest],
        refused: set[Permission],
        ranges: Sequence[Manifest],
        limits: Sequence[Manifest],
    ) -> tuple[str | None, list[Finding]]:
        accounts = self._accounts()
        found: dict[str, list[Finding]] = {job.name: [] for job, _ in self._jobs}
        to_make: list[tuple[JobFile, Entry]] = []
        for job, entry in self._jobs:
            present = there.get(job.name)
            if present is not None and not is_of(present["metadata"].get("labels") or {}, job):
                found[job.name].append(self._foreign(job, present))
            elif present is None or self._is_made_again(job, present):
                to_make.append((job, entry))
                if (account := _account(job)) in accounts:
                    found[job.name].append(self._of(job, f"there is no ServiceAccount {account} for its pods."))
        if _CREATE not in refused:
            calls = [partial(self._of_job, job, entry, refused, ranges, limits) for job, entry in to_make]
            for (job, _), outcome in zip(to_make, _first_alone(calls), strict=False):
                if isinstance(outcome, str):
                    return outcome, []
                found[job.name] += outcome
        return None, [finding for of_one in found.values() for finding in of_one]

    def _is_made_again(self, job: JobFile, present: Manifest) -> bool:
        conditions = (present.get("status") or {}).get("conditions") or []
        if any(one.get("type") == "Failed" and one.get("status") == "True" for one in conditions):
            return True
        digest = (present["metadata"].get("annotations") or {}).get(DIGEST)
        return self._changed and digest not in (None, job.digest)

    def _of_job(
        self,
        job: JobFile,
        entry: Entry,
        refused: set[Permission],
        ranges: Sequence[Manifest],
        limits: Sequence[Manifest],
    ) -> list[Finding] | str:
        """What is wrong with one Job; a sentence for what is wrong with all."""
        manifest = job_manifest(job, entry, 1)
        try:
            made = self._cluster.create(manifest, dry_run=True)
        except Conflict:
            return [] if _GET in refused else self._taken(job)
        except QuotaExceeded as error:
            said = resources.words_of(error, manifest)
            return [self._of(job, f"there is no room for the Job {job.name} now, and it has to wait: {said}.", False)]
        except (Rejected, Unavailable) as error:
            if fatal := self._fatal(error):
                return fatal
            reason, is_error = _refusal("the Job", error, manifest)
            return [self._of(job, reason, is_error)]
        return [self._of(job, f"{words}.") for words in pod_room.obstacles(made, ranges, limits)]

    def _taken(self, job: JobFile) -> list[Finding]:
        try:
            present = self._cluster.get("Job", job.name)
        except NotFound:
            return []
        return [] if is_of(present["metadata"].get("labels") or {}, job) else [self._foreign(job, present)]

    def _foreign(self, job: JobFile, present: Manifest) -> Finding:
        label = (present["metadata"].get("labels") or {}).get(ENTRY)
        whose = f"is labelled {ENTRY}: {label}" if label is not None else f"has no label {ENTRY}"
        return self._of(
            job,
            f"a Job {job.name} is there already that {whose}, so that it is not this entry's: "
            "give this one another name, or delete that one.",
        )

    # -- what all need ---------------------------------------------------------------------------------------------

    def _readable(self, kind: str) -> list[Manifest]:
        try:
            return self._cluster.list(kind)
        except (Unavailable, NotFound) as error:
            if error.status in (403, 404):
                return []
            raise

    def _accounts(self) -> set[str]:
        """Of the accounts that Jobs name, those that are not there."""
        names = sorted({name for job, _ in self._jobs if (name := _account(job)) not in ("", "default")})

        def is_missing(name: str) -> bool:
            try:
                self._cluster.get("ServiceAccount", name)
            except NotFound:
                return True
            except Unavailable as error:
                if error.status != 403:
                    raise
            return False

        missing = together([partial(is_missing, name) for name in names])
        return {name for name, is_it in zip(names, missing, strict=True) if is_it}

    def _fatal(self, error: PeerError) -> str | None:
        """What is wrong with the whole namespace; None when it is about one object. Raises what is no answer."""
        namespace = self._cluster.namespace
        if not isinstance(error, Unavailable):
            return None
        if error.status == 404:
            return f"there is no namespace {namespace}: create it, or change kubernetes_namespace."
        if error.status != 403:
            raise error
        return f"the namespace {namespace} is being deleted." if "being terminated" in str(error) else None

    def _about(self, reason: str, *, is_error: bool = True) -> Finding:
        return Finding(reason=reason, file=self._model.path, is_error=is_error)

    def _of(self, job: JobFile, reason: str, is_error: bool = True) -> Finding:
        phase = self._phases[job.phase]
        return Finding(reason=reason, file=job.path, phase=phase, entry=job.entry, is_error=is_error)


def _refusal(what: str, error: PeerError, manifest: Mapping[str, Any]) -> tuple[str, bool]:
    """Why an object may not be made, in the cluster's words, and whether that is sure."""
    name, said = manifest["metadata"]["name"], resources.words_of(error, manifest)
    if _NO_DRY_RUNS in said:
        return f"{what} {name} can't be checked before it is made: {said}", False
    return f"the cluster refuses {what} {name}: {said}", True


def _account(job: JobFile) -> str:
    spec = job.manifest["spec"]["template"]["spec"]
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "")


def _first_alone(calls: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Their answers in order; one that stands for all is not asked for hundreds of times."""
    if calls:
        yield calls[0]()
        yield from together(calls[1:])
