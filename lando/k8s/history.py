"""What one transition has to say of the attempts of a run's steps, read off their Jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lando.decide import JobPhase, ObservedJob, StepRecord
from lando.k8s.cluster import Manifest
from lando.k8s.diagnosis.facts import created, mapping, moment, name, true_condition, uid
from lando.runs import Attempt, AttemptState, Cause, VolumeUse

_ENDS: Mapping[JobPhase, AttemptState] = {
    JobPhase.COMPLETE: AttemptState.COMPLETE,
    JobPhase.FAILED: AttemptState.FAILED,
}


class History:
    """Attempts that are still to be told; of each the first end that is known."""

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._taken: set[str] = set()
        """UIDs whose end was taken to be told."""

    def take(self) -> list[Attempt]:
        """What is to be told now, in the order in which it was noted."""
        taken, self._attempts = list(self._attempts.values()), {}
        self._taken |= {one.uid for one in taken if one.state is not AttemptState.RUNNING}
        return taken

    def begun(self, step: str, number: int, job: Manifest) -> None:
        """``job`` was made for the step."""
        self._note(
            Attempt(
                step=step,
                number=number,
                job=name(job),
                uid=uid(job),
                state=AttemptState.RUNNING,
                began=created(job),
            )
        )

    def removed(self, step: str, observed: ObservedJob, job: Manifest) -> None:
        """``job`` is about to be removed: how it ended, unless it had not."""
        state = _ENDS.get(observed.phase, AttemptState.CANCELED)
        cause = observed.cause if state is AttemptState.FAILED else None
        self._ended(step, observed.attempt, name(job), observed.uid, job, state, cause, observed.volume)

    def failed(
        self,
        step: str,
        record: StepRecord,
        job_name: str,
        job: Manifest | None,
        cause: Cause,
        observed: ObservedJob | None = None,
    ) -> None:
        """The attempt that the run record names has failed, whether its Job is still there or not."""
        if record.uid is not None:
            there = job if job is not None and uid(job) == record.uid else None
            volume = observed.volume if observed is not None and observed.uid == record.uid else None
            self._ended(step, record.attempt, job_name, record.uid, there, AttemptState.FAILED, cause, volume)

    def _ended(
        self,
        step: str,
        number: int,
        job_name: str,
        job_uid: str,
        job: Manifest | None,
        state: AttemptState,
        cause: Cause | None,
        volume: VolumeUse | None,
    ) -> None:
        self._note(
            Attempt(
                step=step,
                number=number,
                job=job_name,
                uid=job_uid,
                state=state,
                began=created(job) if job else None,
                ended=_ended_at(job) if job else None,
                cause=cause,
                volume=volume,
            )
        )

    def _note(self, attempt: Attempt) -> None:
        known = self._attempts.get(attempt.uid)
        if attempt.uid in self._taken:
            return
        if known is None or known.state is AttemptState.RUNNING:
            self._attempts[attempt.uid] = attempt


def _ended_at(job: Manifest) -> datetime | None:
    complete = moment(mapping(job.get("status")).get("completionTime"))
    failed = true_condition(job, "Failed")
    return complete or (moment(failed.get("lastTransitionTime")) if failed else None)
