"""How the part of a server stands that is about definitions, for its health and its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lando.definitions.manager import JobManager
from lando.definitions.signing import JobSigner
from lando.definitions.spec import V1Job
from lando.units import count

NAMED = 100
"""Definitions whose Jobs are counted by themselves, those with the most; the others are counted together."""
OTHERS = "(others)"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """All of it known already: nobody is asked for it."""

    definitions: int
    """In force."""
    problems: int
    is_watched: bool
    """Whether lists are answered from what a watch told."""
    to_keep: int
    """Jobs that are not yet in the archive."""
    is_archive_away: bool

    def words(self) -> str | None:
        """What is worth a word; nothing of it keeps the server from its work."""
        told = []
        if not self.is_watched:
            told.append("the cluster's Jobs can't be followed now, so that it is asked for each list")
        if self.is_archive_away:
            told.append(f"the archive is away, and {count(self.to_keep, 'Job')} wait to be kept")
        if self.problems:
            told.append(f"{count(self.problems, 'problem')} with definitions, which their healthcheck names")
        return "; ".join(told) or None


def counted(jobs: Iterable[V1Job], manager: JobManager) -> dict[tuple[str, str], int]:
    """``jobs`` by definition, no more than NAMED of them, and state."""
    counts = Counter(
        ((job.metadata.labels or {}).get(JobSigner.JOB_DEFINITION_NAME_KEY, ""), manager.job_status(job).value)
        for job in jobs
    )
    of_definitions: Counter[str] = Counter()
    for (definition, _), number in counts.items():
        of_definitions[definition] += number
    named = {definition for definition, _ in of_definitions.most_common(NAMED)}
    told: Counter[tuple[str, str]] = Counter()
    for (definition, state), number in counts.items():
        told[definition if definition in named else OTHERS, state] += number
    return dict(told)
