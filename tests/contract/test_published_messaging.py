"""Peers that nobody changed: lando-messaging 2.1.0 and ours on one real broker, in both directions."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from lando.api.outbox import Connection, default_publishers
from lando.config import WorkQueueSettings
from lando.errors import UnsupportedVersion
from lando.messages import Command, Condition, Evidence, Message, codec
from lando.queues.rabbitmq.consumer import RabbitConsumer
from lando.queues.rabbitmq.publisher import RabbitPublisher
from lando.runs import Category
from tests.services.consuming import consuming
from tests.services.published import Published
from tests.services.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("lando-messaging"), pytest.mark.timeout(240)]

CLASSES = "lando_messaging.messaging"
STEPS = {
    "stage_data": "stage_job",
    "run_workflow": "run_job",
    "organize_output": "organize_output",
    "save_output": "store_job_output",
    "record_output_project": "record_output_project",
}
"""Step types and how the published package's commands name them."""


def payload(stem: str, job: Any = 42, machine: str | None = None) -> dict[str, Any]:
    """What its client is given of a step that has ended."""
    ends = {"success_command": f"{stem}_complete", "error_command": f"{stem}_error"}
    return {"job_id": job, "vm_instance_name": machine, **ends}


@pytest.fixture
def settings(rabbitmq: RabbitMQ, queue_name: str) -> WorkQueueSettings:
    return WorkQueueSettings(listen_queue=queue_name, url=rabbitmq.url)


@pytest.fixture
def publisher(settings: WorkQueueSettings) -> Iterator[RabbitPublisher]:
    with contextlib.closing(RabbitPublisher(settings)) as publisher:
        yield publisher


def test_whatever_its_client_sends_is_understood(published: Published, settings: WorkQueueSettings) -> None:
    commands = [(name, job) for name in ("start_job", "restart_job", "cancel_job") for job in (42, "43", 2**31)]
    complete = [stem for step, stem in STEPS.items() if step != "save_output"]
    log = "exit status 1 — ü\n" * 3
    published.send(
        settings.listen_queue,  # which it declares
        *commands,
        *(("job_step_complete", payload(stem, "7")) for stem in complete),
        ("job_step_store_output_complete", payload("store_job_output", 7), None),
        *(("job_step_error", payload(stem), log) for stem in STEPS.values()),
        ("start_debug", 42),
        ("cancel_debug", "42"),
        ("version", "2.9.7"),
        ("start_job", 1),
        ("version", "3.0.0"),
        ("start_job", 2),
    )
    with consuming(lambda: RabbitConsumer(settings, prefetch=50)) as work:
        bodies = [delivery.body for delivery in work.wait_for(len(commands) + 2 * len(STEPS) + 4, 60)]
        for delivery in work.deliveries:
            delivery.ack()
    with pytest.raises(UnsupportedVersion, match=r"'3\.0\.0'"):
        codec.decode(bodies.pop())
    messages = [codec.decode(body) for body in bodies]

    kinds = {"start_job": Command.START, "restart_job": Command.RESTART, "cancel_job": Command.CANCEL}
    expected: list[tuple[Command, int, Evidence | None]] = [(kinds[name], int(job), None) for name, job in commands]
    done = [step for step in STEPS if step != "save_output"] + ["save_output"]
    expected += [(Command.STEP_CHANGED, 7, Evidence(step=step, condition=Condition.COMPLETE)) for step in done]
    expected += [
        (Command.STEP_CHANGED, 42, Evidence(step=step, condition=Condition.FAILED, log_tail=log)) for step in STEPS
    ]
    expected += [(Command.DEBUG, 42, None)] * 2 + [(Command.START, 1, None)]
    assert [(message.command, message.run_id, message.evidence) for message in messages] == expected


def test_its_router_carries_out_every_command_of_our_api(
    published: Published, rabbitmq: RabbitMQ, settings: WorkQueueSettings
) -> None:
    place = {"url": rabbitmq.url, "host": "", "username": "", "password": ""}
    connection = Connection(id=1, queue=settings.listen_queue, message_format="pickle", **place)
    with published.router(settings.listen_queue) as calls, contextlib.closing(default_publishers(connection)) as ours:
        for command in (Command.START, Command.RESTART, Command.CANCEL):
            message = Message(command=command, run_id=42, generation=3)
            ours.publish(settings.listen_queue, codec.encode(message, "pickle")).result(60)
        seen = list(itertools.islice(calls, 3))
    for name, call in zip(("Start", "Restart", "Cancel"), seen, strict=True):
        assert call == {
            "command": f"{name.lower()}_job",
            "class": f"{CLASSES}.{name}JobPayload",
            "payload": {"job_id": "42"},
            "version": "2.1.0",
        }


def test_its_router_carries_out_every_report_of_our_watcher(
    published: Published, publisher: RabbitPublisher, settings: WorkQueueSettings
) -> None:
    def report(step: str, condition: Condition, **more: Any) -> bytes:
        evidence = Evidence(step=step, condition=condition, **more)
        return codec.encode(Message(command=Command.STEP_CHANGED, run_id=7, evidence=evidence), "pickle")

    bodies = [report(step, Condition.COMPLETE) for step in STEPS]
    told = {"category": Category.RESOURCES, "cause": "Out of memory — ü.", "log_tail": "Killed\n", "exit_code": 137}
    bodies += [report(step, Condition.FAILED, **told) for step in STEPS]
    for body in bodies:  # we declare the queue, and only then does it begin to consume
        publisher.publish(settings.listen_queue, body).result(60)
    with published.router(settings.listen_queue) as calls:
        seen = list(itertools.islice(calls, len(bodies)))

    assert [call["command"] for call in seen] == [
        f"{stem}_{end}" for end in ("complete", "error") for stem in STEPS.values()
    ]
    common = {"job_id": "7", "vm_instance_name": None}
    for call, step in zip(seen[: len(STEPS)], STEPS, strict=True):
        is_save = step == "save_output"
        assert call["class"] == f"{CLASSES}.JobStep{'StoreOutput' if is_save else ''}CompletePayload"
        assert call["payload"] == common | ({"output_project_info": None} if is_save else {})
    for call in seen[len(STEPS) :]:
        assert call["class"] == f"{CLASSES}.JobStepErrorPayload"
        message = call["payload"].pop("message")
        assert call["payload"] == common
        assert "Out of memory — ü." in message
        assert "Killed" in message


def test_its_notices_and_ours_go_through_one_exchange(
    published: Published, rabbitmq: RabbitMQ, publisher: RabbitPublisher
) -> None:
    notice = {"job": 42, "state": "R", "step": "S"}
    with rabbitmq.connect() as listener:
        channel = listener.channel()
        channel.exchange_declare("job_status", exchange_type="fanout")
        mine = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(mine, "job_status")
        published.notify("job_status", json.dumps(notice))
        publisher.notify(json.dumps(notice).encode())
        published.notify("job_status", json.dumps(notice))
        bodies = []
        for _, _, body in channel.consume(mine, auto_ack=True, inactivity_timeout=60):
            assert body is not None, "no more notices"
            bodies.append(json.loads(body))
            if len(bodies) == 3:
                break
    assert bodies == [notice] * 3
