"""What one run of the harness came to, as figures and as a table."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.chaos.accounting import Facts
from tests.chaos.schedule import Struck


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures; times in seconds."""

    seed: int
    jobs: int
    ends: Mapping[str, int]
    """Jobs by their last state."""
    fates: Mapping[str, int]
    faults: Mapping[str, int]
    steps: int
    """Steps that ended with success."""
    attempts: int
    """Pods of steps."""
    repeated: int
    """Attempts beyond the first of a step in a life of its job: infrastructure retries."""
    put_aside: int
    """Garbage messages in the dead-letter queue."""
    requests_repeated: int
    """Requests of the users that met a fault and were made again."""
    recovery_median_s: float | None
    """From the end of a fault to the next change of any job."""
    recovery_longest_s: float | None
    recovery_longest_after: str
    """Which fault that was; others may have gone on meanwhile."""
    wall_s: float
    violations: Sequence[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def recoveries(struck: Sequence[Struck], facts: Facts) -> list[tuple[float, str]]:
    """For each fault that jobs were at work after: how long until the next of them got on, and the fault's name."""
    changes = sorted(change.at for job in facts.jobs.values() for change in job.history if change.state in "RFEC")
    found = []
    for one in struck:
        at = bisect.bisect_left(changes, one.ended)
        if at < len(changes):
            found.append((changes[at] - one.ended, one.name))
    return found


def report(
    seed: int, facts: Facts, struck: Sequence[Struck], wall_s: float, repeated: int, found: Sequence[str]
) -> Report:
    """The figures of a run that is over."""
    attempts = [attempt for many in facts.journal.attempts.values() for attempt in many]
    took = recoveries(struck, facts)
    return Report(
        seed=seed,
        jobs=len(facts.plans),
        ends=dict(sorted(Counter(job.state for job in facts.jobs.values()).items())),
        fates=dict(sorted(Counter(plan.fate.value for plan in facts.plans).items())),
        faults=dict(sorted(Counter(one.name for one in struck).items())),
        steps=sum(attempt.outcome == "success" for attempt in attempts),
        attempts=len(attempts),
        repeated=sum(max(job.attempts.values(), default=1) > 1 for job in facts.jobs.values()),
        put_aside=len(set(facts.dead)),
        requests_repeated=repeated,
        recovery_median_s=median(seconds for seconds, _ in took) if took else None,
        recovery_longest_s=max(took)[0] if took else None,
        recovery_longest_after=max(took)[1] if took else "",
        wall_s=wall_s,
        violations=list(found),
    )


def table(one: Report) -> str:
    """For a reader."""
    words = {"F": "Finished", "E": "Error", "C": "Canceled"}
    ends = ", ".join(f"{count} {words.get(state, state)}" for state, count in one.ends.items())
    lines = [
        f"seed                     {one.seed}",
        f"jobs                     {one.jobs}: {ends}",
        *(f"  {count:4}  {fate}" for fate, count in one.fates.items()),
        f"faults                   {sum(one.faults.values())}",
        *(f"  {count:4}  {name}" for name, count in one.faults.items()),
        f"attempts of steps        {one.attempts}, {one.steps} of them with success",
        f"jobs with repeated steps {one.repeated}",
        f"garbage put aside        {one.put_aside}",
        f"requests made again      {one.requests_repeated}",
    ]
    if one.recovery_median_s is not None and one.recovery_longest_s is not None:
        lines.append(
            f"recovery after a fault   {one.recovery_median_s:.1f} s median, "
            f"{one.recovery_longest_s:.1f} s at most ({one.recovery_longest_after})"
        )
    lines.append(f"wall time                {one.wall_s:.0f} s")
    lines.append(f"breaches of the promise  {len(one.violations)}")
    lines += [f"  - {sentence}" for sentence in one.violations]
    return "\n".join(lines)
