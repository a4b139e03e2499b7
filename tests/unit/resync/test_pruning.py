"""What of ended runs may go, and that nothing of others ever does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.config import RetentionSettings
from lando.decide import Failure, ObjectRef, RunRecord
from lando.k8s.holdings import Holding
from lando.k8s.pruning import Held, Prunable, prunable
from lando.runs import Category, Cause, RunState, RunSummary

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RETENTION = RetentionSettings()
FAILURE = Failure(step=None, cause=Cause(category=Category.USER, sentence="It exited with 3."))


def holding(failure: Failure | None = None) -> Holding:
    return Holding(
        objects={ObjectRef("PersistentVolumeClaim", "job-data-1-ada"): "u", ObjectRef("Job", "x"): "v"},
        record=RunRecord(uid="r", failure=failure),
        volume_mib=4096,
    )


def run(state: RunState, ago: timedelta | None) -> RunSummary:
    return RunSummary(id=1, state=state, steps={}, changed=None if ago is None else NOW - ago)


def pruned(
    state: RunState, ago: timedelta | None, older_than: timedelta | None = None, held: Holding | None = None
) -> list[Prunable]:
    held_by = {1: held} if held else {}
    return prunable(held_by, {1: 500}, {1: run(state, ago)}, now=NOW, retention=RETENTION, older_than=older_than)


@pytest.mark.parametrize(
    ("state", "ago", "older_than", "objects", "logs"),
    [
        (RunState.ERROR, 6 * DAY, None, False, False),
        (RunState.ERROR, 8 * DAY, None, True, False),
        (RunState.ERROR, 366 * DAY, None, True, True),
        (RunState.ERROR, 2 * DAY, DAY, True, True),
        (RunState.ERROR, 8 * DAY, 30 * DAY, False, False),
        (RunState.FINISHED, DAY, None, True, False),
        (RunState.CANCELED, DAY, None, True, False),
        (RunState.DELETED, 366 * DAY, None, True, True),
        (RunState.ERROR, None, timedelta(), False, False),  # nobody knows when it ended
        (RunState.RUNNING, 366 * DAY, timedelta(), False, False),
    ],
)
def test_what_may_go_by_state_and_age(
    state: RunState, ago: timedelta | None, older_than: timedelta | None, objects: bool, logs: bool
) -> None:
    assert [one.where for one in pruned(state, ago, older_than, holding())] == [Held.CLUSTER] * objects
    assert [one.where for one in pruned(state, ago, older_than)] == [Held.ARCHIVE] * logs


def test_it_is_said_what_and_how_much() -> None:
    (objects,) = pruned(RunState.ERROR, 2 * DAY, DAY, holding())
    (logs,) = pruned(RunState.ERROR, 2 * DAY, DAY)
    assert (objects.what, objects.size) == ("1 Job, 1 volume, the run record", 4 * 2**30)
    assert logs.document() == {
        "run": 1,
        "state": "Error",
        "ended": "2026-03-02T12:00:00+00:00",
        "where": "archive",
        "what": "logs and evidence",
        "bytes": 500,
    }


def test_what_is_going_already_is_not_counted() -> None:
    gone = Holding()
    assert prunable({1: gone}, {}, {1: run(RunState.ERROR, 9 * DAY)}, now=NOW, retention=RETENTION) == []


def test_a_failure_that_was_not_told_yet_keeps_everything() -> None:
    assert pruned(RunState.ERROR, 366 * DAY, DAY, holding(FAILURE)) == []


IDS = st.integers(1, 6)
AGES = st.timedeltas(timedelta(), timedelta(days=800))


@given(
    st.dictionaries(IDS, st.tuples(st.sampled_from(RunState), st.none() | AGES)),
    st.dictionaries(IDS, st.booleans()),
    st.dictionaries(IDS, st.integers(0, 2**40)),
    st.none() | AGES,
)
def test_unfinished_unknown_and_young_runs_lose_nothing(
    runs: dict[int, tuple[RunState, timedelta | None]],
    held: dict[int, bool],
    archived: dict[int, int],
    older_than: timedelta | None,
) -> None:
    summaries = {
        run_id: RunSummary(id=run_id, state=state, steps={}, changed=None if ago is None else NOW - ago)
        for run_id, (state, ago) in runs.items()
    }
    holdings = {run_id: holding(FAILURE if is_untold else None) for run_id, is_untold in held.items()}
    for one in prunable(holdings, archived, summaries, now=NOW, retention=RETENTION, older_than=older_than):
        state, ago = runs[one.run_id]
        assert state.value in ("Finished", "Error", "Canceled", "Deleted")
        assert ago is not None
        assert ago >= (older_than or timedelta())
        assert not held.get(one.run_id)
