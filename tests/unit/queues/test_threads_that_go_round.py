"""Who consumes and who publishes say that they go round: red where they hang, never where they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.pulse import Pulse
from lando.queues import STUCK_S
from lando.queues.rabbitmq import consumer as consumer_module
from lando.queues.rabbitmq import link
from lando.queues.rabbitmq.consumer import RabbitConsumer
from lando.queues.rabbitmq.publisher import RabbitPublisher

SETTINGS = WorkQueueSettings(listen_queue="q", host="127.0.0.1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def at_work(run: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_pulse_is_wrong_only_while_a_beat_is_overdue(clock: Clock) -> None:
    pulse = Pulse("The clerk", 60.0, clock)
    clock.now += 1e6
    assert pulse.wrong() is None, "it has not begun"
    pulse.beat()
    clock.now += 60
    assert pulse.wrong() is None
    clock.now += 1
    assert pulse.wrong() == "The clerk hangs: it has not come round for 61 s."
    pulse.beat()
    assert pulse.wrong() is None
    pulse.rest()
    clock.now += 1e6
    assert pulse.wrong() is None


def test_a_broker_that_is_away_for_days_is_no_reason_for_a_restart(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()
    tries = 0

    def connect(*_: Any) -> link.Link:
        nonlocal tries
        tries += 1
        assert consumer.wrong() is None
        clock.now += 60  # as long as it may take with some hosts
        if tries > 50:
            tried.set()
        raise Unavailable("broker", "127.0.0.1:5672: Connection refused")

    monkeypatch.setattr(consumer_module, "connect", connect)
    monkeypatch.setattr(link, "BACKOFF_LIMIT_S", 0.001)
    consumer = RabbitConsumer(SETTINGS, prefetch=1)
    consumer._pulse = Pulse("The thread that consumes from q", STUCK_S, clock)
    with at_work(lambda stop: consumer.run(lambda _: None, stop)):
        assert tried.wait(10)
    assert consumer.wrong() is None
    clock.now += 1e6
    assert consumer.wrong() is None, "it has ended in order"


def test_a_consumer_that_hangs_in_its_library_is_red(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def connect(*_: Any) -> link.Link:
        hangs.set()
        go_on.wait(10)
        raise Unavailable("broker", "127.0.0.1:5672: Connection refused")

    monkeypatch.setattr(consumer_module, "connect", connect)
    consumer = RabbitConsumer(SETTINGS, prefetch=1)
    consumer._pulse = Pulse("The thread that consumes from q", STUCK_S, clock)
    with at_work(lambda stop: consumer.run(lambda _: None, stop)):
        assert hangs.wait(10)
        clock.now += STUCK_S + 1
        assert consumer.wrong() == "The thread that consumes from q hangs: it has not come round for 301 s."
        go_on.set()


def test_a_publisher_that_hangs_is_red_and_one_without_work_is_not(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hangs.set()
        go_on.wait(10)

    monkeypatch.setattr(RabbitPublisher, "_publish_once", hang)
    publisher = RabbitPublisher(SETTINGS)
    publisher._pulse = Pulse("The thread that publishes", STUCK_S, clock)
    confirmed = publisher.publish("q", b"")
    assert hangs.wait(10)
    clock.now += STUCK_S + 1
    assert publisher.wrong() == "The thread that publishes hangs: it has not come round for 301 s."
    go_on.set()
    confirmed.result(10)
    publisher.publish("q", b"").result(10)  # by then it waits for more, or is about to
    publisher.close()
    clock.now += 1e6
    assert publisher.wrong() is None
