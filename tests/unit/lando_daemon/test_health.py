"""Each red light of the lando daemon, one by one: ``/healthz`` where a restart helps, ``/readyz`` where it does not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lando import queues
from lando.config import WorkQueueSettings
from lando.errors import ConfigError, MessageError, Unavailable
from lando.k8s import dispatch
from lando.k8s import patrol as patrol_module
from lando.k8s.health import STUCK_S, HealthServer
from lando.k8s.lando import LandoDaemon
from lando.k8s.metrics import BOTH, LANDO, QUEUE_MESSAGES
from lando.k8s.outage import Outage
from lando.k8s.patrol import Patrol, queue_check
from lando.messages import Command, codec
from lando.pulse import Pulse
from lando.queues.memory import MemoryBroker, MemoryPublisher
from tests.services.health import Asks
from tests.services.providing import free_port, wait_until

OK = (200, "ok")


@contextlib.contextmanager
def running(daemon: LandoDaemon) -> Iterator[None]:
    """The daemon at work; its failure is no failure of the test."""
    stop = threading.Event()

    def run() -> None:
        with contextlib.suppress(RuntimeError):
            daemon.run(stop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def daemon_on(world: Any, consumer: Any) -> LandoDaemon:
    """A daemon of the world's on another consumer."""
    return LandoDaemon(
        world.config,
        cluster=world.cluster,
        source=world.source,
        consumer=consumer,
        publisher=world.broker.publisher(),
        stop_s=5.0,
    )


@contextlib.contextmanager
def at_once(checks: dict[str, Callable[[], None]]) -> Iterator[Patrol]:
    patrol = Patrol(checks, every_s=0.01)
    patrol.start()
    yield patrol
    patrol.stop()
    patrol._thread.join(10)


def test_a_daemon_at_work_is_alive_and_ready_and_serves_its_metrics(world: Any, asks: Asks) -> None:
    world.start()
    ask = asks(world.daemon, figures=(LANDO, BOTH))
    wait_until(lambda: ask("/readyz") == OK, what="being ready")
    assert ask("/healthz") == OK
    assert "lando_active 1.0" in ask("/metrics")[1]
    assert ask("/")[0] == 404


def test_a_peer_that_was_away_at_the_start_is_soon_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patrol_module, "AGAIN_S", 0.001)
    answers = iter([Unavailable("broker", "refused"), Unavailable("broker", "refused"), None])

    def check() -> None:
        if error := next(answers):
            raise error

    patrol = Patrol({"broker": check}, every_s=3600)
    patrol.start()
    wait_until(lambda: patrol.waits_for() is None, what="the third answer")
    patrol.stop()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"metrics_port: 127\.0\.0\.1:{port} can't be listened on: Address"):
            HealthServer(port, (), host="127.0.0.1", figures=())


def test_consuming_that_ended_is_red(world: Any, asks: Asks) -> None:
    class Broken:
        active, is_standby, waits_for = False, False, None

        def run(self, on_delivery: Any, stop: threading.Event, on_active: Any) -> None:
            raise RuntimeError("a bug")

        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def wrong(self) -> None: ...

    world.start()
    daemon = daemon_on(world, Broken())
    ask = asks(daemon)
    with running(daemon):
        wait_until(lambda: daemon.wrong() is not None, what="the red light")
        for path in ("/healthz", "/readyz"):
            assert ask(path) == (503, "Consuming ended: an internal error (RuntimeError)")


def test_a_consuming_thread_that_hangs_is_red_and_one_that_pauses_is_not(
    world: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_body: bytes) -> Any:
        hangs.set()
        go_on.wait(10)
        raise MessageError("nothing that could be read")

    monkeypatch.setattr(codec, "decode", hang)
    world.start()
    consumer = world.daemon._consumer
    consumer._pulse = Pulse("The thread that consumes from lando", queues.STUCK_S, clock=lambda: now)
    ask = asks(world.daemon)
    consumer.pause()
    for _ in range(3):
        now += queues.STUCK_S + 1
        wait_until(lambda: ask("/healthz") == OK, what="another round of the loop that is paused")
    consumer.resume()
    world.broker.publisher().publish("lando", b"{}")
    assert hangs.wait(10)
    now += queues.STUCK_S + 1
    told = "The thread that consumes from lando hangs: it has not come round for 301 s."
    assert ask("/healthz") == ask("/readyz") == (503, told)
    go_on.set()
    wait_until(lambda: ask("/healthz") == OK, what="the end of it")


def test_a_resync_that_hangs_is_red(world: Any, asks: Asks) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        asked.set()
        go_on.wait(10)

    world.admin.before = hang
    world.start()
    ask = asks(world.daemon)
    assert asked.wait(10)
    world.daemon._resync_pulse.limit_s = -1.0
    assert ask("/healthz")[1].startswith("The resync hangs: ")
    go_on.set()
    wait_until(lambda: ask("/healthz") == OK, what="the end of it")


def test_a_probe_that_hangs_is_red_and_one_that_waits_is_not() -> None:
    now = 1000.0
    asked, go_on, resumed = threading.Event(), threading.Event(), threading.Event()

    def probe() -> None:
        nonlocal now
        if not asked.is_set():
            now += 0.9 * STUCK_S  # a slow one
            asked.set()
            raise Unavailable("cluster", "connection refused", retry_after_s=0.01)
        go_on.wait(10)

    outage = Outage(pause=lambda: None, resume=resumed.set, probe=probe, stop=threading.Event(), first_s=0.001)
    outage._pulse = Pulse("Who asks whether the others are back", STUCK_S, clock=lambda: now)
    outage.report(Unavailable("cluster", "connection refused"))
    assert asked.wait(10)
    assert outage.wrong() is None

    def is_red() -> bool:
        nonlocal now
        now += STUCK_S + 1  # while it waits for its next try, nothing is expected of it
        return outage.wrong() is not None

    wait_until(is_red, what="the red light")
    assert (outage.wrong() or "").startswith("Who asks whether the others are back hangs: ")
    go_on.set()
    assert resumed.wait(10)
    now += STUCK_S + 1
    assert outage.wrong() is None


def test_a_resync_that_ended_is_red(world: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LandoDaemon, "_resync", lambda self: None)
    world.start()
    ask = asks(world.daemon)
    wait_until(lambda: ask("/healthz") == (503, "The thread resync has ended."), what="the red light")


def test_a_worker_that_hangs_is_red(world: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    world.admin.before = lambda method, path: go_on.wait(10)
    world.start()
    ask = asks(world.daemon)
    world.send(Command.START)
    monkeypatch.setattr(dispatch, "STUCK_S", 0.0)
    wait_until(lambda: ask("/healthz")[0] == 503, what="the red light")
    assert ask("/healthz")[1].startswith("A worker has been at one run for ")
    go_on.set()
    wait_until(lambda: ask("/healthz") == OK, what="the end of it")


def test_a_worker_that_ended_is_red(world: Any, asks: Asks) -> None:
    world.start()
    ask = asks(world.daemon)
    wait_until(lambda: world.daemon._dispatcher._has_started, what="all workers at work")
    world.daemon._dispatcher._threads.append(threading.Thread())
    assert ask("/healthz") == (503, "A worker has ended.")
    del world.daemon._dispatcher._threads[-1]


def test_a_broker_that_is_away_is_waited_for(world: Any, asks: Asks) -> None:
    world.start()
    settings = WorkQueueSettings(listen_queue="lando", url=f"amqp://u:p@127.0.0.1:{free_port()}/")
    daemon = daemon_on(world, queues.consumer(settings, prefetch=1))
    ask = asks(daemon)
    with running(daemon):
        wait_until(lambda: "refused" in ask("/readyz")[1], what="the reason")
        status, told = ask("/readyz")
        assert (status, ask("/healthz")) == (503, (200, f"waiting: {told}"))


def test_a_broker_that_blocks_publishing_is_told_as_long_as_it_does(
    world: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    publisher = world.broker.publisher()
    told = "The broker blocks publishing since 2026-03-04T12:00:00Z (low on memory)"
    with at_once({"broker": queue_check(publisher, "lando")}) as patrol:
        ask = asks(world.daemon, patrol)
        wait_until(lambda: ask("/readyz") == OK, what="being ready")
        monkeypatch.setattr(MemoryPublisher, "blocked", told)
        monkeypatch.setattr(publisher, "_closed", True)  # what is asked of it is not answered either
        assert ask("/readyz") == (503, told)
        assert ask("/healthz") == (200, f"waiting: {told}")
        monkeypatch.setattr(publisher, "_closed", False)
        monkeypatch.setattr(MemoryPublisher, "blocked", None)
        assert ask("/readyz") == OK, "at once, not with the next patrol"


def test_an_api_or_a_cluster_that_is_away_is_told_of_while_there_is_nothing_to_do(world: Any, asks: Asks) -> None:
    world.start()
    with at_once({"API or cluster": world.daemon.probe}) as patrol:
        ask = asks(world.daemon, patrol)
        wait_until(lambda: ask("/readyz") == OK, what="being ready")

        def refuse(*_: Any) -> None:
            raise Unavailable("Bespin API", "GET job-errors/ was answered with 401")

        for peer in (world.admin, world.cluster):
            before, peer.before = peer.before, refuse
            wait_until(lambda: ask("/readyz")[0] == 503, what="the red light")
            assert "401" in ask("/readyz")[1]
            assert ask("/healthz")[0] == 200
            peer.before = before
            wait_until(lambda: ask("/readyz") == OK, what="being ready again")


def test_a_pause_is_told_and_no_reason_for_a_restart(world: Any, asks: Asks) -> None:
    world.start()
    ask = asks(world.daemon)
    wait_until(lambda: ask("/readyz") == OK, what="being ready")

    def refuse(*_: Any) -> None:
        raise Unavailable("cluster", "connection refused")

    world.cluster.before = refuse
    world.send(Command.START)
    wait_until(lambda: ask("/readyz") == (503, "cluster: connection refused"), what="the pause")
    assert ask("/healthz") == (200, "waiting: cluster: connection refused")


def test_a_standby_is_ready_so_that_the_next_pod_may_be_replaced(world: Any, asks: Asks) -> None:
    world.start()
    wait_until(lambda: world.daemon._consumer.active, what="the active one")
    standby = daemon_on(world, world.broker.consumer("lando", prefetch=1))
    ask = asks(standby)
    with running(standby):
        told = (200, "standing by: Another consumer is active on lando.")
        wait_until(lambda: ask("/readyz") == told, what="standing by")
        assert ask("/healthz") == told


def test_a_patrol_that_has_not_asked_yet_is_not_ready_and_one_that_ended_is_red(asks: Asks) -> None:
    asked, answer = threading.Event(), threading.Event()

    def check() -> None:
        asked.set()
        answer.wait(10)

    patrol = Patrol({"broker": check}, every_s=0.01)
    ask = asks(patrol)
    patrol.start()
    assert asked.wait(10)
    assert ask("/readyz") == (503, "broker: has not been asked yet")
    patrol._pulse.limit_s = -1.0
    assert ask("/healthz")[1].startswith("Who asks after other systems hangs: ")
    patrol._pulse.limit_s = STUCK_S
    answer.set()
    wait_until(lambda: ask("/readyz") == OK, what="the answer")
    patrol.stop()
    patrol._thread.join(10)
    patrol._stop.clear()
    assert ask("/healthz") == (503, "Nobody asks after other systems any more.")


def test_messages_are_counted_where_they_lie_and_no_figure_outlives_the_broker() -> None:
    broker = MemoryBroker()
    publisher = broker.publisher()
    check = queue_check(publisher, "counted")
    publisher.publish("counted", b"x").result(0)

    def count(state: str) -> float | None:
        return BOTH.registry.get_sample_value("lando_queue_messages", {"queue": "counted", "state": state})

    check()
    assert [count(state) for state in ("ready", "delayed", "dead")] == [1, 0, 0]
    publisher.close()
    with pytest.raises(Unavailable):
        check()
    assert count("ready") is None
    QUEUE_MESSAGES.clear()
