"""When a consumer may take itself for the one at work: what counts is what the broker may have done meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from lando.errors import Unavailable
from lando.queues.rabbitmq import session as module
from lando.queues.rabbitmq.link import Link
from lando.queues.rabbitmq.publisher import RabbitPublisher
from lando.queues.rabbitmq.session import STOP_CHECK_S, Session

HEARTBEAT_S = 4.0


class Channel:
    """A channel that agrees to everything."""

    is_open = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: "tag"


class Broker:
    """A link to a broker, and the clock of both; ``stop`` is what happens while the link is served."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.heartbeat_s = HEARTBEAT_S
        self.is_open = True
        self.bytes_received = 0
        self.connection = self
        self.turns: Iterator[tuple[float, int]] = iter(())
        """Of each turn: how long it takes, and how many bytes come in."""
        self.seen: list[bool] = []
        """Whether the session was active before each turn."""
        self.session: Session | None = None
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1

    def channel(self) -> Channel:
        return Channel()

    def serve(self, _seconds: float) -> None:
        assert self.session is not None
        self.seen.append(self.session.active)
        assert self.beats == len(self.seen), "one beat before each turn"
        lasted_s, received = next(self.turns)
        self.now += lasted_s
        self.bytes_received += received

    def errors(self) -> Broker:
        return self

    def limit(self) -> Broker:
        return self

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(module, "_now", lambda: made.now)
    link = cast("Link", made)
    made.session = Session(
        link, cast("RabbitPublisher", None), queue="lando", prefetch=1, delays_s=(1,), beat=made.beat
    )
    assert made.session.wait_for_lease(threading.Event(), 1.0)
    assert made.session.active
    return made


def served(broker: Broker, *turns: tuple[float, int]) -> str:
    """What ends the session that sees these turns."""
    assert broker.session is not None
    broker.turns = iter([*turns, (100 * HEARTBEAT_S, 0)])
    with pytest.raises(Unavailable) as ended:
        broker.session.serve(lambda _delivery: None, threading.Event(), threading.Event())
    assert not broker.session.active
    return str(ended.value)


def test_one_stays_active_while_heartbeats_come(broker: Broker) -> None:
    quiet = [(STOP_CHECK_S, 0)] * round(HEARTBEAT_S / 2 / STOP_CHECK_S)
    served(broker, *([*quiet, (STOP_CHECK_S, 8)] * 5))
    assert all(broker.seen)


def test_one_is_not_active_long_before_the_broker_gives_the_place_away(broker: Broker) -> None:
    assert "nothing was heard of it" in served(broker, *[(STOP_CHECK_S, 0)] * 100)
    assert broker.now - 1000.0 <= 1.25 * HEARTBEAT_S + STOP_CHECK_S


def test_a_process_that_was_stopped_does_not_become_active_by_what_lay_in_its_buffers(broker: Broker) -> None:
    assert "nothing was heard of it" in served(broker, (STOP_CHECK_S, 8), (60.0, 192), (STOP_CHECK_S, 8))
    assert len(broker.seen) == 2


def test_old_news_do_not_count_as_of_now(broker: Broker) -> None:
    """A stop that is too short for the broker to notice, and the connection lost behind it."""
    served(broker, (STOP_CHECK_S, 8), (HEARTBEAT_S, 16), *[(STOP_CHECK_S, 0)] * 100)
    assert broker.now - 1000.0 <= 1.25 * HEARTBEAT_S + 3 * STOP_CHECK_S
