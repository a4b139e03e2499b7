from __future__ import annotations

import inspect
import socket
import ssl
import threading

import pika
import pika.exceptions
import pytest
from lando.certificates import other_name
from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.queues.rabbitmq import link, parameters
from lando.queues.rabbitmq.publisher import MAX_PENDING, RabbitPublisher
from pika.adapters.utils import connection_workflow
from tests.services.providing import free_port

BROKERS = parameters.parameters(WorkQueueSettings(listen_queue="q", host="rabbit", password="Tr0ub4dor"))


def _connect_fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Unavailable:
    def refuse(_: pika.ConnectionParameters) -> pika.BlockingConnection:
        raise error

    monkeypatch.setattr(pika, "BlockingConnection", refuse)
    with pytest.raises(Unavailable) as caught:
        link.connect(BROKERS, "test")
    assert "Tr0ub4dor" not in f"{caught.value} {caught.value!r}"
    return caught.value


@pytest.mark.parametrize(
    ("error", "sentence", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "rabbit:5672: Connection refused", None),
        (socket.gaierror(-2, "Name or service not known"), "rabbit:5672: Name or service not known", None),
        (pika.exceptions.AMQPConnectionError(TimeoutError("timed out")), "rabbit:5672: timed out", None),
        (
            pika.exceptions.ConnectionClosedByBroker(320, "shutdown"),
            "rabbit:5672 closed the connection: shutdown",
            None,
        ),
        (pika.exceptions.ConnectionClosedByBroker(403, "refused"), "refused user 'guest'", link.ACCESS_REFUSED),
        (pika.exceptions.ConnectionClosedByBroker(530, "no vhost"), "virtual host '/'", link.ACCESS_REFUSED),
        (pika.exceptions.AuthenticationError("PLAIN"), "check username", link.ACCESS_REFUSED),
        (
            pika.exceptions.ProbableAuthenticationError(
                repr(pika.exceptions.ConnectionClosedByBroker(403, "ACCESS_REFUSED"))
            ),
            "check username",
            link.ACCESS_REFUSED,
        ),
        (
            pika.exceptions.ProbableAccessDeniedError(
                repr(pika.exceptions.ConnectionClosedByBroker(530, "NOT_ALLOWED"))
            ),
            "virtual_host",
            link.ACCESS_REFUSED,
        ),
        (
            pika.exceptions.ProbableAuthenticationError(repr(pika.exceptions.ConnectionClosedByBroker(320, "bye"))),
            "hung up during the login",
            None,
        ),
        (pika.exceptions.ProbableAuthenticationError("x"), "hung up during the login", None),
        (pika.exceptions.ProbableAccessDeniedError("x"), "hung up during the login", None),
        (
            pika.exceptions.AMQPConnectionError(ssl.SSLCertVerificationError(1, "self-signed certificate")),
            "TLS failed",
            link.TLS_FAILED,
        ),
        (
            pika.exceptions.IncompatibleProtocolError(
                """StreamLostError: ("Stream connection lost: SSLError(1, '[SSL] alert certificate required')",)"""
            ),
            "TLS failed ([SSL] alert certificate required); check work_queue.tls",
            link.TLS_FAILED,
        ),
        (
            pika.exceptions.StreamLostError("Stream connection lost: SSLEOFError(8, 'EOF occurred')"),
            "rabbit:5672: EOF occurred",
            None,
        ),
        (
            pika.exceptions.StreamLostError("Stream connection lost: ConnectionResetError(104, 'reset by peer')"),
            "rabbit:5672: reset by peer",
            None,
        ),
        (pika.exceptions.IncompatibleProtocolError("no AMQP"), "rabbit:5672: no AMQP", None),
        (pika.exceptions.AMQPConnectionError(), "rabbit:5672: AMQPConnectionError", None),
    ],
)
def test_a_failure_to_connect_becomes_a_sentence(
    error: BaseException, sentence: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _connect_fails_with(error, monkeypatch)
    assert sentence in str(told)
    assert told.reason == reason


def test_a_certificate_for_another_name_is_told_also_where_its_names_can_not_be_had() -> None:
    told = other_name("127.0.0.1", free_port(), ssl.create_default_context(), 5.0)
    assert told.startswith("its certificate is not for 127.0.0.1; connect to it by its name, or give the broker ")


def test_every_error_of_the_library_is_one_that_we_expect() -> None:
    errors = [
        one
        for module in (pika.exceptions, connection_workflow)
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Exception) and one.__module__.startswith("pika.")
    ]
    of_our_own_making = {  # calls that we do not make, or not from inside a callback
        pika.exceptions.ChannelError,
        pika.exceptions.DuplicateGetOkCallback,
        pika.exceptions.ReentrancyError,
    }
    assert {one for one in errors if not issubclass(one, link.BROKEN)} <= of_our_own_making


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "another protocol"])
def test_something_else_that_listens_there_is_told_soon(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "HANDSHAKE_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            peer, _ = server.accept()
            kept.append(peer)
            peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        settings = WorkQueueSettings(listen_queue="q", host="127.0.0.1", port=server.getsockname()[1])
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            link.connect(parameters.parameters(settings), "test")
        thread.join()
        for peer in kept:
            peer.close()


def test_waits_between_tries_grow_vary_and_are_limited() -> None:
    for failures in (1, 2, 3, 10, 10_000):
        waits = {link.backoff_s(failures) for _ in range(50)}
        longest = min(link.BACKOFF_S * 2.0 ** min(failures - 1, 16), link.BACKOFF_LIMIT_S)
        assert len(waits) > 10
        assert all(longest / 2 <= wait <= longest for wait in waits)


def test_a_publisher_that_can_not_keep_up_refuses_instead_of_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(RabbitPublisher, "_publish_once", lambda *_: release.wait(10))
    publisher = RabbitPublisher(WorkQueueSettings(listen_queue="q", host="127.0.0.1"))
    futures = [publisher.publish("q", b"") for _ in range(MAX_PENDING + 2)]
    assert isinstance(futures[-1].exception(10), Unavailable)
    release.set()
    assert futures[0].result(10) is None
    publisher.close()
    assert all(future.done() for future in futures)


def test_nobody_waits_for_a_publisher_whose_thread_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: failed.set())

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(RabbitPublisher, "_publish_once", fail)
    publisher = RabbitPublisher(WorkQueueSettings(listen_queue="q", host="127.0.0.1"))
    assert isinstance(publisher.publish("q", b"").exception(10), Unavailable)
    assert failed.wait(10)
    assert isinstance(publisher.publish("q", b"").exception(10), Unavailable)
    assert publisher.wrong() == "The thread that publishes has ended."


def test_a_canceled_message_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    began, release = threading.Event(), threading.Event()

    def publish_once(_: object, outgoing: object) -> None:
        sent.append(outgoing.body)  # type: ignore[attr-defined]
        began.set()
        release.wait(10)

    monkeypatch.setattr(RabbitPublisher, "_publish_once", publish_once)
    publisher = RabbitPublisher(WorkQueueSettings(listen_queue="q", host="127.0.0.1"))
    first = publisher.publish("q", b"1")
    assert began.wait(10)
    second, third = publisher.publish("q", b"2"), publisher.publish("q", b"3")
    assert second.cancel()
    release.set()
    assert (first.result(10), third.result(10)) == (None, None)
    publisher.close()
    assert sent == [b"1", b"3"]
