"""What the steps' programs wrote down: the only witness that is no part of Lando."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Attempt:
    """One pod of a step, which is one attempt: no Job makes a second pod."""

    job: int
    step: str
    pod: str
    began: float
    """Seconds since the epoch, as all times here."""
    ended: float | None = None
    outcome: str = ""
    """``success``, ``exit-<code>``, ``stopped`` or ``lost-data``; empty when it was killed."""
    overlapped: bool = False
    """Whether another attempt of the step ran when it began."""


@dataclass
class Journal:
    """All attempts, by job and step, in the order in which they began."""

    attempts: dict[tuple[int, str], list[Attempt]] = field(default_factory=lambda: defaultdict(list))

    def of_job(self, job: int) -> list[Attempt]:
        found = [attempt for (one, _), many in self.attempts.items() if one == job for attempt in many]
        return sorted(found, key=lambda attempt: attempt.began)

    def __len__(self) -> int:
        return sum(len(many) for many in self.attempts.values())


def read(lines: Iterable[str]) -> Journal:
    """The attempts that ``lines`` tell of; raises ValueError for a line that no program of ours writes."""
    journal = Journal()
    by_pod: dict[str, Attempt] = {}
    overlapping = set()
    for line in lines:
        when, job, step, pod, word = line.split()
        if word == "overlap":
            overlapping.add(pod)
        elif word == "begin":
            if pod in by_pod:
                raise ValueError(f"the pod {pod} began twice")
            by_pod[pod] = Attempt(int(job), step, pod, float(when), overlapped=pod in overlapping)
            journal.attempts[int(job), step].append(by_pod[pod])
        else:
            by_pod[pod].ended, by_pod[pod].outcome = float(when), word
    return journal
