"""The cluster's own faults are not the Jobs'; a stop leaves everything as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from lando.direct.events import JobCompleted, JobCreated, JobFailed, Outcome, Trouble
from lando.direct.lease import Lease
from lando.stopping import Stop
from tests.unit.direct.running import Told, World, entry, model, run

TWO = model([entry("a")], [entry("b", phase=1)])


def failing(world: World, *calls: str, times: int, status: int | None = None) -> Callable[[str], None]:
    left = dict.fromkeys(calls, times)

    def fail(call: str) -> None:
        for begin in left:
            if call.startswith(begin) and left[begin] > 0:
                left[begin] -= 1
                raise world.unavailable(status)

    return fail


@pytest.mark.parametrize("status", [None, 401, 403, 429, 503])
def test_an_outage_is_told_once_when_it_begins_and_once_when_it_is_over(world: World, status: int | None) -> None:
    world.before = failing(world, "create Job b", times=4, status=status)
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    assert world.count("create Job b") == 5
    begin, over = (one.sentence for one in told.of(Trouble))
    assert "does not answer" in begin
    assert "answers again" in over


def test_after_a_bounded_time_the_run_ends_and_leaves_its_jobs(world: World) -> None:
    world.before = failing(world, "create Job b", times=10**6)
    told = run(world, TWO, outage_s=300.0)
    assert told.ended.outcome is Outcome.UNREACHABLE
    assert "300 s" in told.ended.sentence
    assert 10 < world.count("create Job b") < 40  # with backoff
    assert world.jobs() == ["a"]


def test_a_cluster_that_is_away_from_the_beginning_is_given_up_after_a_bounded_time(world: World) -> None:
    world.before = failing(world, "", times=10**6)
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.UNREACHABLE
    assert world.made() == []


def test_a_watch_that_breaks_goes_on_unnoticed(world: World) -> None:
    world.before = failing(world, "watch Job", times=1)
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    assert told.of(Trouble) == []


def test_an_answer_that_is_lost_counts_as_created(world: World) -> None:
    """The Job is there, the call met an error; the next one is told that it exists."""
    lost = iter(["create Job a"])

    def lose(call: str) -> None:
        if call == "create Job a" and next(lost, None):
            raise world.unavailable()

    world.after = lose
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.COMPLETE
    assert told.jobs(JobCreated) == ["a", "b"]
    assert world.made() == ["a", "b"]


@pytest.mark.parametrize("kinds", [("Pod", "Event"), ("Job", "Pod", "Event")])
def test_without_the_right_to_watch_lists_take_its_place(world: World, kinds: tuple[str, ...]) -> None:
    world.before = failing(world, *(f"watch {kind}" for kind in kinds), times=10**6, status=403)
    world.outcomes = lambda job: 1 if job == "b" else 0
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.FAILED
    assert told.jobs(JobCompleted) == ["a"]
    (failed,) = told.of(JobFailed)
    assert failed.cause.exit_code == 1


def test_without_rights_to_pods_logs_and_events_there_are_only_fewer_words(world: World) -> None:
    world.before = failing(world, "list Pod", "watch Pod", "list Event", "watch Event", "log", times=10**6, status=403)
    world.outcomes = lambda job: 1 if job == "b" else 0
    told = run(world, TWO)
    assert told.ended.outcome is Outcome.FAILED
    (failed,) = told.of(JobFailed)
    assert failed.job == "b"
    assert failed.cause.sentence
    assert failed.cause.log_tail == ""


def test_a_log_that_can_not_be_read_does_not_hold_up_the_failure(world: World) -> None:
    world.before = failing(world, "log", times=10**6)
    world.outcomes = lambda job: 5
    told = run(world, model([entry("a")]))
    (failed,) = told.of(JobFailed)
    assert (failed.cause.exit_code, failed.cause.log_tail) == (5, "")


@pytest.mark.parametrize(("number", "outcome"), [(2, Outcome.INTERRUPTED), (15, Outcome.TERMINATED)])
def test_a_stop_leaves_the_jobs_and_lets_the_lease_go(world: World, number: int, outcome: Outcome) -> None:
    stop, told = Stop(), Told()
    stop.number = number
    told.on = lambda event: stop.set() if isinstance(event, JobCreated) else None
    world.outcomes = lambda job: None
    run(world, TWO, stop=stop, told=told)
    assert told.ended.outcome is outcome
    assert world.jobs() == ["a"]
    (lease,) = world.list("Lease")
    assert not lease["spec"]["holderIdentity"]
    world.outcomes = lambda job: 0
    assert run(world, TWO).ended.outcome is Outcome.COMPLETE
    assert world.made() == ["a", "b"]


def test_a_stop_does_not_wait_for_a_call_that_hangs(world: World) -> None:
    stop, released = threading.Event(), threading.Event()

    def hang(call: str) -> None:
        if call == "create Job a":
            stop.set()
            released.wait(60)

    world.before = hang
    told = run(world, TWO, stop=stop)
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("call ")]
    assert hanging
    assert all(thread.daemon for thread in hanging)  # nor does the process at its end
    released.set()
    assert told.ended.outcome is Outcome.INTERRUPTED


class Lost(Lease):
    """Taken over by another as soon as a Job was made."""

    @property
    def lost(self) -> str | None:
        return "Another run has taken over." if self.is_over else None

    @property
    def held(self) -> bool:
        return not self.is_over

    is_over = False


def test_a_run_that_lost_its_lease_does_nothing_more(world: World) -> None:
    leases: list[Lost] = []

    def make(*args: object, **options: object) -> Lost:
        leases.append(Lost(*args, **options))  # type: ignore[arg-type]
        return leases[0]

    told = Told()

    def lose(event: object) -> None:
        leases[0].is_over |= isinstance(event, JobCompleted)

    told.on = lose
    run(world, TWO, told=told, make_lease=make)
    assert told.ended.outcome is Outcome.REFUSED
    assert "taken over" in told.ended.sentence
    assert world.made() == ["a"]
