"""The users' part: jobs with a fate each, and people who start, cancel and restart them through everything."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import requests
from tests.chaos.site import STEPS, Site

ENDED = frozenset("FEC")
LETTERS = "VSRoOP"
LOOK_S = 0.5
"""Between two looks of the users at their jobs."""


class Fate(Enum):
    """What becomes of a job."""

    FINISHES = "finishes"
    FAILS = "fails"
    RESTARTED = "fails and is restarted"
    CANCELED = "is canceled"
    RESUMED = "is canceled and restarted"


WEIGHTS = {Fate.FINISHES: 55, Fate.FAILS: 15, Fate.RESTARTED: 10, Fate.CANCELED: 12, Fate.RESUMED: 8}


@dataclass
class Plan:
    """One job: what it is meant to do, and what its user did so far."""

    fate: Fate
    fails_in: str = ""
    """The step that ends with ``code`` in the job's first life."""
    code: int = 0
    canceled_in: str = ""
    """The letter at which its user asks for a cancel; who is late finds the job ended."""
    seconds: float = 0.1
    """How long each step takes."""
    job: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    """Commands that the API took, by name."""
    settled: bool = False
    """Whether its user has nothing more to ask for and has seen its end."""


def make_plans(count: int, rng: random.Random) -> list[Plan]:
    """``count`` jobs; every fate at least once where there are enough."""
    fates = list(Fate)[:count] + rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=max(count - len(Fate), 0))
    rng.shuffle(fates)
    plans = []
    for fate in fates:
        plan = Plan(fate, seconds=round(rng.uniform(0.05, 0.4), 2))
        if fate in (Fate.FAILS, Fate.RESTARTED):
            plan.fails_in, plan.code = rng.choice(STEPS), rng.randint(1, 98)
        if fate in (Fate.CANCELED, Fate.RESUMED):
            plan.canceled_in = rng.choice("VSRoO")
        plans.append(plan)
    return plans


class Users:
    """Creates the jobs, then looks after each until its end; a request that fails is made again."""

    def __init__(self, site: Site, plans: Sequence[Plan]) -> None:
        self.site = site
        self.plans = plans
        self.refused = 0
        """Requests that met a fault and were made again."""
        self._session = requests.Session()
        self._session.trust_env = False
        self._stop = threading.Event()
        self._allowed = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._look_after, name="users", daemon=True)

    def create(self) -> None:
        """Make all jobs, before anything fails: a repeated creation would be a second job."""
        tag = self.site.create_workflow()
        for plan in self.plans:
            plan.job = self.site.create_job(tag)
            self.site.write_plan(plan.job, plan.seconds, plan.fails_in, plan.code)

    def begin(self) -> None:
        self._thread.start()

    def allow(self, count: int) -> None:
        """Let the first ``count`` jobs be started."""
        self._allowed = max(self._allowed, min(count, len(self.plans)))

    def settled(self) -> int:
        return sum(plan.settled for plan in self.plans)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self._session.close()

    def _look_after(self) -> None:
        try:
            while not self._stop.wait(LOOK_S):
                self._look()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error

    def _look(self) -> None:
        looked_after = self.plans[: self._allowed]
        for plan in looked_after:
            if not plan.accepted:
                self._act(plan, "start", "A")
        listed = self._ask("GET", "/api/v2/jobs/")
        if listed is None:
            return
        documents = {document["id"]: document for document in listed.json()}
        for plan in looked_after:
            if plan.accepted and not plan.settled:
                self._go_on(plan, documents[plan.job])

    def _go_on(self, plan: Plan, document: Any) -> None:
        state, step = document["state"], document["step"]
        is_first_life = not plan.accepted["restart"]
        if state == "R" and plan.canceled_in and not plan.accepted["cancel"]:
            if step and LETTERS.index(step) >= LETTERS.index(plan.canceled_in):
                self._act(plan, "cancel", "R")
        elif plan.fate is Fate.RESTARTED and state == "E" and is_first_life:
            self.site.write_plan(plan.job, plan.seconds)
            self._act(plan, "restart", "E")
        elif plan.fate is Fate.RESUMED and state == "C" and is_first_life:
            self._act(plan, "restart", "C")
        elif state in ENDED:
            plan.settled = True

    def _act(self, plan: Plan, action: str, state: str) -> None:
        """Ask for ``action`` on a job seen in ``state``; noted only when it is certain that the API took it."""
        answer = self._ask("POST", f"/api/v2/jobs/{plan.job}/{action}/", json={})
        if answer is None:
            return
        if answer.ok:
            plan.accepted[action] += 1
        elif answer.status_code in (400, 409) and action == "start":
            plan.accepted[action] += 1  # an earlier request was taken, and its answer lost
        elif answer.status_code not in (400, 409):
            raise AssertionError(f"{action} of job {plan.job}: {answer.status_code} {answer.text}")

    def _ask(self, method: str, path: str, **arguments: Any) -> requests.Response | None:
        """One request; None when it met a fault."""
        try:
            answer = self._session.request(
                method,
                self.site.users_url + path,
                headers={"Authorization": f"Token {self.site.stack.signin.user}"},
                timeout=10,
                **arguments,
            )
        except requests.RequestException:
            self.refused += 1
            return None
        if answer.status_code >= 500 or answer.status_code == 429:
            self.refused += 1
            return None
        return answer
