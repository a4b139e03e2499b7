"""What is wrong from the start, on a site of processes: one clear sentence each, and nobody else is held up."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pika
import pytest
from lando.api import models as m
from lando.api.database import Database
from sqlalchemy import delete, select
from tests.services.providing import wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.vectors import BAD

if TYPE_CHECKING:
    from tests.services.stack import Stack
    from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(240)]

MESSAGES = {
    "malformed JSON": b'{"v": 1, "command": "start"',
    "a wrong type": b'{"v": 1, "id": "a", "command": "start", "job_id": ["1"]}',
    "an unknown command": b'{"v": 1, "id": "b", "command": "dance", "job_id": 1}',
    "an unknown job": b'{"v": 1, "id": "c", "command": "start", "job_id": 987654}',
    "a call of a foreign function": BAD["N5"],
    "no message at all": b"hello",
}


@contextmanager
def database(stack: Stack) -> Iterator[Database]:
    made = Database(f"sqlite:///{stack.folder / 'home' / 'lando.db'}")
    try:
        yield made
    finally:
        made.close()


def point_workflow_at(stack: Stack, job: int, url: str, **changes: Any) -> None:
    """What a workflow's administrator may have got wrong."""
    with database(stack) as site, site.write() as session:
        version = session.get_one(m.Job, job).workflow_version
        assert version is not None
        for name, value in {"url": url, **changes}.items():
            setattr(version, name, value)


def sentence_of(user: User, job: int) -> str:
    ended = user.wait(job, lambda document: bool(document["job_errors"]))
    assert ended["state"] == "E"
    return str(ended["job_errors"][0]["content"]).partition("\n")[0]


def test_messages_without_hope_are_put_aside_and_hold_up_nobody(user: User, stack: Stack, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(stack.queue, durable=True)
        for body in MESSAGES.values():
            channel.basic_publish("", stack.queue, body, pika.BasicProperties(delivery_mode=2))

        job = user.create_job("fastq-qc")
        user.act(job, "start")
        assert user.wait_for_end(job)["state"] == "F"

        dead = f"{stack.queue}.dead"
        wait_until(
            lambda: channel.queue_declare(dead, passive=True).method.message_count == len(MESSAGES),
            what="every bad message among the dead",
        )
        for body in MESSAGES.values():
            _, properties, found = channel.basic_get(dead, auto_ack=True)
            assert found in MESSAGES.values()
            reason = " ".join(str(value) for value in (properties.headers or {}).values())
            assert len(reason) > 20, f"no reason is told for {body!r}"
    assert "Traceback" not in stack.log("lando")


def test_a_workflow_that_is_not_at_its_url_is_named(user: User, stack: Stack) -> None:
    job = user.create_job("failing")
    point_workflow_at(stack, job, f"{stack.url}/nothing/here.cwl")
    user.act(job, "start")
    sentence = sentence_of(user, job)
    assert "here.cwl" in sentence
    assert "404" in sentence


def test_an_archive_that_climbs_out_of_its_folder_is_refused(user: User, stack: Stack) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped.cwl", "class: Workflow")
    kept = user.call("POST", "/api/lando/v1/files", params={"name": "climbing.zip"}, data=packed.getvalue())
    job = user.create_job("failing")
    point_workflow_at(stack, job, urlsplit(kept["url"]).path, type="zipped", workflow_path="escaped.cwl")
    user.act(job, "start")
    assert "../../escaped.cwl" in sentence_of(user, job)
    assert not list(stack.folder.rglob("escaped.cwl"))


def test_a_runtime_that_lacks_a_step_is_named(user: User, stack: Stack) -> None:
    with database(stack) as site, site.write() as session:
        assert session.scalars(select(m.JobRuntimeStep)).first()
        session.execute(delete(m.JobRuntimeStep).where(m.JobRuntimeStep.step_type == "organize_output"))
    job = user.create_job("failing")
    user.act(job, "start")
    assert "organize_output" in sentence_of(user, job)
