"""A site with two of each daemon and API server, on PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.postgres import LocalPostgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack
from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("postgres"), pytest.mark.timeout(240)]


@pytest.fixture
def stack(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str, postgres_server: LocalPostgres) -> Iterator[Stack]:
    with Stack(tmp_path, rabbitmq.url, queue_name, database_url=postgres_server.url()) as running:
        running.start(("server", "lando", "watcher"))
        running.start(("server-2", "lando-2", "watcher-2"))  # so that the first ones are at work
        yield running


def test_a_job_goes_on_with_the_second_ones_and_after_a_crash_of_the_database(
    stack: Stack, user: User, postgres_server: LocalPostgres
) -> None:
    job = user.create_job("fastq-qc")
    assert stack.request("POST", f"/api/v2/jobs/{job}/start/", server="server-2", json={}).ok
    user.wait(job, lambda document: document["step"] == "S")

    for name in ("lando", "watcher", "server"):
        stack.kill(name)
    postgres_server.stop(signal.SIGKILL)
    postgres_server.start()
    stack.start_process("server")  # the jobs' pods fetch from it
    stack.wait_for(f"{stack.url}/readyz")
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert {step["attempt"] for step in user.run(job)["steps"] if step["attempt"]} <= {1}, "no step was done twice"
