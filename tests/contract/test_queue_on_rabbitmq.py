"""What only a real broker can show: wire properties, losses of connection, refusals, TLS."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from lando.config import TlsSettings, WorkQueueSettings
from lando.config.secrets import FileSecret
from lando.errors import Unavailable
from lando.metrics import PROCESS
from lando.queues import consumer as make_consumer
from lando.queues import dead_letters, ladder
from lando.queues import publisher as make_publisher
from lando.queues.dead import DeadLetter, Fate
from lando.queues.rabbitmq import link, parameters, session
from lando.queues.rabbitmq import publisher as publishing
from lando.queues.rabbitmq.consumer import RabbitConsumer
from lando.queues.rabbitmq.publisher import RabbitPublisher
from pika.adapters.blocking_connection import BlockingChannel
from tests.services.consuming import Consuming, consuming
from tests.services.providing import free_port, wait_until
from tests.services.proxy import Proxy, proxy
from tests.services.rabbitmq import LocalServer, RabbitMQ
from tests.services.vectors import GOOD

pytestmark = pytest.mark.service("rabbitmq")

TIMEOUT_S = 60.0
PROPERTIES = [name for name in vars(pika.BasicProperties()) if not name.startswith("_")]


@pytest.fixture
def channel(rabbitmq: RabbitMQ) -> Iterator[BlockingChannel]:
    """A channel of an unmodified peer."""
    with contextlib.closing(rabbitmq.connect()) as connection:
        yield connection.channel()


@pytest.fixture
def settings(rabbitmq: RabbitMQ, queue_name: str) -> WorkQueueSettings:
    return WorkQueueSettings(listen_queue=queue_name, url=rabbitmq.url)


@pytest.fixture
def publisher(settings: WorkQueueSettings) -> Iterator[RabbitPublisher]:
    publisher = RabbitPublisher(settings)
    yield publisher
    publisher.close(TIMEOUT_S)


@pytest.fixture
def between(rabbitmq: RabbitMQ) -> Iterator[Proxy]:
    """A network to the broker that may fail."""
    broker = pika.URLParameters(rabbitmq.url)
    with proxy(broker.host, broker.port) as made:
        yield made


@pytest.fixture
def through(between: Proxy, rabbitmq: RabbitMQ, queue_name: str) -> WorkQueueSettings:
    """Settings that lead through the network that may fail."""
    broker = pika.URLParameters(rabbitmq.url)
    return WorkQueueSettings(
        listen_queue=queue_name,
        host="127.0.0.1",
        port=between.port,
        username=broker.credentials.username,
        password=broker.credentials.password,
        virtual_host=broker.virtual_host,
        heartbeat_s=2,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits where a test has to wait them out."""
    monkeypatch.setattr(link, "BACKOFF_S", 0.05)
    monkeypatch.setattr(link, "CALL_TIMEOUT_S", 1.0)
    monkeypatch.setattr(parameters, "HANDSHAKE_TIMEOUT_S", 1.0)


def at_work(settings: WorkQueueSettings, prefetch: int = 10) -> contextlib.AbstractContextManager[Consuming]:
    return consuming(lambda: RabbitConsumer(settings, prefetch=prefetch, delays_s=(0.05, 0.1), standby_s=0.1))


def trouble_of(consumer: RabbitConsumer) -> str:
    """What ``consumer`` says that it waits for, once the broker has spoken."""
    assert consumer.waits_for == "The broker has not answered yet."
    with consuming(lambda: consumer):
        wait_until(lambda: "not answered yet" not in (consumer.waits_for or ""), TIMEOUT_S, what="the broker's word")
        told = consumer.waits_for
    assert told is not None
    return told


def given_properties(properties: pika.BasicProperties) -> dict[str, Any]:
    return {name: value for name in PROPERTIES if (value := getattr(properties, name)) is not None}


# -- on the wire ----------------------------------------------------------------------------------------------


def test_a_pickle_travels_with_its_delivery_mode_alone(
    publisher: RabbitPublisher, queue_name: str, channel: BlockingChannel
) -> None:
    publisher.publish(queue_name, GOOD["V1"]).result(TIMEOUT_S)
    method, properties, body = channel.basic_get(queue_name)
    assert (method.exchange, method.routing_key, body) == ("", queue_name, GOOD["V1"])
    assert given_properties(properties) == {"delivery_mode": 2}


def test_json_travels_with_content_type_and_id(
    publisher: RabbitPublisher, queue_name: str, channel: BlockingChannel
) -> None:
    publisher.publish(queue_name, b"{}", content_type="application/json", message_id="7d3f").result(TIMEOUT_S)
    _, properties, _ = channel.basic_get(queue_name)
    assert given_properties(properties) == {
        "delivery_mode": 2,
        "content_type": "application/json",
        "message_id": "7d3f",
    }


def test_a_notice_travels_as_the_original_sends_it(publisher: RabbitPublisher, channel: BlockingChannel) -> None:
    channel.exchange_declare("job_status", "fanout", durable=False)
    own = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(own, "job_status")
    publisher.notify(b'{"job": 42, "state": "R", "step": "S"}')
    got: list[Any] = []

    def look() -> bool:
        method, properties, body = channel.basic_get(own, auto_ack=True)
        if method is not None and body.startswith(b'{"job": 42'):
            got.append((method.routing_key, given_properties(properties), body))
        return bool(got)

    wait_until(look, what="the notice")
    assert got == [("", {"delivery_mode": 2}, b'{"job": 42, "state": "R", "step": "S"}')]


def test_a_mailer_is_told_on_its_own_exchange_once_it_listens_there(
    publisher: RabbitPublisher, channel: BlockingChannel, queue_name: str, quick: None
) -> None:
    exchange = f"EmailExchange-{queue_name}"
    with pytest.raises(Unavailable):
        publisher.announce(exchange, "SendEmail", b"mail 16").result(TIMEOUT_S)
    channel.exchange_declare(exchange, "direct")
    with pytest.raises(Unavailable, match="no queue is bound"):
        publisher.announce(exchange, "SendEmail", b"mail 16").result(TIMEOUT_S)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, "SendEmail")
    publisher.announce(exchange, "SendEmail", b"mail 17").result(TIMEOUT_S)
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == (exchange, "SendEmail", b"mail 17")
    assert {name: getattr(properties, name) for name in PROPERTIES if getattr(properties, name)} == {"delivery_mode": 2}
    channel.exchange_delete(exchange)


def test_unmodified_peers_may_declare_queue_and_exchange_their_way(
    settings: WorkQueueSettings, publisher: RabbitPublisher, rabbitmq: RabbitMQ
) -> None:
    queue = settings.listen_queue
    with at_work(settings) as work:
        work.wait_until_active()
        publisher.notify(b"{}")
        publisher.publish(queue, b"1").result(TIMEOUT_S)
        for _ in range(2):  # one connection per message, as they do
            with contextlib.closing(rabbitmq.connect()) as connection:
                channel = connection.channel()
                channel.queue_declare(queue, durable=True)
                channel.exchange_declare("job_status", "fanout")
                channel.basic_publish("", queue, GOOD["V1"], pika.BasicProperties(delivery_mode=2))
        assert [delivery.body for delivery in work.wait_for(3)] == [b"1", GOOD["V1"], GOOD["V1"]]


def test_the_sign_of_the_active_one_is_an_exclusive_classic_queue(
    settings: WorkQueueSettings, channel: BlockingChannel, rabbitmq: RabbitMQ
) -> None:
    name = ladder.active_queue(settings.listen_queue)
    with at_work(settings) as work:
        work.wait_until_active()
        if rabbitmq.server is not None:
            listed = rabbitmq.server.control("list_queues", "-q", "--no-table-headers", "name", "type", "exclusive")
            assert [name, "classic", "true"] in [line.split() for line in listed.splitlines()]
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="RESOURCE_LOCKED"):
            channel.queue_declare(name, passive=True)


def test_failed_and_dead_messages_carry_their_history(
    settings: WorkQueueSettings, publisher: RabbitPublisher, channel: BlockingChannel
) -> None:
    queue = settings.listen_queue
    publisher.publish(queue, b"{}", content_type="application/json", message_id="7d3f").result(TIMEOUT_S)
    with at_work(settings) as work:
        work.wait_for(1)[0].retry("first")
        work.wait_for(2)[1].retry("second")
        work.wait_for(3)[2].dead("x" * 5000)
    _, properties, body = channel.basic_get(ladder.dead_queue(queue))
    assert body == b"{}"
    assert (properties.content_type, properties.message_id, properties.delivery_mode) == ("application/json", "7d3f", 2)
    assert properties.headers[ladder.FAILURES] == 2
    assert properties.headers[ladder.FIRST_REASON] == "first"
    assert len(properties.headers[ladder.LAST_REASON]) <= ladder.REASON_LIMIT
    assert properties.headers[ladder.TIME].endswith("Z")


def test_the_delay_queues_are_named_for_their_delays(
    settings: WorkQueueSettings, publisher: RabbitPublisher, channel: BlockingChannel
) -> None:
    queue = settings.listen_queue
    publisher.publish(queue, GOOD["V1"]).result(TIMEOUT_S)
    with consuming(lambda: make_consumer(settings, prefetch=1)) as work:
        work.wait_for(1)[0].retry("later")
    method, properties, body = channel.basic_get(f"{queue}.delay.5s")
    assert method is not None
    assert body == GOOD["V1"]
    assert set(given_properties(properties)) == {"delivery_mode", "headers"}


# -- losses ---------------------------------------------------------------------------------------------------


def test_a_cut_connection_is_made_again_and_what_was_held_comes_again(
    between: Proxy, through: WorkQueueSettings, publisher: RabbitPublisher, quick: None
) -> None:
    queue = through.listen_queue
    publisher.publish(queue, b"1").result(TIMEOUT_S)
    with at_work(through) as work:
        old = work.wait_for(1)[0]
        between.cut()
        new = work.wait_for(2, TIMEOUT_S)[1]
        assert new.body == b"1"
        old.ack()  # a tag of the old channel: must not settle the new delivery
        new.requeue()
        work.wait_for(3)[2].ack()
        work.wait_until_active()
        assert work.times_active == 2


def test_nobody_acts_after_the_broker_fell_silent(
    between: Proxy, through: WorkQueueSettings, publisher: RabbitPublisher, quick: None
) -> None:
    publisher.publish(through.listen_queue, b"1").result(TIMEOUT_S)
    with at_work(through) as work:
        work.wait_until_active()
        between.freeze()
        wait_until(lambda: not work.consumer.active, 10, what="the end of being active")
        between.freeze(False)
        between.cut()


def test_a_standby_takes_over_no_earlier_than_the_silent_one_stopped(
    between: Proxy, through: WorkQueueSettings, settings: WorkQueueSettings, quick: None
) -> None:
    with at_work(through) as silent:
        silent.wait_until_active()
        with at_work(settings) as standby:
            between.freeze()
            wait_until(lambda: standby.consumer.active, TIMEOUT_S, what="the standby's turn")
            assert not silent.consumer.active
            between.freeze(False)
            between.cut()


def test_a_published_message_survives_a_cut_connection(
    between: Proxy, through: WorkQueueSettings, queue_name: str, channel: BlockingChannel, quick: None
) -> None:
    publisher = RabbitPublisher(through)
    for number in range(5):
        confirmed = publisher.publish(queue_name, b"%d" % number)
        between.cut()
        confirmed.result(TIMEOUT_S)
    publisher.close()
    arrived = set()
    while (got := channel.basic_get(queue_name, auto_ack=True))[0] is not None:
        arrived.add(got[2])
    assert arrived == {b"0", b"1", b"2", b"3", b"4"}


def test_a_confirm_that_never_comes_is_waited_for_no_longer_than_the_limit(
    between: Proxy, through: WorkQueueSettings, queue_name: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(publishing, "TRIES", 2)
    publisher = RabbitPublisher(through)
    publisher.publish(queue_name, b"1").result(TIMEOUT_S)
    between.freeze()
    with pytest.raises(Unavailable, match="broker"):
        publisher.publish(queue_name, b"2").result(TIMEOUT_S)
    between.freeze(False)
    publisher.publish(queue_name, b"3").result(TIMEOUT_S)
    publisher.close()


@pytest.mark.timeout(180)
@pytest.mark.timeout(400)
def test_consumer_and_publisher_outlive_a_restart_and_a_crash_of_the_broker(
    rabbitmq_server: LocalServer, settings: WorkQueueSettings, publisher: RabbitPublisher
) -> None:
    queue = settings.listen_queue
    with at_work(settings, prefetch=1) as work:
        for number, how in enumerate((signal.SIGTERM, signal.SIGKILL)):
            before, meanwhile = b"before %d" % number, b"meanwhile %d" % number
            publisher.publish(queue, before).result(TIMEOUT_S)
            wait_until(lambda before=before: before in work.bodies, TIMEOUT_S, what="the delivery before")  # type: ignore[misc]
            rabbitmq_server.stop(how)
            wait_until(lambda: not work.consumer.active, TIMEOUT_S, what="the end of being active")
            confirmed = publisher.publish(queue, meanwhile)
            publisher.notify(b"dropped")
            rabbitmq_server.start()
            if isinstance(confirmed.exception(90), Unavailable):  # the start took longer than its tries
                publisher.publish(queue, meanwhile).result(90)

            def came(before: bytes = before, meanwhile: bytes = meanwhile) -> bool:
                for delivery in list(work.deliveries):
                    delivery.ack()
                return work.bodies.count(before) >= 2 and meanwhile in work.bodies

            wait_until(came, 2 * TIMEOUT_S, what="what was held, and what was published meanwhile")


def test_a_deleted_queue_is_declared_anew_by_the_publisher(
    publisher: RabbitPublisher, queue_name: str, channel: BlockingChannel, quick: None
) -> None:
    publisher.publish(queue_name, b"lost with its queue").result(TIMEOUT_S)
    channel.queue_delete(queue_name)
    publisher.publish(queue_name, b"kept").result(TIMEOUT_S)
    assert channel.basic_get(queue_name)[2] == b"kept"


@pytest.mark.parametrize("name", [lambda queue: queue, ladder.active_queue], ids=["command", "active"])
def test_a_consumer_recovers_from_the_deletion_of_its_queues(
    name: Callable[[str], str],
    settings: WorkQueueSettings,
    publisher: RabbitPublisher,
    rabbitmq: RabbitMQ,
    queue_name: str,
    quick: None,
) -> None:
    if name is ladder.active_queue and rabbitmq.server is None:
        pytest.skip("only an operator of the broker itself can delete an exclusive queue")
    with at_work(settings) as work:
        publisher.publish(queue_name, b"1").result(TIMEOUT_S)
        work.wait_for(1)[0].ack()
        if name is ladder.active_queue:
            assert rabbitmq.server is not None
            rabbitmq.server.control("delete_queue", name(queue_name))
        else:
            with contextlib.closing(rabbitmq.connect()) as connection:
                connection.channel().queue_delete(queue_name)
        wait_until(lambda: work.consumer.active, what="being active again")
        publisher.publish(queue_name, b"2").result(TIMEOUT_S)
        assert work.wait_for(2, TIMEOUT_S)[1].body == b"2"


@pytest.mark.timeout(180)
def test_acknowledgements_get_through_to_a_broker_that_blocks_publishers(
    rabbitmq_server: LocalServer, settings: WorkQueueSettings, publisher: RabbitPublisher
) -> None:
    queue = settings.listen_queue

    def depth() -> str:
        listed = rabbitmq_server.control("list_queues", "-q", "--no-table-headers", "name", "messages")
        return dict(line.split() for line in listed.splitlines())[queue]

    publisher.publish(queue, b"1").result(TIMEOUT_S)
    with at_work(settings) as work:
        work.wait_for(1)
        rabbitmq_server.control("set_vm_memory_high_watermark", "0.00001")
        try:
            blocked = publisher.publish(queue, b"2")
            work.deliveries[0].ack()
            wait_until(lambda: depth() == "0", TIMEOUT_S, what="the end of the acknowledged message")
            assert not blocked.done()
            assert re.search(r"blocks publishing since 20\d\d-.*Z \(low on memory\)", publisher.blocked or "")
        finally:
            rabbitmq_server.control("set_vm_memory_high_watermark", "0.4")
        blocked.result(60)
        wait_until(lambda: publisher.blocked is None, what="the end of the blockage")
        work.wait_for(2)[1].ack()


@pytest.mark.timeout(180)
def test_a_broker_that_blocks_publishers_is_told_of_until_it_takes_messages_again(
    rabbitmq_server: LocalServer, settings: WorkQueueSettings, publisher: RabbitPublisher, quick: None
) -> None:
    """Also over the end of a connection on which a message waited in vain, and by who has nothing to send."""
    queue = settings.listen_queue
    publisher.publish(queue, b"1").result(TIMEOUT_S)
    with at_work(settings) as work:
        delivery = work.wait_for(1)[0]
        rabbitmq_server.control("set_vm_memory_high_watermark", "0.00001")
        try:
            delivery.retry("for the ladder, whose publisher is another one")
            wait_until(lambda: work.consumer.waits_for is not None, TIMEOUT_S, what="the ladder's blockage")
            assert "low on memory" in (work.consumer.waits_for or "")
            assert work.consumer.active
            assert publisher.depths(queue).result(TIMEOUT_S)["ready"] == 0  # who sends nothing learns of it by the way
            wait_until(lambda: publisher.blocked is not None, TIMEOUT_S, what="the blockage of the idle one")
            with pytest.raises(Unavailable, match=r"it blocks publishing \(low on memory\)"):
                publisher.depths(queue).result(TIMEOUT_S)
        finally:
            rabbitmq_server.control("set_vm_memory_high_watermark", "0.4")
        wait_until(lambda: publisher.blocked is None, TIMEOUT_S, what="the end of the idle one's blockage")
        assert work.wait_for(2, TIMEOUT_S)[1].body == b"1"
        wait_until(lambda: work.consumer.waits_for is None, TIMEOUT_S, what="the end of the ladder's blockage")


def test_a_message_that_can_not_climb_the_ladder_goes_back(
    settings: WorkQueueSettings, publisher: RabbitPublisher, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETURN_S", 0.05)
    channel.queue_declare(ladder.delay_queue(settings.listen_queue, 0.05), durable=True)  # without our arguments
    publisher.publish(settings.listen_queue, b"1").result(TIMEOUT_S)
    with at_work(settings) as work:
        work.wait_for(1)[0].retry("no way up")
        again = work.wait_for(2)[1]
        assert (again.body, again.failures) == (b"1", 0)
        work.consumer.pause()


def test_what_the_full_dead_letters_do_not_take_comes_again_and_keeps_nobody_from_work(
    rabbitmq_server: LocalServer,
    settings: WorkQueueSettings,
    publisher: RabbitPublisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = settings.listen_queue
    definition = '{"max-length": 1, "overflow": "reject-publish"}'
    rabbitmq_server.control("set_policy", "full", f"^{queue}[.]dead$", definition)
    bad = [b"bad %d" % number for number in range(3)]
    for body in bad:
        publisher.publish(queue, body).result(TIMEOUT_S)
    refused = _refused()
    try:
        with at_work(settings, prefetch=2) as work:  # fewer than bad ones: they must not fill all the places
            handled = 0

            def good_one_came() -> bool:
                nonlocal handled
                for delivery in work.deliveries[handled:]:
                    handled += 1
                    delivery.ack() if delivery.body == b"good" else delivery.dead("can't be read")
                return b"good" in work.bodies and _refused() >= refused + 2

            publisher.publish(queue, b"good").result(TIMEOUT_S)
            wait_until(good_one_came, TIMEOUT_S, what="the good message, and two refusals")
            assert "could not be put aside and will come again: can't be read" in caplog.text
            rabbitmq_server.control("clear_policy", "full")
            found: list[DeadLetter] = []

            def keep(one: DeadLetter) -> Fate:
                found.append(one)
                return Fate.KEEP

            def all_lie_there() -> bool:
                good_one_came()
                found.clear()
                return dead_letters(settings).visit(keep, limit=100) == 3

            wait_until(all_lie_there, TIMEOUT_S, what="all of them among the dead letters")
        assert sorted(one.body for one in found) == bad
        assert {one.reason for one in found} == {"can't be read"}
    finally:
        if rabbitmq_server.control("list_policies", "-q", "--no-table-headers").strip():
            rabbitmq_server.control("clear_policy", "full")


def _refused() -> float:
    return PROCESS.registry.get_sample_value("lando_dead_letters_refused_total") or 0.0


# -- refusals -------------------------------------------------------------------------------------------------


def _with_login(rabbitmq: RabbitMQ, queue: str, **changes: Any) -> WorkQueueSettings:
    broker = pika.URLParameters(rabbitmq.url)
    login = {"host": broker.host, "port": broker.port, "username": "guest", "password": "guest", **changes}
    return WorkQueueSettings(listen_queue=queue, **login)


@pytest.mark.parametrize("changes", [{"password": "Tr0ub4dor"}, {"virtual_host": "/nowhere"}], ids=["login", "vhost"])
def test_a_refused_login_says_what_to_check_and_keeps_the_password(
    rabbitmq: RabbitMQ, changes: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="lando")
    settings = _with_login(rabbitmq, "any", **changes)
    told = trouble_of(RabbitConsumer(settings, prefetch=1))
    assert "refused user 'guest'" in told
    assert "work_queue" in told
    publisher = RabbitPublisher(settings)
    with pytest.raises(Unavailable, match="refused user 'guest'") as caught:
        publisher.publish("any", b"1").result(TIMEOUT_S)
    publisher.close()
    assert "Tr0ub4dor" not in f"{told} {caught.value!r} {caplog.text}"


def test_a_broker_that_refuses_is_waited_for_until_it_is_set_up(
    rabbitmq_server: LocalServer, quick: None, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    settings = WorkQueueSettings(
        listen_queue="lando",
        host="127.0.0.1",
        port=rabbitmq_server.port,
        username="late",
        password=FileSecret("wrong", str(file)),
        virtual_host="late",
    )
    with consuming(lambda: RabbitConsumer(settings, prefetch=1)) as work:
        wait_until(lambda: "refused user 'late'" in (work.consumer.waits_for or ""), TIMEOUT_S, what="the refusal")
        rabbitmq_server.control("add_user", "late", "s3cret")
        file.write_text("s3cret")
        rabbitmq_server.control("add_vhost", "late")
        rabbitmq_server.control("set_permissions", "-p", "late", "late", ".*", ".*", ".*")
        try:
            wait_until(lambda: work.consumer.waits_for is None, TIMEOUT_S, what="consuming")
            assert work.consumer.active
        finally:
            rabbitmq_server.control("delete_vhost", "late")
            rabbitmq_server.control("delete_user", "late")


def test_a_queue_that_others_declared_differently_is_told(
    settings: WorkQueueSettings, publisher: RabbitPublisher, channel: BlockingChannel
) -> None:
    channel.queue_declare(settings.listen_queue, durable=True, arguments={"x-max-length": 3})
    assert "PRECONDITION_FAILED" in trouble_of(RabbitConsumer(settings, prefetch=1))
    with pytest.raises(Unavailable, match="PRECONDITION_FAILED"):
        publisher.publish(settings.listen_queue, b"1").result(TIMEOUT_S)


def test_a_notice_that_is_refused_does_not_disturb_the_messages(
    publisher: RabbitPublisher, queue_name: str, channel: BlockingChannel, rabbitmq: RabbitMQ
) -> None:
    channel.exchange_delete("job_status")
    channel.exchange_declare("job_status", "fanout", durable=True)
    try:
        publisher.publish(queue_name, b"1").result(TIMEOUT_S)
        publisher.notify(b"{}")
        publisher.publish(queue_name, b"2").result(TIMEOUT_S)
    finally:
        channel.exchange_delete("job_status")
    assert [channel.basic_get(queue_name)[2] for _ in range(2)] == [b"1", b"2"]


def test_a_broker_that_is_not_there_is_tried_a_limited_number_of_times(
    monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    tries: list[str] = []

    def connect(brokers: list[pika.ConnectionParameters], purpose: str) -> link.Link:
        tries.append(purpose)
        return link.connect(brokers, purpose)

    monkeypatch.setattr(publishing, "connect", connect)
    port = free_port()
    publisher = make_publisher(WorkQueueSettings(listen_queue="any", host="127.0.0.1", port=port))
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}: Connection refused"):
        publisher.publish("any", b"1").result(TIMEOUT_S)
    publisher.close()
    assert len(tries) == publishing.TRIES


def test_a_consumer_waits_for_a_broker_that_is_not_there(quick: None) -> None:
    settings = WorkQueueSettings(listen_queue="any", host="127.0.0.1", port=free_port())
    with consuming(lambda: make_consumer(settings, prefetch=1)) as work:
        threading.Event().wait(0.3)
        assert not work.consumer.active


def test_the_next_broker_is_taken_when_the_first_is_not_there(rabbitmq: RabbitMQ, queue_name: str) -> None:
    broker = pika.URLParameters(rabbitmq.url)
    hosts = [f"127.0.0.1:{free_port()}", f"{broker.host}:{broker.port}"]
    with consuming(lambda: make_consumer(WorkQueueSettings(listen_queue=queue_name, hosts=hosts), prefetch=1)) as work:
        work.wait_until_active()


# -- TLS ------------------------------------------------------------------------------------------------------


def _tls(server: LocalServer, queue: str, *, ca: Path | None, client: bool = True) -> WorkQueueSettings:
    pems = server.certificates
    tls = TlsSettings(
        ca_file=str(ca) if ca else None,
        cert_file=str(pems.client) if client else None,
        key_file=str(pems.client_key) if client else None,
    )
    return WorkQueueSettings(listen_queue=queue, host="127.0.0.1", port=server.tls_port, tls=tls)


def test_tls_with_a_client_certificate(rabbitmq_server: LocalServer, queue_name: str) -> None:
    settings = _tls(rabbitmq_server, queue_name, ca=rabbitmq_server.certificates.ca)
    with at_work(settings) as work:
        publisher = make_publisher(settings)
        publisher.publish(queue_name, b"sealed").result(TIMEOUT_S)
        publisher.close()
        assert work.wait_for(1)[0].body == b"sealed"


def test_a_broker_whose_certificate_nobody_vouches_for_is_refused(rabbitmq_server: LocalServer) -> None:
    told = trouble_of(RabbitConsumer(_tls(rabbitmq_server, "any", ca=None), prefetch=1))
    assert "TLS failed" in told
    assert "work_queue.tls" in told


def test_a_broker_whose_certificate_is_for_other_names_is_refused_and_they_are_told(
    rabbitmq_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def lead_here(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == "rabbit.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lead_here)
    settings = replace(_tls(rabbitmq_server, "any", ca=rabbitmq_server.certificates.ca), host="rabbit.example")
    assert trouble_of(RabbitConsumer(settings, prefetch=1)) == (
        f"broker: rabbit.example:{settings.port}: its certificate is not for rabbit.example but for 127.0.0.1, "
        "localhost; connect to it by one of those names (host in work_queue, or url), or give the broker a "
        "certificate for rabbit.example"
    )


def test_a_broker_that_wants_a_client_certificate_refuses_us_without(rabbitmq_server: LocalServer) -> None:
    pems = rabbitmq_server.certificates
    publisher = make_publisher(_tls(rabbitmq_server, "any", ca=pems.ca, client=False))
    with pytest.raises(Unavailable, match=r"TLS failed.*check work_queue\.tls"):
        publisher.publish("any", b"1").result(TIMEOUT_S)
    publisher.close()


# -- quorum queues --------------------------------------------------------------------------------------------


@pytest.fixture
def quorum_settings(rabbitmq_server: LocalServer) -> Iterator[WorkQueueSettings]:
    """A virtual host in which every queue declared without a type is a quorum queue."""
    name = "quorum"
    rabbitmq_server.control("add_vhost", name, "--default-queue-type", "quorum")
    rabbitmq_server.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    yield WorkQueueSettings(listen_queue="lando", host="127.0.0.1", port=rabbitmq_server.port, virtual_host=name)
    rabbitmq_server.control("delete_vhost", name)


def test_quorum_queues_by_default_take_everything_as_well(
    quorum_settings: WorkQueueSettings, rabbitmq_server: LocalServer
) -> None:
    publisher = RabbitPublisher(quorum_settings)
    with at_work(quorum_settings) as work:
        work.wait_until_active()  # before the standby starts: either could be first otherwise
        with at_work(quorum_settings) as standby:
            publisher.publish("lando", GOOD["V1"]).result(TIMEOUT_S)
            work.wait_for(1)[0].retry("first")
            work.wait_for(2)[1].retry("second")
            assert work.wait_for(3)[2].failures == 2
            work.deliveries[2].dead("third")
            assert not standby.consumer.active
            columns = ("name", "type")
            listed = rabbitmq_server.control("list_queues", "-p", "quorum", "-q", "--no-table-headers", *columns)
            types = dict(line.split() for line in listed.splitlines())
    publisher.close()
    assert types["lando.active"] == "classic"
    assert types["lando"] == types["lando.dead"] == "quorum"


def test_dead_letters_outlive_more_looks_than_a_quorum_queue_allows_deliveries(
    quorum_settings: WorkQueueSettings, rabbitmq_server: LocalServer
) -> None:
    definition = '{"delivery-limit": 5, "dead-letter-exchange": "", "dead-letter-routing-key": "lando.dead"}'
    rabbitmq_server.control("set_policy", "-p", "quorum", "limit", "^lando", definition)
    publisher = RabbitPublisher(quorum_settings)
    for number in range(3):
        publisher.publish("lando.dead", b"%d" % number).result(TIMEOUT_S)
    publisher.close()

    def look() -> list[bytes]:
        seen: list[bytes] = []

        def keep(one: DeadLetter) -> Fate:
            seen.append(one.body)
            return Fate.KEEP

        dead_letters(quorum_settings).visit(keep, limit=100)
        return seen

    for _ in range(12):
        wait_until(lambda: look() == [b"0", b"1", b"2"], TIMEOUT_S, what="all letters in their order")


def test_a_message_that_is_delivered_too_often_is_put_aside_by_the_broker(
    quorum_settings: WorkQueueSettings, rabbitmq_server: LocalServer
) -> None:
    """The policy of docs/operations.md: what ends the process that handles it does not come for ever."""
    definition = '{"delivery-limit": 2, "dead-letter-exchange": "", "dead-letter-routing-key": "lando.dead"}'
    rabbitmq_server.control("set_policy", "-p", "quorum", "limit", "^lando$", definition)
    publisher = RabbitPublisher(quorum_settings)
    publisher.publish("lando.dead", b"so that the queue is there").result(TIMEOUT_S)
    publisher.publish("lando", GOOD["V1"]).result(TIMEOUT_S)
    publisher.close()
    for _ in range(3):
        with at_work(quorum_settings) as work:
            work.wait_for(1)  # and ends unsettled, as a crash does
    found: list[DeadLetter] = []

    def keep(one: DeadLetter) -> Fate:
        found.append(one)
        return Fate.KEEP

    def look() -> bool:
        found.clear()
        return dead_letters(quorum_settings).visit(keep, limit=100) == 2

    wait_until(look, TIMEOUT_S, what="the dead letter")
    assert found[1].body == GOOD["V1"]
    assert found[1].reason.endswith("delivered too often without being settled (delivery_limit).")
