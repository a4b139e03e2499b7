"""The books at the end: what was promised against what the database, the journal, the cluster and the queues say.

Pure: from :class:`Facts` to sentences, one for each breach of the promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from tests.chaos.journal import Attempt, Journal
from tests.chaos.load import LETTERS, Fate, Plan
from tests.chaos.site import Disturbance

STEP_LETTERS = {"stage_data": "S", "run_workflow": "R", "organize_output": "o", "save_output": "O"}
MARGIN_S = 1.0
"""Between a fault and what it does, as far as processes notice it later than the harness notes it."""


@dataclass(frozen=True)
class Change:
    """One row of a job's history."""

    state: str
    step: str
    at: float


@dataclass
class JobFacts:
    """What the database says of one job."""

    state: str
    step: str
    history: Sequence[Change]
    errors: Sequence[tuple[str, str, str]] = ()
    """Category, step letter and text of each."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    lost: Sequence[str] = ()
    """Of each attempt that failed: when it ended, its step and number, and the cause, as the daemon told them."""


@dataclass
class Facts:
    """Everything that is known at the end."""

    plans: Sequence[Plan]
    jobs: Mapping[int, JobFacts]
    journal: Journal
    disturbances: Sequence[Disturbance] = ()
    objects: Sequence[tuple[str, str, int]] = ()
    """Kind, name and job of what is left in the cluster."""
    commands_left: int = 0
    """Rows of the outbox."""
    messages_left: Mapping[str, int] = field(default_factory=dict)
    """By queue, the dead letters left out."""
    dead: Sequence[bytes] = ()
    garbage: Sequence[bytes] = ()
    """What was published to be put aside, and confirmed."""
    garbage_tried: Set[bytes] = frozenset()
    """The same, with what the broker may have got without saying so."""


def violations(facts: Facts) -> list[str]:
    """Every breach of the promise, as a sentence."""
    return list(_violations(facts))


def _violations(facts: Facts) -> Iterator[str]:
    for plan in facts.plans:
        if plan.job not in facts.jobs:
            yield f"job {plan.job} is lost: the database does not know it"
            continue
        job = facts.jobs[plan.job]
        for breach in (
            *_end(plan, job),
            *_history(job),
            *_attempts(job, facts.journal.of_job(plan.job), _of_job(facts.disturbances, plan.job)),
        ):
            told = "".join(f"\n    lost: {one}" for one in job.lost)
            yield f"job {plan.job} ({plan.fate.value}): {breach}{told}"
    for kind, name, job_id in facts.objects:
        state = facts.jobs[job_id].state if job_id in facts.jobs else "unknown"
        if state != "E":
            yield f"{kind} {name} is left of job {job_id}, whose state is {state}"
    if facts.commands_left:
        yield f"{facts.commands_left} commands were never published"
    for queue, count in facts.messages_left.items():
        if count:
            yield f"{count} messages are left in the queue {queue}"
    for body in set(facts.dead) - facts.garbage_tried:
        yield f"a message that is no garbage was put aside: {body[:200]!r}"
    for body in set(facts.garbage) - set(facts.dead):
        yield f"a garbage message was not put aside: {body[:80]!r}"


def _of_job(disturbances: Sequence[Disturbance], job: int) -> list[Disturbance]:
    return [one for one in disturbances if one.job in (None, job)]


def expected_end(plan: Plan, job: JobFacts) -> str:
    """What the last command that the API took leads to, and the job's program."""
    asked = [change.state for change in job.history if change.state in "Src"]
    if not asked:
        return "A"
    if asked[-1] == "c":
        return "C"
    return "E" if plan.fate is Fate.FAILS else "F"


def _end(plan: Plan, job: JobFacts) -> Iterator[str]:
    asked = Counter(change.state for change in job.history)
    for command, letter in (("start", "S"), ("cancel", "c"), ("restart", "r")):
        if asked[letter] < plan.accepted[command]:
            yield f"the API took {plan.accepted[command]} times {command}, its history knows {asked[letter]}"
    expected = expected_end(plan, job)
    if job.state != expected:
        told = "; ".join(text.partition("\n")[0] for _, _, text in job.errors)
        yield f"is {job.state}/{job.step} in the end, not {expected} {told}".rstrip()
    wanted = 1 if plan.fate in (Fate.FAILS, Fate.RESTARTED) else 0
    if len(job.errors) != wanted:
        yield f"{len(job.errors)} errors were told, not {wanted}: {[text[:100] for _, _, text in job.errors]}"
    for category, step, text in job.errors:
        if category != "user" or step != STEP_LETTERS.get(plan.fails_in) or f"code {plan.code}" not in text:
            yield f"the error is not the true one, exit code {plan.code} of {plan.fails_in}: {category}, {step}, {text}"


def _history(job: JobFacts) -> Iterator[str]:
    """Within a life steps only go forward, and no change is made twice."""
    reached = -1
    before: Change | None = None
    for change in job.history:
        if before is not None and (before.state, before.step) == (change.state, change.step):
            yield f"its history says {change.state}/{change.step} twice in a row"
        if change.state in "Sr":
            reached = -1
        elif change.state == "R" and change.step:
            at = LETTERS.index(change.step)
            if at <= reached:
                yield f"its history goes back to {change.step} from {LETTERS[reached]}"
            reached = at
        before = change


def _attempts(job: JobFacts, attempts: Sequence[Attempt], disturbances: Sequence[Disturbance]) -> Iterator[str]:
    latest: dict[str, Attempt] = {}
    canceled = [change.at for change in job.history if change.state == "c"]
    for attempt in attempts:
        if attempt.overlapped:
            yield f"two attempts of {attempt.step} ran at once: {attempt.pod} began beside another"
        if attempt.outcome == "lost-data":
            yield f"{attempt.step} ({attempt.pod}) did not find what the step before it wrote"
        at = _state_at(job, attempt.began)
        if at is None or (at.state, at.step) not in (("R", STEP_LETTERS[attempt.step]), ("c", at.step)):
            said = f"{at.state}/{at.step}" if at else "nothing"
            yield f"{attempt.step} ({attempt.pod}) began while the job was {said}"
        before = latest.get(attempt.step)
        in_one_life = before is not None and _life(job, before.began) == _life(job, attempt.began)
        if before is not None and in_one_life and not _disturbed(disturbances, before.began, attempt.began):
            yield f"{attempt.step} ran again ({attempt.pod}) though nothing befell {before.pod}: {before.outcome}"
        if not attempt.outcome or attempt.outcome == "stopped":
            until = attempt.began + 60
            if not _disturbed(disturbances, attempt.began, until) and not any(
                attempt.began - MARGIN_S <= when for when in canceled
            ):
                yield f"{attempt.step} ({attempt.pod}) was ended, though nothing had happened to it"
        latest[attempt.step] = attempt


def _disturbed(disturbances: Sequence[Disturbance], since: float, until: float) -> bool:
    return any(one.at - MARGIN_S <= until and one.until + MARGIN_S >= since for one in disturbances)


def _state_at(job: JobFacts, when: float) -> Change | None:
    """The job's state at that time, by the database."""
    before = [change for change in job.history if change.at <= when]
    return before[-1] if before else None


def _life(job: JobFacts, when: float) -> int:
    """How often the job had been put to work by then."""
    return sum(change.at <= when for change in job.history if change.state in "Sr")
