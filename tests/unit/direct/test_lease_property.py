"""Whatever happens to runs that share Jobs: no two of them believe at one time that they hold their Leases,
and none forgets what another has noted as complete.

Runs begin, take turns call by call, crash and are stopped, with clocks that are wrong and an API that fails them.
A history follows from its number; LANDO_TEST_LEASE_HISTORIES=0:5000 tries those.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

from tests.unit.direct.lease_holders import Fate, Runner, Site

MODELS = ("ab", "bc", "cd", "ab")
MOST = 6
ACTIONS = 120
PASSING_S = (0.5, 2.0, 4.0, 9.0, 15.0, 40.0)
SKEWS_S = (-3600.0, 0.0, 0.0, 3600.0)
HISTORIES = range(*map(int, os.environ.get("LANDO_TEST_LEASE_HISTORIES", "0:60").split(":")))


class History:
    """One history and what came of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.site = Site()
        self.seen = Counter[str]()
        self._chance = Random(number)
        self._trouble = self._chance.choice((0.0, 0.05, 0.2))
        """How often a call comes to grief."""

    def play(self) -> None:
        for _ in range(2):
            self._begin()
        for _ in range(ACTIONS):
            self._act()
            self._check()
        for one in self._running():
            one.crash()
        self._check_that_a_later_run_is_admitted()

    def _running(self) -> list[Runner]:
        return [one for one in self.site.holders if one.is_running]

    def _begin(self) -> None:
        chance = self._chance
        self.site.start(chance.choice(MODELS), chance.randrange(2), chance.choice(SKEWS_S))

    def _act(self) -> None:
        chance, running = self._chance, self._running()
        action = chance.choices(("go on", "begin", "pass", "late", "stop", "crash"), (70, 8, 8, 5, 2, 2))[0]
        if action == "begin" and len(running) < MOST:
            self._begin()
        elif action == "pass":
            self.site.time += chance.choice(PASSING_S)
        elif action == "late" and self.site.late:
            self.site.late.pop(chance.randrange(len(self.site.late)))()
        elif action == "stop" and running:
            chance.choice(running).is_stopped = True
        elif action == "crash" and running:
            chance.choice(running).crash()
        elif running:
            # Who slept least goes on most often, as if time passed evenly; anybody may be late.
            awake = [one for one in running if (one.wakes_at or 0.0) <= self.site.time]
            one = chance.choice(awake or running)
            one.step(chance.choice(list(Fate)) if chance.random() < self._trouble else Fate.ANSWERED)

    def _check(self) -> None:
        for one, other in self.site.overlaps():
            raise AssertionError(f"history {self.number}: {one.nonce} ({one.jobs}) and {other.nonce} ({other.jobs})")
        self.site.note()
        for one, unknown in self.site.forgotten():
            raise AssertionError(f"history {self.number}: {one.nonce} ({one.jobs}) has forgotten {sorted(unknown)}")
        self.seen["noted"] += bool(self.site.noted)
        self.seen["held"] += any(one.lease.held for one in self._running())
        self.seen["two apart"] += sum(one.lease.held for one in self._running()) > 1
        self.seen["refused"] += any(one.refusal for one in self.site.holders)
        self.seen["lost"] += any(one.lease.lost for one in self.site.holders)

    def _check_that_a_later_run_is_admitted(self) -> None:
        for jobs in sorted(set(MODELS)):
            last = self.site.start(jobs, 2, 0.0)
            for _ in range(300):
                if last.lease.held or not last.is_running:
                    break
                last.step()
            assert last.lease.held, f"history {self.number}: {last.refusal}"
            last.crash()


def test_no_two_runs_of_one_job_hold_at_one_time_and_none_forgets_what_is_complete() -> None:
    seen = Counter[str]()
    for number in HISTORIES:
        history = History(number)
        try:
            history.play()
        finally:
            for one in history.site.holders:
                if one.is_running:
                    one.crash()
        seen += Counter({what: 1 for what, times in history.seen.items() if times})
    print(dict(seen))
    for what, floor in (("held", 0.5), ("noted", 0.3), ("two apart", 0.05), ("refused", 0.2), ("lost", 0.05)):
        assert seen[what] > floor * len(HISTORIES), f"{what} in only {seen[what]} histories"
