"""A flood of hostile messages on the real queue, before real daemons: they are put aside, and jobs go on among them.

``make hostile N=10000 SEED=7`` makes the flood as long as wanted and prints the figures.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest
from lando import queues
from lando.config import WorkQueueSettings
from lando.queues.dead import DeadLetter, Fate
from tests.services.hostile import bodies
from tests.services.providing import wait_until
from tests.services.rabbitmq import RabbitMQ

if TYPE_CHECKING:
    from tests.services.stack import Stack
    from tests.services.user import User

pytestmark = [
    pytest.mark.service("rabbitmq"),
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # pickletools's, of odd escapes
]

COUNT = int(os.environ.get("LANDO_HOSTILE_COUNT", "3000"))
SEED = int(os.environ.get("LANDO_HOSTILE_SEED", "7"))
WARM_UP = 500
"""Messages after which a daemon has made what it keeps: connections, buffers, caches."""
GROWTH_MIB = 100
"""Of resident memory from then on. The longest bodies, of 17 MiB, come and go; a leak of each body would take more."""
DRAINED_S = 600.0


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def reasons(rabbitmq: RabbitMQ, queue: str) -> Counter[str]:
    """Why letters lie among the dead ones, the numbers in the sentences left out."""
    found: Counter[str] = Counter()

    def keep(one: DeadLetter) -> Fate:
        found[re.sub(r"'[^']*'|\d+", "…", one.reason)[:80]] += 1
        return Fate.KEEP

    queues.dead_letters(WorkQueueSettings(listen_queue=queue, url=rabbitmq.url)).visit(keep, limit=COUNT + 1000)
    return found


def test_a_flood_of_hostile_messages_is_put_aside_and_jobs_go_on_among_it(
    user: User, stack: Stack, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    flood = bodies(SEED, canary)
    jobs = [user.create_job("fastq-qc") for _ in range(2)]
    daemons = {name: stack.pid(name) for name in ("lando", "watcher")}

    with closing(rabbitmq.connect()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        def count(queue: str) -> int:
            return int(channel.queue_declare(queue, durable=True).method.message_count)

        def publish(number: int) -> None:
            for body in islice(flood, number):
                channel.basic_publish("", stack.queue, body, pika.BasicProperties(delivery_mode=2))

        def wait_until_aside(number: int) -> None:
            wait_until(lambda: count(f"{stack.queue}.dead") >= number, DRAINED_S, what=f"{number} dead letters")

        publish(WARM_UP)
        wait_until_aside(WARM_UP)
        before = {name: resident_mib(pid) for name, pid in daemons.items()}
        began = time.monotonic()
        for job in jobs:
            publish((COUNT - WARM_UP) // len(jobs) // 2)
            user.act(job, "start")
            publish((COUNT - WARM_UP) // len(jobs) // 2)
        ends = [user.wait_for_end(job, DRAINED_S) for job in jobs]
        sent = WARM_UP + (COUNT - WARM_UP) // len(jobs) // 2 * 2 * len(jobs)
        wait_until_aside(sent)
        spent_s = time.monotonic() - began
        after = {name: resident_mib(pid) for name, pid in daemons.items()}
        assert count(f"{stack.queue}.dead") == sent, "nothing but the flood is put aside"
        assert count(stack.queue) == 0

    told = reasons(rabbitmq, stack.queue)
    print(f"\nseed {SEED}: {sent} hostile messages put aside, {sent - WARM_UP} of them in {spent_s:.0f} s; by reason:")
    for reason, number in told.most_common(12):
        print(f"{number:7} {reason}")
    for name in daemons:
        print(f"{name}: {before[name]:.0f} MiB of memory before, {after[name]:.0f} MiB after")

    assert [(end["state"], end["job_errors"]) for end in ends] == [("F", [])] * len(jobs)
    assert {name: stack.pid(name) for name in daemons if stack.is_running(name)} == daemons
    assert told.total() == sent
    assert not any(reason.startswith("Nobody noted") for reason in told)
    assert not canary.exists(), "something was unpickled"
    assert all(after[name] - before[name] < GROWTH_MIB for name in daemons), (before, after)
