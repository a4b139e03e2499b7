"""Models made up at random run in a correct order, whatever ends when; an oracle judges by what the cluster saw.

``LANDO_PHASES_SEED`` makes up other models, ``LANDO_PHASES_JOBS`` larger ones.
"""

from __future__ import annotations

import os
import random

import pytest
from lando.direct.events import Ended, Event, JobCompleted, JobCreated, Outcome
from lando.direct.runner import run
from tests.services.phased import History, Moment, faults, needs, random_files, read_files
from tests.services.played_cluster import PlayedCluster, Player

SEED = int(os.environ.get("LANDO_PHASES_SEED", "1"))
JOBS = int(os.environ.get("LANDO_PHASES_JOBS", "500"))


class Told:
    """Everything that a run tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def played(seed: int, jobs: int, **config: object) -> tuple[list[str], list[Event]]:
    """What was wrong with the run of a model of that many Jobs, and what it told."""
    chance = random.Random(seed)
    model = read_files(random_files(chance, jobs, **config))  # type: ignore[arg-type]
    cluster, told = PlayedCluster(), Told()
    with History(cluster) as history, Player(model, cluster, chance) as player:
        assert run(model, cluster, listener=told, stop=player.stop) is Outcome.COMPLETE, told.events[-3:]
        history.wait_for_all(model)
    found = faults(model, history.moments)
    cluster.close()
    return found, told.events


def test_five_hundred_jobs_with_random_dependencies_run_in_a_correct_order() -> None:
    found, told = played(SEED, JOBS, phases=5, parallelization=12)
    assert found == []
    assert sum(isinstance(event, JobCreated) for event in told) == JOBS
    assert sum(isinstance(event, JobCompleted) for event in told) == JOBS
    assert isinstance(told[-1], Ended)


@pytest.mark.parametrize("seed", range(SEED * 100, SEED * 100 + 8))
def test_small_models_of_every_shape_run_in_a_correct_order(seed: int) -> None:
    chance = random.Random(seed)
    jobs = chance.randint(2, 25)
    limit = chance.choice([0, 0, 1, 2, 5])
    found, _ = played(seed, jobs, phases=chance.randint(1, min(jobs, 4)), parallelization=limit)
    assert found == []


@pytest.mark.parametrize("seed", range(SEED * 100, SEED * 100 + 6))
def test_what_does_not_depend_on_failed_jobs_goes_on_where_that_is_wanted(seed: int) -> None:
    chance = random.Random(seed)
    model = read_files(random_files(chance, 20, phases=2, parallelization=chance.choice([0, 3]), on_failure="continue"))
    wanted = needs(model)
    failing = set(chance.sample(sorted(job for job, before in wanted.items() if len(before) < 4), 2))
    cluster, told = PlayedCluster(), Told()
    with Player(model, cluster, chance, failing) as player:
        assert run(model, cluster, listener=told, stop=player.stop) is Outcome.FAILED, told.events[-3:]
    made = {job["metadata"]["name"] for job in cluster.list("Job")}
    complete = made - failing
    assert made == {job for job, before in wanted.items() if before <= complete}
    assert {event.job for event in told.events if isinstance(event, JobCompleted)} == complete
    cluster.close()


def test_the_oracle_finds_what_is_wrong() -> None:
    model = read_files(random_files(random.Random(3), 6, phases=2, parallelization=1))
    wanted = needs(model)
    first = next(name for name, before in wanted.items() if not before)
    last = next(name for name, before in wanted.items() if before)
    early = faults(model, [Moment("made", last, "1")])
    assert any(f"{last} was made before" in fault for fault in early)
    twice = faults(model, [Moment("made", first, "1"), Moment("made", first, "2")])
    assert f"{first} was made twice" in twice
    others = [name for name in wanted if name != first][:1]
    crowded = faults(model, [Moment("made", first, "1"), *(Moment("made", name, "2") for name in others)])
    assert any("at work at once" in fault for fault in crowded)
    assert f"{first} was never complete" in early
    assert f"{first} was gone" in faults(model, [Moment("gone", first, "1")])
