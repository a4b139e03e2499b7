from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from lando.config import TlsSettings, WorkQueueSettings
from lando.errors import ConfigError
from lando.queues import consumer, publisher
from lando.queues.rabbitmq.consumer import RabbitConsumer
from lando.queues.rabbitmq.parameters import parameters
from lando.queues.rabbitmq.publisher import RabbitPublisher
from tests.services import certificates


def _settings(**given: Any) -> WorkQueueSettings:
    return WorkQueueSettings(listen_queue="lando", **given)


def _told(settings: WorkQueueSettings) -> list[tuple[str, int, str, str, str]]:
    return [
        (one.host, one.port, one.virtual_host, one.credentials.username, one.credentials.password)
        for one in parameters(settings)
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"host": "rabbit", "username": "lando", "password": "p"},
            [("rabbit", 5672, "/", "lando", "p")],
        ),
        (
            {"host": "rabbit", "port": 5673, "virtual_host": "bespin"},
            [("rabbit", 5673, "bespin", "guest", "guest")],
        ),
        (
            {"hosts": ["a", "b:1234", "[::1]:99", "a"], "username": "u", "password": "p"},
            [("a", 5672, "/", "u", "p"), ("b", 1234, "/", "u", "p"), ("::1", 99, "/", "u", "p")],
        ),
        (
            {"host": "first", "hosts": ["second"]},
            [("first", 5672, "/", "guest", "guest"), ("second", 5672, "/", "guest", "guest")],
        ),
        (
            {"url": "amqp://u%40x:p%2Fw@rabbit:1234/my%20host"},
            [("rabbit", 1234, "my host", "u@x", "p/w")],
        ),
        ({"url": "amqp://rabbit"}, [("rabbit", 5672, "/", "guest", "guest")]),
        ({"url": "amqp://rabbit/%2F"}, [("rabbit", 5672, "/", "guest", "guest")]),
        (
            {"url": "amqps://rabbit/v", "username": "u", "password": "p"},
            [("rabbit", 5671, "v", "u", "p")],
        ),
        ({"url": "amqp://u:p@[::1]:5/"}, [("::1", 5, "/", "u", "p")]),
        (
            {"url": "amqp://u:p@a", "hosts": ["b"]},
            [("a", 5672, "/", "u", "p"), ("b", 5672, "/", "u", "p")],
        ),
    ],
)
def test_settings_become_parameters(given: dict[str, Any], expected: list[tuple[str, int, str, str, str]]) -> None:
    assert _told(_settings(**given)) == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "names no broker"),
        ({"url": "amqp://"}, "names no broker"),
        ({"url": "http://rabbit"}, "amqp://"),
        ({"url": "rabbit:5672"}, "amqp://"),
        ({"url": "amqp://rabbit:port"}, "no URL"),
        ({"url": "amqp://rabbit?heartbeat=0"}, "no query"),
        ({"host": "a:b:c"}, "'a:b:c' is no broker"),
        ({"host": "a/b"}, "'a/b' is no broker"),
        ({"hosts": ["u:secret@a"]}, "is no broker"),
        ({"host": "a", "tls": TlsSettings(ca_file="/no/ca.pem")}, "ca_file /no/ca.pem"),
        ({"host": "a", "tls": TlsSettings(cert_file="/no/c.pem")}, "cert_file /no/c.pem"),
    ],
)
def test_settings_that_name_no_broker_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        consumer(_settings(**given), prefetch=1)
    with pytest.raises(ConfigError, match=sentence):
        publisher(_settings(**given))


def test_tls_always_verifies_broker_and_name(tmp_path: Path) -> None:
    pems = certificates.make(tmp_path)
    tls = TlsSettings(ca_file=str(pems.ca), cert_file=str(pems.client), key_file=str(pems.client_key))
    (one,) = parameters(_settings(host="rabbit", tls=tls))
    assert one.port == 5671
    context = one.ssl_options.context
    assert one.ssl_options.server_hostname == "rabbit"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_key_that_does_not_fit_its_certificate_is_told(tmp_path: Path) -> None:
    pems = certificates.make(tmp_path)
    tls = TlsSettings(ca_file=str(pems.ca), cert_file=str(pems.client), key_file=str(pems.server_key))
    with pytest.raises(ConfigError, match="key_file"):
        parameters(_settings(host="rabbit", tls=tls))


def test_every_wait_has_a_limit() -> None:
    (one,) = parameters(_settings(host="rabbit"))
    limits = (one.heartbeat, one.socket_timeout, one.stack_timeout)
    assert all(0 < limit <= 30 for limit in limits)
    assert one.connection_attempts == 1


def test_other_brokers_are_rabbitmq() -> None:
    settings = _settings(host="rabbit")
    assert isinstance(consumer(settings, prefetch=1), RabbitConsumer)
    assert isinstance(publisher(settings), RabbitPublisher)
