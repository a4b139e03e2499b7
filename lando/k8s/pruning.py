"""What ended runs still hold and need not keep: objects and volumes in the cluster, logs in the archive. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from lando.config import RetentionSettings
from lando.k8s.holdings import Holding
from lando.runs import RunState, RunSummary

LOGS = "logs and evidence"
ENDED = frozenset({RunState.FINISHED, RunState.ERROR, RunState.CANCELED, RunState.DELETED})
"""Only what runs in these states hold is ever prunable."""


class Held(Enum):
    """Where a run holds something."""

    CLUSTER = "cluster"
    ARCHIVE = "archive"


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """What one run holds in one place."""

    run_id: int
    where: Held
    what: str
    """In words, e.g. ``1 Job, 2 volumes, the run record``."""
    size: int
    """Bytes: of the volumes what was asked for, of logs what they take."""
    kind: str = "cwl"
    state: RunState | None = None
    """None for a run that the API does not know."""
    ended: datetime | None = None

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "run": self.run_id,
            "state": self.state.value if self.state else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "where": self.where.value,
            "what": self.what,
            "bytes": self.size,
        }


def prunable(
    held: Mapping[int, Holding],
    archived: Mapping[int, int],
    runs: Mapping[int, RunSummary],
    *,
    now: datetime,
    retention: RetentionSettings,
    older_than: timedelta | None = None,
) -> list[Prunable]:
    """By run, what may go: by the site's retention, or of all runs that ended longer ago than ``older_than``.

    ``archived`` is the size of each run's logs in bytes; they go when the run holds nothing else any more. Unfinished
    runs, runs that the API does not know, and failures whose owner has still to be told keep everything.
    """
    kept_s = {RunState.FINISHED: retention.finished_s, RunState.ERROR: retention.failed_s}
    found = []
    for run_id in sorted(held.keys() | archived.keys()):
        run, holding = runs.get(run_id), held.get(run_id, Holding())
        if run is None or run.state not in ENDED or run.changed is None:
            continue
        if holding.record is not None and holding.record.failure is not None:
            continue
        what = holding.in_words()
        if not what and run_id not in archived:
            continue
        where = Held.CLUSTER if what else Held.ARCHIVE  # Jobs that are removed leave their logs first
        least_s = kept_s.get(run.state, 0) if what else retention.archive_s
        if now - run.changed > (timedelta(seconds=least_s) if older_than is None else older_than):
            size = holding.volume_mib << 20 if what else archived[run_id]
            found.append(
                Prunable(
                    run_id=run_id,
                    where=where,
                    what=what or LOGS,
                    size=size,
                    kind=run.kind,
                    state=run.state,
                    ended=run.changed,
                )
            )
    return found


def unknown(run_id: int, holding: Holding, archived: int | None) -> Iterator[Prunable]:
    """What a run holds that the API does not know; ``archived`` is the size of its logs, if it has any."""
    if what := holding.in_words():
        yield Prunable(run_id=run_id, where=Held.CLUSTER, what=what, size=holding.volume_mib << 20)
    if archived is not None:
        yield Prunable(run_id=run_id, where=Held.ARCHIVE, what=LOGS, size=archived)
