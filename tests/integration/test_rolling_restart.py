"""Every process is replaced by a new one, one after the other, while jobs run and users ask for things."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.chaos.accounting import violations
from tests.chaos.gathering import gather
from tests.chaos.load import Users, make_plans
from tests.chaos.site import PARTS, Site, site
from tests.services.postgres import require_driver
from tests.services.providing import wait_until

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("postgres"), pytest.mark.timeout(400)]

JOBS = 20
SERVERS = ("server", "server-2")


@pytest.fixture
def running() -> Iterator[Site]:
    require_driver()
    with tempfile.TemporaryDirectory(prefix="lando-rolling-") as folder, site(Path(folder)) as made:
        yield made


class PatientUsers(Users):
    """Behind a client that goes to the other server when one can't be reached, and takes every answer as it is."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.turns = 0
        self.refusals: list[str] = []

    def _ask(self, method: str, path: str, **arguments: Any) -> requests.Response | None:
        for _ in range(2 * len(SERVERS)):
            server = self.site.stack.url_of(SERVERS[self.turns % len(SERVERS)])
            try:
                answer = self._session.request(
                    method,
                    server + path,
                    headers={"Authorization": f"Token {self.site.stack.signin.user}"},
                    timeout=60,
                    **arguments,
                )
            except requests.ConnectionError:
                self.turns += 1
                continue
            if answer.status_code >= 500 or answer.status_code == 429:
                self.refusals.append(f"{method} {server}{path}: {answer.status_code} {answer.text}")
            return answer
        self.refusals.append(f"{method} {path}: no server was there")
        return None


def test_every_process_is_replaced_under_load_and_nobody_notices(running: Site) -> None:
    users = PatientUsers(running, make_plans(JOBS, random.Random(8)))
    users.create()
    users.begin()
    try:
        for number, part in enumerate(PARTS, start=1):
            users.allow(number * JOBS // len(PARTS))
            assert running.stack.kill(part, signal.SIGTERM) == 0
            running.stack.start_process(part)
            running.stack.wait_for(f"{running.stack.url_of(part)}/readyz")
            assert "Traceback" not in running.stack.log(part)
        deadline = time.monotonic() + 200
        wait_until(
            lambda: users.failure is not None or users.settled() == JOBS or time.monotonic() > deadline,
            250,
            what="the end of all jobs",
        )
    finally:
        users.end()
    assert users.failure is None
    found: list[str] = []

    def is_balanced() -> bool:
        found[:] = violations(gather(running, users.plans))
        return not found or time.monotonic() > deadline + 30

    wait_until(is_balanced, 120, what="the books")
    assert (found, users.refusals) == ([], [])
