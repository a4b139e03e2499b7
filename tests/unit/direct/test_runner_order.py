"""Phases one after the other, entries by what they depend on, never more at once than allowed."""

from __future__ import annotations

from lando.direct.events import JobCreated, Outcome, PhaseBegan
from tests.unit.direct.running import World, entry, model, run


def test_phases_run_one_after_the_other(world: World) -> None:
    told = run(world, model([entry("a"), entry("b")], [entry("c", phase=1)]))
    assert told.ended.outcome is Outcome.COMPLETE
    assert [one.index for one in told.of(PhaseBegan)] == [0, 1]
    assert sorted(told.jobs(JobCreated)[:2]) == ["a", "b"]
    assert world.history[-2:] == [("made", "c"), ("ended", "c")]
