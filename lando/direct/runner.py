"""Runs a model to its end against a cluster: watch, judge, decide, carry out, and again.

One thread decides. It sleeps until something has changed: a watch told of a Job, a wait became worth naming, the
cluster answers again, the run is to stop. The decision is :func:`lando.decide.decide`, as in the service; the state
that it goes by is read off the cluster at the start, so that a run that was killed at any moment goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from lando.decide import JobPhase, Observed, StepRecord, decide
from lando.direct import resources
from lando.direct.cleaning import cleanup
from lando.direct.events import (
    Began,
    CleanupBegan,
    Ended,
    JobFailed,
    JobFound,
    Listener,
    Outcome,
    Problem,
    ResourceApplied,
    Trouble,
)
from lando.direct.following import Following
from lando.direct.lease import Lease
from lando.direct.outage import CALLS, LIMIT_S
from lando.direct.performing import CLEANUP, Performer, taken
from lando.direct.progress import Progress
from lando.direct.session import Session, concluded
from lando.direct.view import Seen, View
from lando.direct.waiting import Waiting
from lando.errors import Conflict, Refused, Rejected, Unavailable
from lando.k8s.cluster import Cluster, KubernetesCluster
from lando.phases.model import Finding, JobFile, Model, Resource
from lando.plans.phases import plan_of
from lando.runs import Intent, OnFailure, RunState, StepState

__all__ = ["cleanup", "run"]

Check = Callable[[Model, Cluster], Sequence[Finding]]


def run(
    model: Model,
    cluster: Cluster,
    *,
    listener: Listener,
    stop: threading.Event,
    changed: bool = False,
    check: Check | None = None,
    outage_s: float = LIMIT_S,
    now: Callable[[], datetime] | None = None,
    waiting: Waiting | None = None,
    make_lease: Callable[..., Lease] = Lease,
) -> Outcome:
    """Run ``model``; returns when all is complete, a failure has ended it, or it can't go on.

    What an earlier run did counts: complete Jobs are not run again, running ones are waited for, failed ones are made
    anew; with ``changed`` also those whose file says something else now. ``stop`` ends it within seconds and leaves
    the Jobs as they are. ``listener`` is told everything, last of all :class:`~lando.direct.events.Ended`.

    ``outage_s`` is how long the cluster may be away at a stretch; ``now`` the time that its time stamps are held
    against, its own where it tells that. Raises nothing of :mod:`lando.errors`.
    """
    session = Session(listener, waiting or Waiting(stop), outage_s)
    if now is None:
        now = cluster.now if isinstance(cluster, KubernetesCluster) else lambda: datetime.now(UTC)
    one = _Run(model, cluster, session, is_changed_remade=changed, now=now)
    try:
        ended = concluded(lambda: one.to_the_end(check, make_lease), stop, session)
    finally:
        session.calls.close()
    listener.tell(replace(ended, jobs=one.progress.report()))
    return ended.outcome


class _Run:
    """One run, from its checks to its end."""

    def __init__(
        self,
        model: Model,
        cluster: Cluster,
        session: Session,
        *,
        is_changed_remade: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._model = model
        self._cluster = cluster
        self._session = session
        self._listener = session.listener
        self._is_changed_remade = is_changed_remade
        self._plan = plan_of(replace(model, resources=()))  # these are there before it begins
        self._view = View(model, cluster, calls=session.calls, waiting=session.waiting, now=now)
        self.progress = Progress(model, self._plan, session.listener)
        self._kept: set[str] = set()
        """Jobs that a cleanup can't remove."""
        self._performer: Performer
        self._lease: Lease

    def to_the_end(self, check: Check | None, make_lease: Callable[..., Lease]) -> Ended:
        """Raises as :func:`concluded` expects."""
        if check is not None:
            self._check(check)
        self._lease = self._session.acquired(make_lease, self._cluster, self.progress.files)
        self._performer = Performer(self.progress, self._cluster, self._view, self._session, self._lease)
        following = Following(self._model, self._cluster, self._view, self._session, are_rights_told=check is not None)
        with self._lease.kept():
            try:
                following.start()
                self._begin()
                self._apply_resources()
                self.progress.tell_phases()
                self._go_on()
                ended = self._end()
                self._lease.conclude()
                return ended
            finally:
                following.stop()

    # -- before it begins ----------------------------------------------------------------------------------------

    def _check(self, check: Check) -> None:
        findings = self._session.tried(lambda: self._session.calls.one(partial(check, self._model, self._cluster)))
        for finding in findings:
            self._listener.tell(Problem(finding=finding))
        if errors := sum(finding.is_error for finding in findings):
            found = "One problem was" if errors == 1 else f"{errors} problems were"
            raise Refused(f"{found} found; nothing was created.")

    def _begin(self) -> None:
        """Take up what an earlier run left."""
        if foreign := self._view.foreign():
            raise Refused(" ".join(taken(self.progress.files[job]) for job in foreign))
        self._view.begin(self._lease.run)
        looked_at = self._look()
        steps, found = {}, []
        for job, file in self.progress.files.items():
            seen = self._view.seen().get(job)
            steps[job], event = self._taken_up(file, seen) if seen else self._noted_before(file)
            found += [event] if event else []
        done = sum(state is StepState.COMPLETE for state in steps.values())
        self._listener.tell(Began(namespace=self._cluster.namespace, jobs=len(steps), complete=done))
        for event in found:
            self._listener.tell(event)
        self._tell_waits(looked_at)
        self.progress.begin(steps)
        # What is at work on something else than its file now says ends at once, though its turn may come later.
        changed = [job for job in self._performer.replaced if not self._view.seen()[job].job.ended]
        self._session.tried(lambda: self._performer.remove(changed, "changed"))

    def _apply_resources(self) -> None:
        """Before the first Job, as long as there is one left to run."""
        if len(self.progress.of(StepState.COMPLETE)) == len(self.progress.files):
            return
        for resource in self._model.resources:
            if self._session.tried(partial(self._applied, resource)):
                kind, name = resources.key_of(resource)
                self._listener.tell(ResourceApplied(kind=kind, name=name))

    def _applied(self, resource: Resource) -> bool:
        self._lease.assert_held()
        apply = partial(resources.apply, resource, self._model, self._cluster, self._lease.owner)
        return self._session.calls.one(apply)

    def _taken_up(self, file: JobFile, seen: Seen) -> tuple[StepState, JobFound | JobFailed | None]:
        """What the step of a Job that is there is at the start; one that is made anew gets the next number."""
        is_other = seen.digest is not None and seen.digest != file.digest  # the original told nothing
        if seen.job.deleting or seen.is_failed or (is_other and self._is_changed_remade):
            self.progress.records[file.name] = StepRecord(attempt=seen.job.attempt + 1)
        elif seen.job.phase is JobPhase.COMPLETE:
            return StepState.COMPLETE, _found(file, complete=True, changed=is_other)
        else:
            return StepState.RUNNING, _found(file, complete=False, changed=is_other)
        if seen.job.deleting:
            return StepState.PENDING, None
        self._performer.replaced[file.name] = "failed before" if seen.is_failed else "changed"
        if seen.is_failed:
            return StepState.PENDING, JobFailed(job=file.name, cause=self.progress.cause(file.name), again=True)
        return StepState.PENDING, _found(file, complete=seen.job.phase is JobPhase.COMPLETE, changed=True)

    def _noted_before(self, file: JobFile) -> tuple[StepState, JobFound | None]:
        """The same for one that is not there; it may have vanished by itself after it was complete."""
        noted = self._lease.complete.get(file.name)
        if noted is None:
            return StepState.PENDING, None
        is_other = bool(noted.digest) and not file.digest.startswith(noted.digest)
        if is_other and self._is_changed_remade:
            return StepState.PENDING, _found(file, complete=True, changed=True)
        self.progress.durations[file.name] = noted.duration_s
        return StepState.COMPLETE, _found(file, complete=True, changed=is_other)

    # -- while it goes on ----------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Until all is complete or a failure has ended it, and nothing of that is left to do."""
        session = self._session
        while True:
            session.look_up()
            self._look_after_lease()
            if session.outage.retry_in_s() == 0 and self._lease.held:
                try:
                    self._round()
                    session.outage.well(CALLS)
                except Unavailable as error:
                    session.outage.met(CALLS, error)
                    session.look_up()
            if self.progress.is_over and not self._performer.pending:
                return
            session.wait(self._view.next_look_s() if self._lease.held else None, self._performer.next_look_s())

    def _round(self) -> None:
        """Look, decide, act. Raises Unavailable, Refused and Stopped."""
        if self.progress.is_over:
            self._performer.perform(self._performer.pending)
            return
        self._tell_waits(self._look())
        self._performer.own_up()
        for job, cause in self._performer.refused.items():
            self._plan = self._plan.with_problem(job, cause)
        self._performer.refused.clear()
        live, dying = self._view.objects()
        observed = Observed(
            record=self.progress.record,
            jobs={job: seen.job for job, seen in self._view.seen().items()},
            objects=live,
            dying=dying,
        )
        self._performer.perform(decide(self._plan, self.progress.run, observed, Intent.NONE))
        self.progress.tell_limit()

    def _look(self) -> list[str]:
        """Keep what is new of Jobs; the names of those that were looked at."""
        vanishing = {}
        names = self._view.refresh()
        for job in names:
            seen = self._view.seen().get(job)
            self.progress.note(job, seen)
            goes_by_itself = self.progress.files[job].manifest["spec"].get("ttlSecondsAfterFinished") is not None
            if seen is not None and seen.job.phase is JobPhase.COMPLETE and goes_by_itself:
                vanishing[job] = seen
        self._performer.note_complete(vanishing)
        return names

    def _tell_waits(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if (seen := self._view.seen().get(job)) is not None:
                self.progress.tell_wait(job, seen)

    def _look_after_lease(self) -> None:
        try:
            self._lease.assert_held()
            self._session.outage.well("lease")
        except Unavailable as error:
            self._session.outage.met("lease", error)
            self._session.look_up()

    # -- its end -------------------------------------------------------------------------------------------------

    def _end(self) -> Ended:
        progress = self.progress
        if progress.run.state is not RunState.FINISHED:
            failed = progress.of(StepState.FAILED)
            what = f"The Job {failed[0]}" if len(failed) == 1 else f"{len(failed)} Jobs ({', '.join(failed)})"
            left = len(progress.of(StepState.PENDING))
            then = {OnFailure.REVERT: " What this run had made was deleted."}.get(
                self._plan.on_failure,
                f" {left} of {len(progress.files)} Jobs {'was' if left == 1 else 'were'} not run." if left else "",
            )
            return Ended(outcome=Outcome.FAILED, sentence=f"{what} failed.{then}")
        if self._model.settings.cleanup:
            self._listener.tell(CleanupBegan(jobs=progress.report()))
            self._clean_up()
        jobs = len(progress.files)
        sentence = f"All {jobs} Jobs are complete." if jobs > 1 else "The only Job is complete."
        return Ended(outcome=Outcome.COMPLETE, sentence=sentence)

    def _clean_up(self) -> None:
        """Delete the Jobs and then the Lease, by which a run knows of those that are deleted if this is cut short."""
        self._session.is_cleaning = True
        seen = self._view.seen()
        self._performer.note_complete({job: seen[job] for job in self.progress.files if job in seen})
        self._session.tried(self._remove_all)
        try:
            self._session.tried(lambda: self._session.calls.one(self._lease.delete))
        except (Rejected, Conflict) as error:
            self._listener.tell(Trouble(sentence=f"The Lease {self._lease.name} is not removed: {error}"))

    def _remove_all(self) -> None:
        """Raises Unavailable for what can be tried again; all else is told."""
        errors = self._performer.delete([job for job in self.progress.files if job not in self._kept], CLEANUP)
        for job, error in errors.items():
            if isinstance(error, Unavailable) and error.status != 403:
                continue
            self._kept.add(job)
            self._listener.tell(Trouble(sentence=f"Not removed: {error}"))
        for job, error in errors.items():
            if job not in self._kept:
                raise error


def _found(file: JobFile, *, complete: bool, changed: bool) -> JobFound:
    return JobFound(job=file.name, entry=file.entry, phase=file.phase, complete=complete, changed=changed)
