"""The doctor before a real broker and the embedded cluster: all well, then one thing after the other broken."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lando.config import BespinApiSettings, ClusterSettings, Config, TlsSettings, WorkQueueSettings
from lando.doctor import broker, cluster
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, Level
from lando.local.cluster import LocalCluster
from pika.adapters.blocking_connection import BlockingChannel
from tests.services import certificates
from tests.services.providing import free_port
from tests.services.rabbitmq import LocalServer, RabbitMQ

pytestmark = pytest.mark.service("rabbitmq")


@pytest.fixture
def queue(rabbitmq: RabbitMQ, queue_name: str, monkeypatch: pytest.MonkeyPatch) -> WorkQueueSettings:
    # The exchange of notices is every test's; here it may clash.
    monkeypatch.setattr(broker, "NOTICE_EXCHANGE", f"{queue_name}-notices")
    return WorkQueueSettings(listen_queue=queue_name, url=rabbitmq.url)


def findings(settings: WorkQueueSettings) -> dict[str, Finding]:
    return {one.check: one for one in broker.examine(settings) if not isinstance(one, Asking)}


def words(finding: Finding) -> str:
    return f"{finding.seen} → {finding.advice}"


@contextlib.contextmanager
def channel_of(rabbitmq: RabbitMQ) -> Iterator[BlockingChannel]:
    with contextlib.closing(rabbitmq.connect()) as connection:
        yield connection.channel()


def test_a_broker_before_the_first_start_is_well_and_stays_untouched(
    rabbitmq: RabbitMQ, queue: WorkQueueSettings
) -> None:
    found = findings(queue)
    assert [one for one in found.values() if one.level in (Level.FAILED, Level.WARNING)] == []
    assert "RabbitMQ 3." in found["reach"].seen or "RabbitMQ 4." in found["reach"].seen
    assert "is not there yet" in found["command queue"].seen
    with channel_of(rabbitmq) as channel, pytest.raises(Exception, match="NOT_FOUND"):
        channel.queue_declare(queue.listen_queue, passive=True)


def test_a_broker_at_work_tells_who_is_active_and_what_was_put_aside(
    rabbitmq: RabbitMQ, queue: WorkQueueSettings
) -> None:
    name = queue.listen_queue
    with channel_of(rabbitmq) as channel:
        channel.queue_declare(name, durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", name, b"a command")
        channel.exchange_declare(broker.NOTICE_EXCHANGE, "fanout", durable=False, auto_delete=False)
        found = findings(queue)
        assert found["command queue"].seen == f"{name} is there, with 1 message waiting"
        assert found["queue type"].seen.startswith(f"{name} is a classic queue")
        assert found["active lando"].advice == "start the lando daemon"
        assert found["notices"].level is Level.OK

        channel.queue_declare(f"{name}.active", exclusive=True)
        channel.queue_declare(f"{name}.dead", durable=True)
        channel.basic_publish("", f"{name}.dead", b"a letter")
        found = findings(queue)
        assert found["active lando"].seen == f"one is at work on {name}"
        assert words(found["dead letters"]) == f"1 message put aside in {name}.dead → see why with: lando dead list"

        channel.queue_delete(f"{name}.active")
        channel.basic_consume(name, lambda *_: None)
        found = findings(queue)
        assert "1 other program reads" in found["active lando"].seen
        channel.exchange_delete(broker.NOTICE_EXCHANGE)


@pytest.mark.parametrize(
    ("declared", "seen", "advice"),
    [
        ({"durable": True, "arguments": {"x-max-length": 10}}, "has x-max-length 10", "a policy can set max-length"),
        ({"durable": False}, "has durable false, but", "delete the queue once it is empty"),
        ({"durable": True, "arguments": {"x-queue-type": "quorum"}}, "has x-queue-type quorum", "default queue type"),
    ],
)
def test_a_command_queue_with_other_arguments_is_named_with_them(
    rabbitmq: RabbitMQ, queue: WorkQueueSettings, declared: dict[str, Any], seen: str, advice: str
) -> None:
    with channel_of(rabbitmq) as channel:
        channel.queue_declare(queue.listen_queue, **declared)
        channel.exchange_declare(broker.NOTICE_EXCHANGE, "direct")
        found = findings(queue)
        channel.exchange_delete(broker.NOTICE_EXCHANGE)
    assert found["command queue"].level is Level.FAILED
    assert seen in found["command queue"].seen
    assert advice in found["command queue"].advice
    assert "has type direct, not fanout → delete it" in words(found["notices"])


@pytest.mark.parametrize(
    ("change", "check", "told"),
    [
        (lambda url: url.replace(":guest@", ":wrong@"), "login", "ACCESS_REFUSED - Login was refused"),
        (lambda url: url.replace("%2F", "nowhere"), "login", "check virtual_host of work_queue"),
        (
            lambda url: f"amqp://guest:guest@127.0.0.1:{free_port()}/",
            "reach",
            "Connection refused → check host and port",
        ),
    ],
)
def test_a_broker_that_lets_nobody_in_has_one_line(
    queue: WorkQueueSettings, rabbitmq_server: LocalServer, change: Callable[[str], str], check: str, told: str
) -> None:
    found = findings(replace(queue, url=change(str(queue.url))))
    assert list(found) == [check]
    assert told in words(found[check])


def test_of_several_brokers_one_that_is_away_is_a_warning(
    queue: WorkQueueSettings, rabbitmq_server: LocalServer
) -> None:
    found = list(broker.examine(replace(queue, hosts=[f"localhost:{free_port()}"])))
    reached = [one for one in found if isinstance(one, Finding) and one.check == "reach"]
    assert [one.level for one in reached] == [Level.OK, Level.WARNING]


def test_tls_that_does_not_fit_and_a_user_without_permissions(
    queue: WorkQueueSettings, rabbitmq_server: LocalServer, tmp_path: Path
) -> None:
    files = rabbitmq_server.certificates
    tls = TlsSettings(ca_file=str(files.ca), cert_file=str(files.client), key_file=str(files.client_key))
    secure = replace(queue, url=f"amqps://guest:guest@127.0.0.1:{rabbitmq_server.tls_port}/", tls=tls)
    assert "the certificate is trusted and valid until" in findings(secure)["TLS"].seen

    foreign = replace(tls, ca_file=str(certificates.make(tmp_path).ca))
    found = findings(replace(secure, tls=foreign))
    assert list(found) == ["TLS"]
    assert "check work_queue.tls" in found["TLS"].advice

    rabbitmq_server.control(
        "eval",
        'rabbit_auth_backend_internal:add_user(<<"poor">>, <<"poorpw">>, <<"t">>), '
        'rabbit_auth_backend_internal:set_permissions(<<"poor">>, <<"/">>, <<"^x">>, <<"^x">>, <<"^x">>, <<"t">>).',
    )
    found = findings(replace(queue, url=str(queue.url).replace("guest:guest", "poor:poorpw")))
    assert found["permissions"].level is Level.FAILED
    assert (
        f"rabbitmqctl set_permissions -p / poor '^({queue.listen_queue}.*|job_status)$'" in found["permissions"].advice
    )


# -- the cluster -------------------------------------------------------------------------------------------------------


def of_cluster(settings: ClusterSettings) -> dict[str, Finding]:
    config = Config(
        work_queue=WorkQueueSettings(listen_queue="lando", url="memory://here"),
        cluster_api_settings=settings,
        bespin_api=BespinApiSettings(url=f"http://127.0.0.1:{free_port()}/api/v2", token="t"),
    )
    return {one.check: one for one in cluster.examine(config) if not isinstance(one, Asking)}


def test_the_embedded_cluster_is_well_until_its_token_its_authority_or_its_name_is_not(
    embedded_cluster: LocalCluster, tmp_path: Path
) -> None:
    settings = ClusterSettings(
        namespace=embedded_cluster.namespace,
        host=embedded_cluster.url,
        token=embedded_cluster.token,
        ssl_ca_cert=str(embedded_cluster.ca_file),
    )
    found = of_cluster(settings)
    assert [one for one in found.values() if one.level not in (Level.OK, Level.UNKNOWN)] == []

    found = of_cluster(replace(settings, token="n0t-the-token"))
    assert found["token"].level is Level.FAILED

    found = of_cluster(replace(settings, namespace=f"no-{uuid.uuid4().hex[:8]}"))
    assert found["namespace"].level is Level.FAILED

    found = of_cluster(replace(settings, ssl_ca_cert=str(certificates.make(tmp_path).ca)))
    assert list(found) == ["TLS"]
    assert "is not trusted" in found["TLS"].seen

    found = of_cluster(replace(settings, host=embedded_cluster.url.replace("127.0.0.1", "127.1")))
    assert list(found) == ["TLS"]
    assert "is not for 127.1 but for localhost, " in found["TLS"].seen
