"""Two lando on one queue: when the active one dies, freezes or is cut off, the other goes on; nothing is done twice."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.services.providing import wait_until
from tests.services.proxy import Proxy, proxy
from tests.services.rabbitmq import RabbitMQ
from tests.services.recorder import Call, Recorder, recorder
from tests.services.stack import Stack
from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(300)]

TAKEOVER_S = 10.0
"""After a crash; after a silence it is up to three heartbeats and a moment."""
SILENCE_S = 30.0
"""Within which a standby takes over from one that the broker no longer hears, however busy the machine is."""
_ACTIVE = re.compile(r"^(\S+ \S+Z) INFO \S+: Active on ", re.MULTILINE)


@dataclass(frozen=True)
class Daemon:
    """One lando, with what it asks of API and cluster, and its way to the broker."""

    name: str
    api: Recorder
    cluster: Recorder
    broker: Proxy

    def writes(self, since: float) -> list[Call]:
        """What it changed after that moment."""
        return self.api.writes(since) + self.cluster.writes(since)


@dataclass(frozen=True)
class Pair:
    """A whole site with two lando, of which ``first`` is active."""

    stack: Stack
    first: Daemon
    second: Daemon

    def times_active(self, daemon: Daemon) -> list[float]:
        """When it became active, in seconds since the epoch, by its log."""
        return [datetime.fromisoformat(text).timestamp() for text in _ACTIVE.findall(self.stack.log(daemon.name))]

    def wait_until_active(self, daemon: Daemon, times: int, limit_s: float) -> float:
        """The moment at which it became active for the n-th time."""
        wait_until(lambda: len(self.times_active(daemon)) >= times, limit_s, what=f"{daemon.name} being active")
        return self.times_active(daemon)[times - 1]


@pytest.fixture
def pair(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str) -> Iterator[Pair]:
    with ExitStack() as parts:
        stack = parts.enter_context(Stack(tmp_path, rabbitmq.url, queue_name))
        stack.start(("server", "watcher"))
        daemons = [_start_daemon(parts, stack, name) for name in ("lando", "lando-2")]
        yield Pair(stack, *daemons)


def _start_daemon(parts: ExitStack, stack: Stack, name: str) -> Daemon:
    broker = urlsplit(stack.amqp_url)
    daemon = Daemon(
        name,
        api=parts.enter_context(recorder(stack.url)),
        cluster=parts.enter_context(recorder(stack.cluster["url"], stack.cluster["ca_file"])),
        broker=parts.enter_context(proxy(str(broker.hostname), broker.port or 5672)),
    )
    stack.write_config(
        work_queue={"url": f"amqp://guest:guest@127.0.0.1:{daemon.broker.port}/%2F", "listen_queue": stack.queue},
        bespin_api={"url": f"{daemon.api.url}/api/v2", "token": stack.signin.daemon},
        lando_api={"url": f"{daemon.api.url}/api/lando/v1", "token": stack.signin.daemon},
        cluster_api_settings={"host": daemon.cluster.url, "namespace": stack.cluster["namespace"]},
    )
    stack.start_process(name)
    stack.wait_for(f"{stack.url_of(name)}/healthz")
    words = "Active on" if name == "lando" else "Standing by"
    wait_until(lambda: words in stack.log(name), 60, what=f"{words!r} of {name}")
    return daemon


@pytest.fixture
def user(pair: Pair) -> User:
    return User(pair.stack)


def assert_done_once(user: User, job: int) -> None:
    ended = user.wait_for_end(job, 180)
    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert {step["attempt"] for step in user.run(job)["steps"] if step["attempt"]} <= {1}, "no step was done twice"


def test_one_that_was_stopped_in_a_transition_does_nothing_more_until_the_other_is_killed(
    pair: Pair, user: User, record_property: Any
) -> None:
    """Its request was on its way when the process stopped, and arrives when the other has long gone on."""
    job = user.create_job("fastq-qc")
    pair.first.api.hold(is_write_of_a_run)
    user.act(job, "start")
    late = pair.first.api.wait_for_held()
    pid = pair.stack.pid("lando")

    stopped_at = time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        active_at = pair.wait_until_active(pair.second, 1, SILENCE_S)
        report(record_property, "stop (SIGSTOP) of the active lando", active_at - stopped_at)
        user.wait(job, lambda document: document["step"] == "S")
    finally:
        os.kill(pid, signal.SIGCONT)
    pair.first.api.release()

    wait_until(lambda: late.status is not None, 30, what="the answer to the late request")
    assert late.status == 412
    wait_until(lambda: "Standing by" in pair.stack.log("lando"), 60, what="the stopped one standing by")
    assert [one for one in pair.first.writes(active_at) if one is not late] == []

    killed_at = time.time()
    pair.stack.kill("lando-2")
    report(
        record_property, "kill -9 of the active lando", pair.wait_until_active(pair.first, 2, TAKEOVER_S) - killed_at
    )
    assert_done_once(user, job)


def test_one_that_is_cut_off_from_the_broker_does_nothing_more(pair: Pair, user: User, record_property: Any) -> None:
    """It is in the middle of a transition: the answer to its first effect comes when the other has long gone on."""
    job = user.create_job("fastq-qc")
    pair.first.api.hold(is_write_of_a_run, answer=True)
    user.act(job, "start")
    pair.first.api.wait_for_held()

    cut_at = time.time()
    pair.first.broker.freeze()
    active_at = pair.wait_until_active(pair.second, 1, SILENCE_S)
    report(record_property, "lost network between the active lando and the broker", active_at - cut_at)
    user.wait(job, lambda document: document["step"] == "S")
    pair.first.api.release()
    handed_back = 'lando_messages_total{command="start",outcome="handed back"} 1.0'
    wait_until(lambda: handed_back in pair.stack.metrics("lando"), 30, what="the end of its work")
    assert_done_once(user, job)

    assert pair.first.writes(active_at) == []
    pair.first.broker.freeze(False)
    pair.first.broker.cut()
    wait_until(lambda: "Standing by" in pair.stack.log("lando"), 60, what="the other one standing by")
    assert pair.first.writes(active_at) == []


def is_write_of_a_run(call: Call) -> bool:
    return call.method == "PUT" and call.path.startswith("/api/v2/admin/jobs/")


def report(record_property: Any, what: str, seconds: float) -> None:
    """Shown with ``pytest -s``, and kept in the report of a CI."""
    record_property(what, f"{seconds:.1f} s")
    print(f"\n{what}: the standby was active after {seconds:.1f} s")
