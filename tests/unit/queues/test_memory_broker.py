from __future__ import annotations

import threading

import pytest
from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.queues import DELAYS_S, consumer, memory, publisher
from lando.queues.memory import MemoryBroker, broker
from tests.services.consuming import consuming


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_everyone_who_names_a_broker_gets_the_same() -> None:
    settings = WorkQueueSettings(listen_queue="work", url="memory://the-same")
    publisher(settings).publish("work", b"hello").result(0)
    with consuming(lambda: consumer(settings, prefetch=1)) as work:
        assert work.wait_for(1)[0].body == b"hello"
    assert broker("the-same") is broker("the-same")
    assert broker("another").depth("work") == 0


@pytest.mark.parametrize("url", ["memory://", "memory:///", "memory://lando"])
def test_a_broker_without_a_name_is_called_lando(url: str) -> None:
    publisher(WorkQueueSettings(listen_queue="work", url=url)).publish("unnamed", b"hello")
    assert broker("lando").depth("unnamed") > 0


def test_the_ladder_waits_5_30_and_300_seconds() -> None:
    clock = Clock()
    memory_broker = MemoryBroker(clock=clock)
    memory_broker.publisher().publish("work", b"bad")
    with consuming(lambda: memory_broker.consumer("work", prefetch=1)) as work:
        for number, delay_s in enumerate(DELAYS_S):
            work.wait_for(number + 1)[number].retry("why")
            clock.now += delay_s - 0.001
            memory_broker.wake()
            threading.Event().wait(0.05)
            assert len(work.deliveries) == number + 1
            clock.now += 0.001
            memory_broker.wake()
        last = work.wait_for(len(DELAYS_S) + 1)[-1]
        assert last.failures == len(DELAYS_S)
        last.retry("at last")
    assert [(dead.reason, dead.failures) for dead in memory_broker.dead("work")] == [("at last", len(DELAYS_S))]
    assert memory_broker.depth("work") == 0


def test_a_requeued_message_comes_before_later_ones() -> None:
    memory_broker = MemoryBroker()
    for body in (b"1", b"2", b"3"):
        memory_broker.publisher().publish("work", body)
    with consuming(lambda: memory_broker.consumer("work", prefetch=1)) as work:
        work.wait_for(1)[0].requeue()
        work.wait_for(2)[1].ack()
        work.wait_for(3)
        assert work.bodies == [b"1", b"1", b"2"]


def test_a_full_queue_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_MESSAGES", 2)
    publishing = MemoryBroker().publisher()
    futures = [publishing.publish("work", b"%d" % number) for number in range(3)]
    assert [type(future.exception()) for future in futures] == [type(None), type(None), Unavailable]


def test_a_dead_letter_that_makes_room_for_a_newer_one_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "MAX_DEAD", 2)
    memory_broker = MemoryBroker()
    with consuming(lambda: memory_broker.consumer("work", prefetch=5)) as work:
        for number in range(3):
            memory_broker.publisher().publish("work", b"x")
            work.wait_for(number + 1)[number].dead(f"reason {number}")
    assert [one.reason for one in memory_broker.dead("work")] == ["reason 1", "reason 2"]
    assert "The oldest dead letter of work goes, as 2 lie there: reason 0" in caplog.text


def test_unread_notices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_NOTICES", 3)
    memory_broker = MemoryBroker()
    notices = memory_broker.listen()
    for number in range(5):
        memory_broker.notify(b"%d" % number)
    assert list(notices) == [b"2", b"3", b"4"]


def test_an_error_of_the_handler_ends_the_run_and_gives_everything_back() -> None:
    memory_broker = MemoryBroker()
    memory_broker.publisher().publish("work", b"1")
    failing = memory_broker.consumer("work", prefetch=1)

    def on_delivery(_: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        failing.run(on_delivery, threading.Event())
    assert not failing.active
    with consuming(lambda: memory_broker.consumer("work", prefetch=1)) as work:
        assert work.wait_for(1)[0].body == b"1"
