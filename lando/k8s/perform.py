"""Carries out the actions of one transition, in their order; each may have been done before and does no harm then.

Whether this process may still act is asked before every effect: one that lost the queue's lock stops before its next.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from lando import labels, logs
from lando.decide import (
    Action,
    AwaitGone,
    Create,
    Delete,
    DeleteRecord,
    EndAttempt,
    EnsureRecord,
    Failure,
    NoteFailure,
    Nothing,
    ObjectRef,
    Plan,
    RecordAttempts,
    ReportError,
    Restore,
    SetCondition,
    StepRecord,
    StoreOutput,
    Warn,
    Write,
)
from lando.errors import Conflict, NotFound, QuotaExceeded, Rejected, StepError, Unavailable
from lando.k8s import record
from lando.k8s.archiving import Archiving, LogArchive
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import mapping, moment, uid
from lando.k8s.going import Going
from lando.k8s.history import History
from lando.k8s.kept_record import KeptRecord
from lando.k8s.metrics import ACTIONS, HANDOFF, RETRIES
from lando.k8s.observe import Observation
from lando.k8s.unfinished import Halted, QuotaWait, StillThere, refused
from lando.k8s.untold import harmless
from lando.plans import Making, Planner
from lando.queues import Publisher
from lando.runs import Cause, Run
from lando.sources import Source

GONE_WAIT_S = 10.0  # how long a worker waits for objects to go; after that the message comes again later
COURTESY_WAIT_S = 3.0  # the same where it is only to tell the owner a moment later

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Everything the actions have effects on."""

    cluster: Cluster
    source: Source
    publisher: Publisher
    archive: LogArchive | None
    pool: Pool
    may_act: Callable[[], bool]
    log_bytes: int
    """Of one container's log in the archive."""


class Performer:
    """Carries out the actions of one decision about one run."""

    def __init__(self, peers: Peers, planner: Planner, run: Run, plan: Plan, observation: Observation) -> None:
        self.run = run
        """The run as last answered by its source."""
        self.plan = plan
        self.condition: str | None = observation.observed.condition
        """The sentence that is shown to the owner now."""
        self.owes_history = False
        """Whether something of the attempts could not be told."""
        self._peers = peers
        self._planner = planner
        self._observation = observation
        self._record = KeptRecord(peers.cluster, plan.record, run.id, observation.observed.record)
        self._uids = dict(observation.uids)
        self._had_quota_wait = bool(observation.observed.record and observation.observed.record.quota_since)
        self._present = set(observation.observed.objects)
        self._inputs: dict[str, Future[Any]] = {}
        self._history = History()
        selector = labels.selector(planner.labels(run.id))
        self._going = Going(cluster=peers.cluster, selector=selector, may_act=peers.may_act)
        self._archiving = Archiving(peers.archive, peers.cluster, run.id, observation, peers.log_bytes)

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out ``actions``.

        Raises Halted, StillThere, QuotaWait, StepError, Conflict (the run was changed by somebody else) and
        Unavailable; whatever is raised, the rest is found again by the next decision.
        """
        for action in actions:
            if isinstance(action, Create | Restore):
                self._ask_ahead(action.step)
        for action in actions:
            if not self._peers.may_act():
                raise Halted
            with logs.about(**_subject(action)):
                log.debug("Run %d: %s", self.run.id, action)
                try:
                    self._do(action)
                except StepError as error:
                    error.step = action.step if isinstance(action, Create | Restore) else None
                    raise
            ACTIONS.labels(type(action).__name__).inc()
        if self._peers.may_act():
            self._tell_history()

    def note_quota(self, patch: Manifest) -> None:
        """Keep in the record since when a quota has been waited for."""
        self._record.patch(patch)

    def _do(self, action: Action) -> None:
        match action:
            case EnsureRecord():
                self._record.ensure()
            case Write():
                self._write(action)
            case RecordAttempts(steps=steps):
                self._record_attempts(steps)
            case Create():
                self._create(action)
            case Restore():
                self._restore(action)
            case EndAttempt(step=step, ended=ended, cause=cause):
                self._note_failed(step, ended, cause)
                self._tell_history()
            case Delete(refs=refs):
                self._delete(refs)
            case AwaitGone(refs=refs, required=True):
                self._going.wait(refs, self.plan, GONE_WAIT_S)
            case AwaitGone(refs=refs):
                with contextlib.suppress(StillThere):
                    self._going.wait(refs, self.plan, COURTESY_WAIT_S)
            case DeleteRecord():
                self._delete_one(self.plan.record)
                self._record.uid = None
            case StoreOutput(ids=ids):
                self._peers.source.store_output(self.run, ids)
            case NoteFailure(failure=failure):
                self._record.note_failure(failure)
            case ReportError(failure=failure, again=again):
                self._report(failure, again=again)
            case SetCondition(step=step, cause=cause):
                self.tell_condition(step, cause)
            case Warn(step=step, warnings=warnings):
                harmless(self.run.id, "warning", lambda: self._peers.source.warn(self.run, step, warnings))
            case Nothing(reason=reason):
                log.info("Run %d: nothing to do: %s", self.run.id, reason)

    # -- the run's source -------------------------------------------------------------------------------------

    def _write(self, action: Write) -> None:
        expected = action.state or self.run.state
        self.run, notice = self._peers.source.write(self.run, state=action.state, steps=action.steps)
        if notice is not None:
            self._peers.publisher.notify(notice)
            log.info("Run %d is now %s", self.run.id, notice.decode())
        if self.run.state is not expected:
            raise Conflict("source", f"run {self.run.id} was changed by somebody else while a step was written")

    def _report(self, failure: Failure, *, again: bool) -> None:
        """Tell the owner why the run failed; the failed step's Job stays for a restart, but its log is wanted now."""
        self._archiving.evidence(failure.step)  # before its owner may ask for it
        self._peers.source.report_error(self.run, failure.step, failure.cause, again=again)
        kept = self._observation.observed.record
        for step in self.plan.steps:
            if step.name != failure.step or step.job is None:
                continue
            self._archiving.logs_of(step.job)
            noted = kept.steps.get(step.name) if kept is not None else None
            job = self._observation.observed.jobs.get(step.name)
            if job is not None and (noted is None or noted.uid is None):
                noted = StepRecord(attempt=job.attempt, uid=job.uid)  # it failed before anybody had recorded it
            if noted is not None:
                self._note_failed(step.name, noted, failure.cause)

    def tell_condition(self, step: str, cause: Cause | None) -> None:
        """Show the owner what the run waits for; None takes it back. Never raises."""
        if cause is not None:
            self._archiving.evidence(step)
        sentence = f"{cause.sentence} {cause.advice}".strip() if cause else None

        def tell() -> None:
            try:
                self._peers.source.set_condition(self.run, step, sentence)
            except Unavailable:
                self.condition = ""  # nobody knows which sentence is shown: the next look tells again
                raise

        self.condition = cause.sentence if cause else None
        harmless(self.run.id, "condition", tell)

    def _note_failed(self, step: str, ended: StepRecord, cause: Cause) -> None:
        ref = self.plan.step(step).job
        if ref is None:
            return
        job = self._observation.jobs.get(ref)
        observed = self._observation.observed.jobs.get(step)
        self._history.failed(step, ended, ref.name, job, cause, observed)
        if job is None and ended.uid is not None:
            self._archiving.vanished(step, ended.attempt, ref, ended.uid)

    def _note_adopted(self, steps: Mapping[str, StepRecord]) -> None:
        """After a crash behind a Job's creation nobody has been told of it yet."""
        for step, noted in steps.items():
            ref = self.plan.step(step).job
            job = self._observation.jobs.get(ref) if ref is not None else None
            if job is not None and uid(job) == noted.uid:
                self._history.begun(step, noted.attempt, job)

    def _note_removed(self, step: str, ref: ObjectRef) -> None:
        job, observed = self._observation.jobs.get(ref), self._observation.observed.jobs.get(step)
        if job is not None and observed is not None:
            self._history.removed(step, observed, job)

    def _tell_history(self) -> None:
        """Tell what has been noted of attempts, and what the source has kept because it could not be told before."""
        attempts = self._history.take()
        told = harmless(self.run.id, "attempt", lambda: self._peers.source.tell_attempts(self.run, attempts))
        self.owes_history = not told

    # -- objects ----------------------------------------------------------------------------------------------

    def _create(self, action: Create) -> None:
        manifests = self._manifests(action.step, action.attempt)
        others = [
            manifest
            for manifest in manifests
            if manifest["kind"] != "Job"
            and not (manifest["kind"] == "PersistentVolumeClaim" and _ref(manifest) in self._present)
        ]
        jobs = [manifest for manifest in manifests if manifest["kind"] == "Job"]
        try:
            if len(others) == 1:
                self._make(others[0])
            else:
                list(self._peers.pool.map(self._make, others))
            for job in jobs:
                if not self._peers.may_act():
                    raise Halted
                made = self._make(job)
                self._measure_handoff(action.step, made)
                step = StepRecord(
                    attempt=action.attempt,
                    uid=uid(made),
                    retries=action.retries,
                    interruptions=action.interruptions,
                    own_retries=action.own_retries,
                )
                self._end_quota_wait(action.step)
                self._record.patch(record.steps_patch({action.step: step}, quota_ended=self._had_quota_wait))
                self._history.begun(action.step, action.attempt, made)
        except QuotaExceeded as error:
            raise QuotaWait(action.step, error) from error
        self._present |= {_ref(manifest) for manifest in manifests}

    def _restore(self, action: Restore) -> None:
        log.warning("Run %d: somebody deleted %s", self.run.id, ", ".join(ref.name for ref in action.refs))
        try:
            for manifest in self._manifests(action.step, action.attempt):
                if _ref(manifest) in action.refs:
                    self._make(manifest)
        except QuotaExceeded as error:
            raise QuotaWait(action.step, error) from error
        self._present.update(action.refs)

    def _record_attempts(self, steps: Mapping[str, StepRecord]) -> None:
        adopted = {step: noted for step, noted in steps.items() if noted.uid is not None and not noted.failed}
        for step in adopted:
            self._end_quota_wait(step)
        self._record.patch(record.steps_patch(steps, quota_ended=self._had_quota_wait and bool(adopted)))
        self._count_retries(steps)
        self._note_adopted(adopted)

    def _end_quota_wait(self, step: str) -> None:
        """The step's Job is there, so that no quota is waited for; said before the record forgets that one was."""
        if self._had_quota_wait:
            self.tell_condition(step, None)

    def _count_retries(self, steps: Mapping[str, StepRecord]) -> None:
        before = self._observation.observed.record
        for step, now in steps.items():
            known = before.steps.get(step) if before else None
            if now.retries > (known.retries if known else 0):
                RETRIES.labels(step).inc()

    def _measure_handoff(self, step: str, job: Manifest) -> None:
        """Both times are the cluster's, so that no other clock counts."""
        ends = [moment(times.finished) for other, times in self._observation.times.items() if other != step]
        created = moment(job["metadata"].get("creationTimestamp"))
        if created is not None and (ended := max((end for end in ends if end is not None), default=None)) is not None:
            HANDOFF.observe(max((created - ended).total_seconds(), 0.0))

    def _manifests(self, step: str, attempt: int) -> list[Manifest]:
        making = Making(
            attempt=attempt,
            record_uid=self._record.ensure(),
            inputs=self._source_inputs(step),
            times=self._observation.times,
        )
        return self._planner.objects(self.run, step, making)

    def _ask_ahead(self, step: str) -> None:
        """Begin to ask the source for what the step needs, while the writes before it are made."""
        wanted = self._planner.inputs(step)
        if wanted is not None and wanted not in self._inputs:
            self._inputs[wanted] = self._peers.pool.submit(self._peers.source.inputs, self.run, wanted)

    def _source_inputs(self, step: str) -> Any:
        wanted = self._planner.inputs(step)
        if wanted is None:
            return None
        try:
            return self._inputs[wanted].result()
        except NotFound as error:
            raise refused(f"The {wanted.replace('_', ' ')} of run {self.run.id} no longer exists.") from error

    def _make(self, manifest: Manifest) -> Manifest:
        try:
            made = self._peers.cluster.create(manifest)
        except Conflict:
            made = self._adopt(manifest)
        except Rejected as error:
            kind, name_ = manifest["kind"], manifest["metadata"]["name"]
            raise refused(f"The cluster refused the {kind} {name_}: {error}") from error
        self._uids[_ref(manifest)] = uid(made)
        return made

    def _adopt(self, manifest: Manifest) -> Manifest:
        """The object that has the name already, if it is this run's; a ConfigMap is brought up to date."""
        ref, wanted = _ref(manifest), manifest["metadata"]
        try:
            there = self._peers.cluster.get(ref.kind, ref.name)
        except NotFound:
            raise StillThere(f"{ref.kind} {ref.name} went while it was to be adopted") from None
        metadata = there["metadata"]
        if wanted["labels"].items() - mapping(metadata.get("labels")).items():
            raise refused(f"The name {ref.name} is taken by a {ref.kind} that is not of this run.")
        if metadata.get("deletionTimestamp"):
            raise StillThere(f"{ref.kind} {ref.name} is still being deleted")
        if ref.kind == "Job":
            attempt = mapping(metadata.get("annotations")).get(labels.ATTEMPT, "1")
            if attempt != wanted["annotations"][labels.ATTEMPT]:
                raise StillThere(f"Job {ref.name} of a former attempt is still there")
        if ref.kind == "ConfigMap":
            data = {key: manifest.get(key) for key in ("data", "binaryData")}
            if any(there.get(key) != value for key, value in data.items()):
                return self._peers.cluster.patch(ref.kind, ref.name, data)
        return there

    def _delete(self, refs: Sequence[ObjectRef]) -> None:
        jobs = [ref for ref in refs if ref.kind == "Job"]
        for step in self.plan.steps:
            if step.job in jobs:
                self._archiving.evidence(step.name)
                self._note_removed(step.name, step.job)
        self._tell_history()  # while the Jobs can still tell it
        for ref in jobs:
            self._archiving.logs_of(ref)
        if refs and not self._peers.may_act():
            raise Halted
        for group in (jobs, [ref for ref in refs if ref.kind != "Job"]):
            if len(group) == 1:
                self._delete_one(group[0])
            else:
                list(self._peers.pool.map(self._delete_one, group))

    def _delete_one(self, ref: ObjectRef) -> None:
        object_uid = self._record.uid if ref == self.plan.record else self._uids.get(ref)
        # A conflict means another object of that name, which nobody has judged yet: the next look does.
        with contextlib.suppress(NotFound, Conflict):
            self._peers.cluster.delete(ref.kind, ref.name, uid=object_uid)
        self._present.discard(ref)


def _subject(action: Action) -> dict[str, Any]:
    """The step that ``action`` is about, and its attempt, for what is logged meanwhile."""
    match action:
        case Create(step=step, attempt=attempt) | Restore(step=step, attempt=attempt):
            return {"step": step, "attempt": attempt}
        case SetCondition(step=step) | Warn(step=step):
            return {"step": step}
        case ReportError(failure=failure):
            return {"step": failure.step}
    return {}


def _ref(manifest: Manifest) -> ObjectRef:
    return ObjectRef(manifest["kind"], manifest["metadata"]["name"])
