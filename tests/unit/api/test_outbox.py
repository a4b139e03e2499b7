"""The outbox: at least once, at once, whatever the broker does."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import Future
from datetime import timedelta

import pytest
from lando.api import outbox, setup
from lando.api.models import LandoConnection, PendingCommand, now
from lando.api.outbox import Outbox, pause_s
from lando.errors import ConfigError, Unavailable
from lando.messages import Command
from lando.queues import Publisher
from sqlalchemy import select, update
from tests.unit.api.serving import Api, FakeBroker

START_42_PICKLE = (
    "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0X2pvYnEEWAcAAABw"
    "YXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYAAABqb2JfaWRxCVgCAAAANDJxCnNiWAcA"
    "AAB2ZXJzaW9ucQtYBQAAADIuMS4wcQx1Yi4="
)


def add_command(api: Api, job_id: int = 42, command: str = "start", generation: int = 1) -> None:
    with api.site.database.write() as session:
        connection = session.scalars(select(LandoConnection)).one()
        session.add(
            PendingCommand(
                job_id=job_id,
                lando_connection_id=connection.id,
                command=command,
                generation=generation,
                message_id=f"m-{generation}",
            )
        )


def test_a_json_message_has_its_properties(api: Api) -> None:
    add_command(api)
    assert api.published() == [("start", 42)]
    assert api.broker.properties == [("lando", "application/json", "m-1")]
    assert api.broker.messages[0].command is Command.START


def test_a_pickle_is_the_originals_byte_for_byte_and_has_no_properties(api: Api) -> None:
    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(message_format="pickle"))
    add_command(api)
    api.site.outbox.drain()
    assert api.broker.bodies == [base64.b64decode(START_42_PICKLE)]
    assert api.broker.properties == [("lando", None, None)]


def test_a_command_that_another_server_is_publishing_is_left_alone(api: Api) -> None:
    add_command(api)
    with api.site.database.write() as session:
        session.execute(update(PendingCommand).values(due=now() + timedelta(seconds=30)))
    assert api.published() == []


def test_a_command_waits_for_no_clock_that_was_put_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "time_of", lambda _session: now() + timedelta(hours=3))
    api.broker.away = True
    add_command(api)
    assert api.published() == []
    monkeypatch.undo()
    api.broker.away = False
    assert api.published() == [("start", 42)]


def test_a_command_is_due_at_once_by_whichever_clock_it_was_written(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    add_command(api)
    monkeypatch.setattr(outbox, "time_of", lambda _session: now() - timedelta(seconds=30))
    assert api.published() == [("start", 42)]


def test_a_running_outbox_publishes_as_soon_as_it_is_woken(api: Api) -> None:
    published = threading.Event()

    class Noting(FakeBroker):
        def publish(
            self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
        ) -> Future[None]:
            future = super().publish(queue, body, content_type=content_type, message_id=message_id)
            published.set()
            return future

    broker = Noting()
    running = Outbox(api.site.database, lambda _connection: broker, sweep_s=60)
    running.start()
    try:
        add_command(api)
        running.wake()
        assert published.wait(10)
    finally:
        running.stop()
    assert len(broker.bodies) == 1


def test_stopping_publishes_what_is_left(api: Api) -> None:
    broker = FakeBroker()
    stopped = Outbox(api.site.database, lambda _connection: broker, sweep_s=60)
    stopped.start()
    add_command(api)
    stopped.stop()
    assert len(broker.bodies) == 1


def test_a_broker_that_never_confirms_does_not_hold_up_the_stop(api: Api) -> None:
    class Mute(FakeBroker):
        waiting: list[Future[None]]

        def publish(
            self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
        ) -> Future[None]:
            self.waiting = [Future()]
            asked.set()
            return self.waiting[0]

        def close(self, timeout_s: float = 5.0) -> None:
            self.waiting[0].set_exception(Unavailable("broker", "the publisher was closed"))

    asked = threading.Event()
    broker = Mute()
    stopped = Outbox(api.site.database, lambda _connection: broker, sweep_s=60)
    stopped.start()
    add_command(api)
    stopped.wake()
    assert asked.wait(10)
    thread = stopped._thread
    assert thread is not None
    stopped.stop(timeout_s=0.2)
    thread.join(10)  # it has its word in the database, and no other test's may be there by then
    assert broker.waiting[0].done()
    assert stopped.failures == 1
    assert api.site.outbox.waiting()[0] == 1


def test_a_connection_whose_settings_can_not_work_delays_only_its_own_commands(api: Api) -> None:
    add_command(api, 1)
    with api.site.database.write() as session:
        other = setup.create_lando_connection(session, queue_name="other", host="broken")
        session.add(
            PendingCommand(job_id=2, lando_connection_id=other.id, command="start", generation=1, message_id="m-2")
        )
    broker = FakeBroker()

    def publishers(connection: outbox.Connection) -> Publisher:
        if connection.host == "broken":
            raise ConfigError("no such host")
        return broker

    sent = Outbox(api.site.database, publishers)
    assert sent.drain() == 1
    assert [message.run_id for message in broker.messages] == [1]
    assert sent.failures == 1


def make_due(api: Api, **of: object) -> None:
    with api.site.database.write() as session:
        session.execute(update(PendingCommand).filter_by(**of).values(due=now()))


def test_the_commands_of_a_job_keep_their_order_whatever_was_tried_before(api: Api) -> None:
    api.broker.away = True
    add_command(api, 1, "start", 1)
    assert api.published() == []
    api.broker.away = False
    add_command(api, 1, "cancel", 2)  # due now, while the start has to wait for its next try
    add_command(api, 2, "start", 1)
    assert api.published() == [("start", 2)]
    make_due(api, generation=1)
    assert api.published() == [("start", 2), ("start", 1), ("cancel", 1)]


def test_a_command_that_another_server_is_sending_holds_up_the_next_of_its_job_only(api: Api) -> None:
    add_command(api, 1, "start", 1)
    with api.site.database.write() as session:
        session.execute(update(PendingCommand).values(due=now() + timedelta(seconds=60)))
    add_command(api, 1, "cancel", 2)
    add_command(api, 2, "start", 1)
    assert api.published() == [("start", 2)]


def test_what_was_committed_before_a_crash_is_sent_by_the_next_process(api: Api) -> None:
    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/start/").status_code == 200  # and the process dies before it is sent
    broker = FakeBroker()
    successor = Outbox(api.site.database, lambda _connection: broker, sweep_s=60)
    successor.start()
    successor.stop()
    assert [(message.command, message.run_id) for message in broker.messages] == [(Command.START, job)]


def test_a_row_that_can_never_be_sent_holds_up_no_other(api: Api) -> None:
    add_command(api, 1, "make_tea")
    add_command(api, 2)
    assert api.published() == [("start", 2)]
    assert api.site.outbox.failures == 1
    assert api.site.outbox.waiting()[0] == 1


def test_a_publisher_that_fails_in_an_unforeseen_way_holds_up_only_its_own_commands(api: Api) -> None:
    class Broken(FakeBroker):
        def publish(
            self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
        ) -> Future[None]:
            if queue == "other":
                raise RuntimeError("never thought of")
            return super().publish(queue, body, content_type=content_type, message_id=message_id)

    add_command(api, 2)
    with api.site.database.write() as session:
        other = setup.create_lando_connection(session, queue_name="other", url="memory://other")
        session.add(
            PendingCommand(job_id=1, lando_connection_id=other.id, command="start", generation=1, message_id="m-1")
        )
    broker = Broken()
    assert Outbox(api.site.database, lambda _connection: broker).drain() == 1
    assert [message.run_id for message in broker.messages] == [2]


def test_a_connection_that_is_changed_is_reached_anew_with_what_waited(api: Api) -> None:
    reached: list[str | None] = []
    brokers = {"memory://old": FakeBroker(away=True), "memory://new": FakeBroker()}

    def publishers(connection: outbox.Connection) -> Publisher:
        reached.append(connection.url)
        return brokers[str(connection.url)]

    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(url="memory://old"))
    add_command(api)
    sent = Outbox(api.site.database, publishers)
    assert sent.drain() == 0
    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(url="memory://new"))
    make_due(api)
    assert sent.drain() == 1
    assert reached == ["memory://old", "memory://new"]


def test_pauses_grow_to_a_limit_and_are_jittered() -> None:
    for attempts in range(1, 40):
        longest = min(outbox.FIRST_PAUSE_S * 2**attempts, outbox.LONGEST_PAUSE_S)
        assert longest / 2 <= pause_s(attempts) <= longest


def test_a_connections_password_is_in_no_representation() -> None:
    connection = outbox.Connection(
        id=1, queue="q", message_format="json", url="amqp://u:s3cret@h", host="h", username="u", password="s3cret"
    )
    assert "s3cret" not in repr(connection)


def test_the_default_publisher_reaches_the_memory_broker() -> None:
    connection = outbox.Connection(
        id=1, queue="lando", message_format="json", url="memory://api-test", host="", username="", password=""
    )
    publisher = outbox.default_publishers(connection)
    publisher.publish("lando", b"{}").result(5)
    publisher.close()
