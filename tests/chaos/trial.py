"""One run: jobs and faults side by side, then quiet, then the books."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.accounting import Facts, violations
from tests.chaos.gathering import gather
from tests.chaos.load import Users, make_plans
from tests.chaos.report import Report, report
from tests.chaos.schedule import Strikes, make_schedule
from tests.chaos.site import Site, site

log = logging.getLogger(__name__)

AT_ONCE = 12
"""Jobs that are started before the first fault, at most; the others follow as faults pass, so that each meets some."""
SETTLE_S = 900.0
"""For the last jobs to end once the faults are over, in seconds: they are many, and the machine may have other work."""
BOOKS_S = 60.0
"""For what follows the last end: deletions, messages under way."""


def run(folder: Path, *, jobs: int, seed: int, rounds: int, names: Sequence[str] = (), pace: float = 1.0) -> Report:
    """Put a site below ``folder`` to the test."""
    dice = random.Random(seed)
    plans = make_plans(jobs, dice)
    schedule = make_schedule(rounds, dice, names, pace=pace)
    began = time.monotonic()
    with site(folder) as running:
        users = Users(running, plans)
        users.create()
        at_once = min(AT_ONCE, len(plans) // 4 + 1)
        strikes = Strikes(running, schedule, lambda share: users.allow(at_once + round(share * len(plans))))
        users.allow(at_once)
        users.begin()
        strikes.begin()
        try:
            while not strikes.are_over:
                _raise_any(users, strikes)
                time.sleep(0.2)
            log.info("the faults are over")
            users.allow(len(plans))
            facts, found = _settled(running, users, strikes)
        finally:
            strikes.end()
            users.end()
        return report(seed, facts, strikes.struck, time.monotonic() - began, users.refused, found)


def _settled(running: Site, users: Users, strikes: Strikes) -> tuple[Facts, list[str]]:
    """The books once they are in order, or when there has been time enough."""
    until = time.monotonic() + SETTLE_S
    while users.settled() < len(users.plans) and time.monotonic() < until:
        _raise_any(users, strikes)
        time.sleep(0.2)
    log.info("every job has ended")
    until = time.monotonic() + BOOKS_S
    while True:
        facts = gather(running, users.plans)
        found = violations(facts)
        if not found or time.monotonic() > until:
            return facts, found
        time.sleep(1)


def _raise_any(users: Users, strikes: Strikes) -> None:
    for failure in (users.failure, strikes.failure):
        if failure is not None:
            raise failure
