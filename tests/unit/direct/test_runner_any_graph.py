"""Any graph, whatever ends when: each Job runs once, in order, within the limit, as an oracle finds afterwards."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lando.direct.events import JobCompleted, JobFailed, Outcome
from lando.phases.model import Model
from lando.runs import OnFailure
from tests.unit.direct.running import World, entry, model, run


@dataclass(frozen=True)
class Case:
    """A model, which Jobs fail, and the order in which what is at work ends."""

    model: Model
    failing: frozenset[str]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    phases, jobs = [], []
    for phase in range(draw(st.integers(1, 3))):
        entries: list[Any] = []
        for number in range(draw(st.integers(1, 4))):
            name = f"p{phase}e{number}"
            needs = draw(st.lists(st.sampled_from([one.name for one in entries]), unique=True)) if entries else []
            names = [f"{name}-{file}" for file in range(draw(st.integers(1, 2)))]
            entries.append(entry(name, *names, phase=phase, needs=needs))
            jobs += names
        phases.append(draw(st.permutations(entries)))
    failing = draw(st.just(set()) | st.sets(st.sampled_from(jobs), max_size=2))
    limit, on_failure = draw(st.integers(0, 3)), draw(st.sampled_from(OnFailure))
    one = model(*phases, parallelization=limit, on_failure=on_failure)
    return Case(one, frozenset(failing), draw(st.integers(0, 2**16)))


def needs_of(one: Model) -> Mapping[str, set[str]]:
    """What must be complete before each Job begins, by name."""
    found, before = {}, set[str]()
    for phase in one.phases:
        names = {its.name: {job.name for job in its.jobs} for its in phase.entries}
        for its in phase.entries:
            for job in its.jobs:
                found[job.name] = before.union(*(names[need] for need in its.depends_on))
        before = before.union(*names.values())
    return found


def assert_right(world: World, case: Case) -> None:
    """Of what was made when."""
    needs, complete, at_work = needs_of(case.model), set[str](), set[str]()
    limit = case.model.settings.parallelization or len(needs)
    made: set[str] = set()
    for what, job in world.history:
        if what == "made":
            assert job not in made, f"{job} was made twice"
            assert needs[job] <= complete, f"{job} was made before {needs[job] - complete}"
            made.add(job)
            at_work.add(job)
            assert len(at_work) <= limit
        elif what == "ended":
            at_work.discard(job)
            complete |= {job} - case.failing
    assert not at_work


LAST_OF_ALL = Case(model([entry("a"), entry("b"), entry("c")], on_failure=OnFailure.REVERT), frozenset({"a"}), 1)


@example(LAST_OF_ALL)
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_any_graph_runs_in_a_right_order(case: Case) -> None:
    world = World()
    world.outcomes = lambda job: int(job in case.failing)
    world.choose = random.Random(case.seed).choice
    try:
        told = run(world, case.model)
        assert_right(world, case)
        needs, made = needs_of(case.model), set(world.made())
        failed = made & case.failing
        assert told.ended.outcome is (Outcome.FAILED if failed else Outcome.COMPLETE)
        assert set(told.jobs(JobFailed)) == failed
        assert set(told.jobs(JobCompleted)) == made - failed
        if not failed:
            assert made == set(needs)
        elif case.model.settings.on_failure is OnFailure.CONTINUE:
            assert made == able(needs, case.failing)
        elif case.model.settings.on_failure is OnFailure.REVERT:
            assert world.jobs() == []
    finally:
        world.close()


def able(needs: Mapping[str, set[str]], failing: frozenset[str]) -> set[str]:
    """The Jobs that depend on none that fails."""
    able: set[str] = set()
    while more := {job for job, its in needs.items() if its <= able - failing} - able:
        able |= more
    return able
