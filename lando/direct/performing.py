"""Carries out what was decided about a direct run; each action may have been done before and does no harm then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from lando.decide import (
    Action,
    Create,
    Delete,
    EndAttempt,
    NoteFailure,
    RecordAttempts,
    StepRecord,
    Write,
)
from lando.decide.deletion import newest_first
from lando.direct.events import JobCreated, JobFailed, JobLog, JobRemoved, Trouble
from lando.direct.lease import Lease
from lando.direct.lease_record import Completion
from lando.direct.progress import Progress
from lando.direct.session import Session
from lando.direct.view import Seen, View, attempt_of
from lando.errors import Conflict, LandoError, NotFound, QuotaExceeded, Refused, Rejected, Unavailable
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import mapping, uid
from lando.phases.labels import RUN, is_of
from lando.phases.model import JobFile
from lando.plans.phases import job_manifest
from lando.runs import Category, Cause, OnFailure, StepState

QUOTA_S = (2.0, 30.0)  # first and longest wait before a Job that a quota forbade is tried again
NOTICEABLE_S = 10.0  # of waiting for what is left of a former Job, which mostly takes a moment
CLEANUP = "cleanup"
"""Why a Job is deleted that is complete and stays so."""
REVERTED = "reverted"


class Performer:
    """Effects on the cluster, and the events that tell of them."""

    def __init__(self, progress: Progress, cluster: Cluster, view: View, session: Session, lease: Lease) -> None:
        self._progress = progress
        self._cluster = cluster
        self._view = view
        self._calls = session.calls
        self._waiting = session.waiting
        self._listener = session.listener
        self._lease = lease
        self._quota: dict[str, tuple[float, float]] = {}
        """Of Jobs that a quota forbids: when to try again, and the wait after that."""
        self._held: dict[str, float | None] = {}
        """Since when Jobs can't be made because of what is left of former ones; None once that was told."""
        self._noted = {job: one.uid for job, one in lease.complete.items()}
        """UIDs of the Jobs that the Lease has for complete, by name."""
        self._deleted: set[str] = set()
        """UIDs."""
        self._shown: set[str] = set()
        """UIDs of Jobs whose logs were told because a revert deletes them."""
        self._unanswered: dict[str, Create] = {}
        """What met an error that leaves open whether it was done."""
        self.refused: dict[str, Cause] = {}
        """Why the API will not make a Job."""
        self.pending: list[Action] = []
        """What of the last actions was not carried out, because an error came between."""
        self.replaced: dict[str, str] = {}
        """Why a Job that was found is made again: ``failed before`` or ``changed``."""

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out ``actions`` in order; what is made one after the other is made side by side.

        Raises Unavailable, Refused and Stopped; the rest is found again by the next decision.
        """
        self.pending = list(actions)
        for action in actions:
            if isinstance(action, NoteFailure) and action.failure is not None and action.failure.step is not None:
                self._progress.causes[action.failure.step] = action.failure.cause
        batch: list[Create] = []
        while self.pending:
            action = self.pending[0]
            if isinstance(action, Create):
                batch.append(action)
            elif isinstance(action, Write | RecordAttempts | EndAttempt | Delete):
                self._create(batch)
                batch = []
                self._do(action)
            del self.pending[0]
        self._create(batch)

    def own_up(self) -> None:
        """Take what has come to be of calls whose answers were lost for what it is."""
        for job, create in list(self._unanswered.items()):
            seen = self._view.seen().get(job)
            if seen is not None and seen.job.attempt == create.attempt and not seen.job.deleting:
                self._tell_created(create, seen.uid)

    def next_look_s(self) -> float | None:
        """Seconds until a Job is to be tried again that a quota forbids, or its wait is to be told."""
        at_work, held = set(self._progress.of(StepState.RUNNING)), self._view.held()
        times = [at for job, (at, _) in self._quota.items() if job in at_work - held]
        times += [since + NOTICEABLE_S for job, since in self._held.items() if since and job in at_work & held]
        return max(min(times) - self._waiting.now(), 0.0) if times else None

    def remove(self, jobs: Sequence[str], why: str) -> None:
        """Delete Jobs; raises the first error when all were tried, and Stopped."""
        for error in self.delete(jobs, why).values():
            raise error

    def delete(self, jobs: Sequence[str], why: str) -> dict[str, LandoError]:
        """Delete Jobs with their pods, newest first; the errors of those that can't be. Raises Stopped."""
        seen = self._view.seen()
        there = {
            job: seen[job].job.created
            for job in jobs
            if job in seen and not (seen[job].job.deleting or seen[job].is_gone or seen[job].uid in self._deleted)
        }
        errors: dict[str, LandoError] = {}
        for job in newest_first(there, self._progress.files):
            self._lease.assert_held()
            if why != CLEANUP:
                self._forget([job])
            job_uid = seen[job].uid
            try:
                self._calls.one(partial(self._cluster.delete, "Job", job, uid=job_uid))
            except (NotFound, Conflict):
                pass  # gone, or made anew by somebody else
            except LandoError as error:
                errors[job] = error
                continue
            self._deleted.add(job_uid)
            self._view.removed(job_uid)
            self._listener.tell(JobRemoved(job=job, why=why))
        return errors

    def _do(self, action: Write | RecordAttempts | EndAttempt | Delete) -> None:
        match action:
            case Write(state=state, steps=steps):
                self._progress.write(state, steps)
            case RecordAttempts(steps=attempts):
                self._progress.records.update(attempts)
            case EndAttempt(step=step, cause=cause):
                self._listener.tell(JobFailed(job=step, cause=cause, again=True))
            case Delete(refs=refs):
                jobs = [ref.name for ref in refs if ref.kind == "Job"]
                for job in jobs:
                    why = self._why(job)
                    if why == REVERTED:
                        self._show_log(job)
                    try:
                        self.remove([job], why)
                    except Rejected as error:
                        if not self._progress.is_over:
                            raise
                        self._listener.tell(Trouble(sentence=f"Not removed: {error}"))

    def _why(self, job: str) -> str:
        if self._progress.is_over and self._progress.plan.on_failure is OnFailure.REVERT:
            return REVERTED
        return self.replaced.pop(job, "failed before")

    def _show_log(self, job: str) -> None:
        """Before it goes, once."""
        seen = self._view.seen().get(job)
        if seen is None or seen.is_failed or seen.uid in self._shown:
            return
        self._shown.add(seen.uid)
        if log_tail := self._calls.one(partial(self._view.log_of, job)):
            self._listener.tell(JobLog(job=job, log_tail=log_tail))

    def _create(self, creates: Sequence[Create]) -> None:
        now = self._waiting.now()
        held = self._view.held()
        for one in creates:
            if one.step in held:
                self._tell_held(one)
            else:
                self._held.pop(one.step, None)
        due = [one for one in creates if one.step not in held and self._quota.get(one.step, (now, 0.0))[0] <= now]
        if not due:
            return
        self._lease.assert_held()
        self._forget([one.step for one in due])
        outcomes = self._calls.all([partial(self._cluster.create, self._manifest(one)) for one in due])
        errors = []
        for one, outcome in zip(due, outcomes, strict=True):
            try:
                self._created(one, outcome)
            except LandoError as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, Unavailable))

    def note_complete(self, jobs: Mapping[str, Seen]) -> None:
        """Keep in the Lease, beyond their own end, that these are complete."""
        new = {job: seen for job, seen in jobs.items() if self._noted.get(job) != seen.uid}
        if not new:
            return
        self._noted |= {job: seen.uid for job, seen in new.items()}
        notes = {
            job: Completion(uid=seen.uid, digest=seen.digest or "", duration_s=seen.duration_s)
            for job, seen in new.items()
        }
        self._calls.one(partial(self._lease.note, notes))

    def _forget(self, jobs: Sequence[str]) -> None:
        """These are to run again."""
        if noted := self._noted.keys() & set(jobs):
            self._calls.one(partial(self._lease.forget, noted))
            self._noted = {job: job_uid for job, job_uid in self._noted.items() if job not in noted}

    def _tell_held(self, create: Create) -> None:
        """That a Job waits for what is left of a former one, once that has lasted."""
        job, now = create.step, self._waiting.now()
        since = self._held.setdefault(job, now)
        if since is None or now - since < NOTICEABLE_S:
            return
        self._held[job] = None
        pods = self._view.pods_in_the_way(job)
        what = (
            f"the pods {', '.join(pods)} of a former one are still at work" if pods else "a former one is still going"
        )
        cause = Cause(
            category=Category.INFRASTRUCTURE,
            sentence=f"The Job {job} can't be made yet: {what}.",
            advice="If that does not end by itself, look at its finalizers and at its node.",
        )
        self._progress.tell_wait(job, None, cause)

    def _manifest(self, create: Create) -> Manifest:
        made = job_manifest(self._progress.files[create.step], self._progress.entries[create.step], create.attempt)
        made["metadata"]["annotations"][RUN] = self._lease.run
        return made

    def _created(self, create: Create, outcome: Manifest | LandoError) -> None:
        job = create.step
        if isinstance(outcome, Conflict):
            self._adopt(create)
            return
        if isinstance(outcome, QuotaExceeded):
            first, longest = QUOTA_S
            _, wait_s = self._quota.get(job, (0.0, first))
            self._quota[job] = (self._waiting.now() + wait_s, min(wait_s * 2, longest))
            words = f"A quota of the namespace keeps the Job {job} from being made: {outcome}"
            cause = Cause(
                category=Category.RESOURCES,
                sentence=words,
                advice="It is made when there is room; end other Jobs, or have the quota raised.",
            )
            self._progress.tell_wait(job, None, cause)
            return
        self._quota.pop(job, None)
        if isinstance(outcome, Rejected | NotFound):
            words = f"The API does not accept the Job {job}: {outcome}"
            advice = f"Mend {self._progress.files[job].path}."
            self.refused[job] = Cause(category=Category.USER, sentence=words, advice=advice)
            self._waiting.ring()
            return
        if isinstance(outcome, LandoError):
            self._unanswered[job] = create
            raise outcome
        self._view.made(outcome)
        self._tell_created(create, uid(outcome))

    def _adopt(self, create: Create) -> None:
        """The name is taken: by this very call, whose answer was lost, by a Job of ours that was not seen yet, about
        which is decided anew, or by a stranger."""
        try:
            found = self._calls.one(partial(self._cluster.get, "Job", create.step))
        except NotFound:
            self._waiting.ring()  # it went just now
            return
        file = self._progress.files[create.step]
        metadata = mapping(found.get("metadata"))
        if not is_of(mapping(metadata.get("labels")), file):
            raise Refused(taken(file))
        self._view.made(found)
        if attempt_of(found) == create.attempt and not metadata.get("deletionTimestamp"):
            self._tell_created(create, uid(found))

    def _tell_created(self, create: Create, job_uid: str) -> None:
        job = create.step
        self._unanswered.pop(job, None)
        self._progress.forget(job)
        self._progress.records[job] = StepRecord(
            attempt=create.attempt,
            uid=job_uid,
            retries=create.retries,
            interruptions=create.interruptions,
            own_retries=create.own_retries,
        )
        self._progress.tell_wait(job, None)
        file, entry = self._progress.files[job], self._progress.entries[job]
        self._listener.tell(
            JobCreated(job=job, entry=entry.name, phase=file.phase, attempt=create.attempt, after=entry.depends_on)
        )


def taken(file: JobFile) -> str:
    """The sentence for a name of the model that a stranger has."""
    return (
        f"The Job {file.name} of entry {file.entry} can't be made: a Job of that name is there that does not belong to "
        "it. Rename one of them, or delete the one that is there."
    )
