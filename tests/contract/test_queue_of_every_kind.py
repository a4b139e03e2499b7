"""What consumers and publishers may rely on, whichever broker is behind them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.queues import Consumer, Publisher
from lando.queues.dead import DeadLetter, DeadLetters, Fate
from lando.queues.memory import MemoryBroker
from lando.queues.rabbitmq.consumer import RabbitConsumer
from lando.queues.rabbitmq.dead_letters import RabbitDeadLetters
from lando.queues.rabbitmq.publisher import RabbitPublisher
from tests.services.consuming import Consuming, consuming
from tests.services.providing import wait_until
from tests.services.rabbitmq import RabbitMQ

DELAYS_S = (0.05, 0.1)
TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Dead:
    body: bytes
    reason: str
    failures: int


@dataclass(frozen=True)
class Broker:
    """A broker as its peers see it."""

    queue: str
    consumer: Callable[..., Consumer]
    publisher: Callable[[], Publisher]
    dead_letters: Callable[[], DeadLetters]
    listen: Callable[[], contextlib.AbstractContextManager[Callable[[], list[bytes]]]]

    def publish(self, *bodies: bytes) -> None:
        """Publish ``bodies`` in order and wait for every confirm."""
        publisher = self.publisher()
        try:
            for confirmed in [publisher.publish(self.queue, body) for body in bodies]:
                confirmed.result(TIMEOUT_S)
        finally:
            publisher.close()

    def dead(self) -> list[Dead]:
        """What was put aside, oldest first."""
        return [Dead(one.body, one.reason, one.failures) for one in self.letters()]

    def letters(self, limit: int = 1000) -> list[DeadLetter]:
        """The dead letters, which stay."""
        found: list[DeadLetter] = []

        def keep(one: DeadLetter) -> Fate:
            found.append(one)
            return Fate.KEEP

        self.visit(keep, limit)
        return found

    def visit(self, judge: Callable[[DeadLetter], Fate], limit: int = 1000) -> int:
        return self.dead_letters().visit(judge, limit=limit)

    def put_aside(self, *bodies: bytes) -> None:
        """Have ``bodies`` put aside, each with a reason of its own."""
        self.publish(*bodies)
        already = len(self.dead())
        with self.consuming() as work:
            for delivery in work.wait_for(len(bodies)):
                delivery.dead(f"no use: {delivery.body.decode()}")
            wait_until(lambda: len(self.dead()) == already + len(bodies), TIMEOUT_S, what="the dead letters")

    def consuming(self, prefetch: int = 10) -> contextlib.AbstractContextManager[Consuming]:
        return consuming(lambda: self.consumer(prefetch=prefetch))


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.service("rabbitmq"))])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return _memory()
    return _rabbitmq(request.getfixturevalue("rabbitmq"), request.getfixturevalue("queue_name"))


def _memory() -> Broker:
    memory = MemoryBroker(delays_s=DELAYS_S)

    @contextlib.contextmanager
    def listen() -> Iterator[Callable[[], list[bytes]]]:
        notices = memory.listen()
        yield lambda: list(notices)

    return Broker(
        queue="work",
        consumer=lambda prefetch: memory.consumer("work", prefetch=prefetch),
        publisher=memory.publisher,
        dead_letters=lambda: memory.dead_letters("work"),
        listen=listen,
    )


def _rabbitmq(rabbitmq: RabbitMQ, queue: str) -> Broker:
    settings = WorkQueueSettings(listen_queue=queue, url=rabbitmq.url)

    @contextlib.contextmanager
    def listen() -> Iterator[Callable[[], list[bytes]]]:
        with contextlib.closing(rabbitmq.connect()) as connection:
            channel = connection.channel()
            channel.exchange_declare("job_status", "fanout", durable=False)
            own = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(own, "job_status")
            notices: list[bytes] = []

            def received() -> list[bytes]:
                while (got := channel.basic_get(own, auto_ack=True))[0] is not None:
                    notices.append(got[2])
                return notices

            yield received

    return Broker(
        queue=queue,
        consumer=lambda prefetch: RabbitConsumer(settings, prefetch=prefetch, delays_s=DELAYS_S, standby_s=0.1),
        publisher=lambda: RabbitPublisher(settings),
        dead_letters=lambda: RabbitDeadLetters(settings),
        listen=listen,
    )


def test_messages_come_in_the_order_in_which_they_were_published(broker: Broker) -> None:
    broker.publish(b"1", b"2", b"3")
    with broker.consuming() as work:
        assert [delivery.body for delivery in work.wait_for(3)] == [b"1", b"2", b"3"]
        assert [delivery.failures for delivery in work.deliveries] == [0, 0, 0]


def test_what_lies_at_the_broker_can_be_counted_also_before_there_is_anything(broker: Broker) -> None:
    with contextlib.closing(broker.publisher()) as publisher:

        def depths() -> Mapping[str, int]:
            return publisher.depths(broker.queue, (0.05, 600)).result(TIMEOUT_S)

        assert depths() == {"ready": 0, "delayed": 0, "dead": 0}
        broker.publish(b"1", b"2", b"3")
        assert depths() == {"ready": 3, "delayed": 0, "dead": 0}
        with broker.consuming() as work:
            for delivery in work.wait_for(3)[:2]:
                delivery.dead("no use")
            wait_until(lambda: depths()["dead"] == 2, TIMEOUT_S, what="the dead letters")
        assert depths() == {"ready": 1, "delayed": 0, "dead": 2}
        broker.publish(b"4")  # on the same connections as before
    with pytest.raises(Unavailable):
        publisher.depths(broker.queue).result(TIMEOUT_S)


def test_an_acknowledged_message_is_gone(broker: Broker) -> None:
    broker.publish(b"done", b"after")
    with broker.consuming() as work:
        work.wait_for(2)[0].ack()
    with broker.consuming() as work:
        assert work.wait_for(1)[0].body == b"after"
        work.deliveries[0].ack()
    broker.publish(b"last")
    with broker.consuming() as work:
        work.wait_for(1)
        assert work.bodies == [b"last"]


def test_a_requeued_message_comes_again_uncounted(broker: Broker) -> None:
    broker.publish(b"again")
    with broker.consuming() as work:
        work.wait_for(1)[0].requeue()
        second = work.wait_for(2)[1]
        assert (second.body, second.failures) == (b"again", 0)


def test_a_failed_message_climbs_the_ladder_and_ends_among_the_dead(broker: Broker) -> None:
    broker.publish(b"bad")
    with broker.consuming() as work:
        for attempt in range(len(DELAYS_S) + 1):
            delivery = work.wait_for(attempt + 1)[attempt]
            assert (delivery.body, delivery.failures) == (b"bad", attempt)
            delivery.retry(f"failure {attempt}")
        found: list[Dead] = []

        def look() -> bool:
            found.extend(broker.dead())
            return bool(found)

        wait_until(look, TIMEOUT_S, what="a dead message")
        assert found == [Dead(b"bad", f"failure {len(DELAYS_S)}", len(DELAYS_S))]
        assert len(work.deliveries) == len(DELAYS_S) + 1


def test_a_postponed_message_comes_again_however_often_it_failed(broker: Broker) -> None:
    broker.publish(b"later")
    with broker.consuming() as work:
        for number, failures in enumerate((0, len(DELAYS_S), len(DELAYS_S))):
            delivery = work.wait_for(number + 1)[number]
            assert (delivery.body, delivery.failures) == (b"later", failures)
            delivery.postpone("not by itself")
        last = work.wait_for(4)[3]
        assert last.failures == len(DELAYS_S)
        last.retry("at last")
        wait_until(lambda: bool(broker.dead()), TIMEOUT_S, what="a dead message")


def test_a_failed_message_waits_while_others_pass(broker: Broker) -> None:
    broker.publish(b"slow", b"quick")
    with broker.consuming(prefetch=1) as work:
        work.wait_for(1)[0].retry("not yet")
        work.wait_for(2)[1].ack()
        work.wait_for(3)[2].ack()
        assert work.bodies == [b"slow", b"quick", b"slow"]


def test_a_message_without_hope_is_put_aside_at_once_with_its_reason(broker: Broker) -> None:
    broker.publish(b"\x80nonsense", b"fine")
    with broker.consuming() as work:
        bad, good = work.wait_for(2)
        bad.dead("The pickle is cut short — ü.")
        good.ack()
    assert broker.dead() == [Dead(b"\x80nonsense", "The pickle is cut short — ü.", 0)]


def test_no_more_than_the_prefetch_is_handed_out_unsettled(broker: Broker) -> None:
    broker.publish(*(b"%d" % number for number in range(5)))
    with broker.consuming(prefetch=2) as work:
        first, second = work.wait_for(2)
        threading.Event().wait(0.3)  # time in which a third could come
        assert len(work.deliveries) == 2
        first.ack()
        assert work.wait_for(3)[2].body == b"2"
        second.ack()
        work.wait_for(4)


def test_settling_twice_does_no_harm(broker: Broker) -> None:
    broker.publish(b"1", b"2")
    with broker.consuming(prefetch=1) as work:
        first = work.wait_for(1)[0]
        first.ack()
        first.ack()
        first.requeue()
        work.wait_for(2)[1].ack()
        assert work.bodies == [b"1", b"2"]


def test_a_paused_consumer_takes_nothing_but_settles_what_it_has(broker: Broker) -> None:
    with broker.consuming(prefetch=1) as work:
        broker.publish(b"before", b"after")
        work.wait_for(1)
        work.consumer.pause()
        work.deliveries[0].ack()
        threading.Event().wait(0.3)  # time in which the next could come
        assert work.bodies == [b"before"]
        assert work.consumer.active
        work.consumer.resume()
        work.wait_for(2)[1].ack()
    with broker.consuming() as work:
        work.wait_until_active()
        broker.publish(b"last")
        work.wait_for(1)
        assert work.bodies == [b"last"]


def test_a_consumer_paused_before_its_start_waits(broker: Broker) -> None:
    broker.publish(b"1")
    consumer = broker.consumer(prefetch=1)
    consumer.pause()
    with consuming(lambda: consumer) as work:
        work.wait_until_active()
        threading.Event().wait(0.3)
        assert work.bodies == []
        consumer.resume()
        work.wait_for(1)


def test_one_consumer_is_active_and_another_takes_over(broker: Broker) -> None:
    broker.publish(b"1")
    with broker.consuming() as standby_after:
        standby_after.wait_for(1)
        with broker.consuming() as standby:
            broker.publish(b"2")
            standby_after.wait_for(2)
            assert (standby_after.consumer.active, standby.consumer.active) == (True, False)
            assert standby.bodies == []
            assert (standby_after.times_active, standby.times_active) == (1, 0)
            standby_after.end()
            assert not standby_after.consumer.active
            assert [delivery.body for delivery in standby.wait_for(2)] == [b"1", b"2"]
            assert standby.consumer.active
            assert standby.times_active == 1


def test_what_a_lost_consumer_held_is_delivered_again_and_its_late_settlement_ignored(broker: Broker) -> None:
    broker.publish(b"1", b"2")
    with broker.consuming() as lost:
        lost.wait_for(2)
    with broker.consuming() as work:
        work.wait_for(2)
        assert sorted(work.bodies) == [b"1", b"2"]
        for delivery in lost.deliveries:
            delivery.ack()
        for delivery in lost.deliveries:
            delivery.retry("too late")
    with broker.consuming() as work:
        work.wait_for(2)
        assert sorted(work.bodies) == [b"1", b"2"]
    assert broker.dead() == []


def test_deliveries_may_be_settled_by_many_threads(broker: Broker) -> None:
    count = 50
    broker.publish(*(b"%d" % number for number in range(count)))
    with broker.consuming(prefetch=count) as work:
        threads = [threading.Thread(target=delivery.ack) for delivery in work.wait_for(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    broker.publish(b"last")
    with broker.consuming() as work:
        work.wait_for(1)
        assert work.bodies == [b"last"]


def test_a_confirmed_message_is_there_before_anyone_consumes(broker: Broker) -> None:
    publisher = broker.publisher()
    confirmed = publisher.publish(broker.queue, b"kept", content_type="application/json", message_id="7")
    assert confirmed.result(TIMEOUT_S) is None
    publisher.close()
    with broker.consuming() as work:
        work.wait_for(1)


def test_a_closed_publisher_has_sent_everything_and_takes_no_more(broker: Broker) -> None:
    publisher = broker.publisher()
    futures = [publisher.publish(broker.queue, b"%d" % number) for number in range(20)]
    publisher.close(timeout_s=TIMEOUT_S)
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(Unavailable, match="closed"):
        publisher.publish(broker.queue, b"late").result(TIMEOUT_S)
    publisher.notify(b"late")
    publisher.close()


def test_notices_reach_every_listener_in_order_and_vanish_without_one(broker: Broker) -> None:
    publisher = broker.publisher()
    publisher.notify(b"before anyone listens")
    publisher.publish(broker.queue, b"a message").result(TIMEOUT_S)
    with broker.listen() as first, broker.listen() as second:
        publisher.notify(b"1")
        publisher.notify(b"2")
        for received in (first, second):
            wait_until(lambda received=received: len(received()) >= 2, what="two notices")  # type: ignore[misc]
            assert [body for body in received() if body in (b"1", b"2")] == [b"1", b"2"]
    publisher.close()


def test_a_stop_ends_the_run_soon(broker: Broker) -> None:
    with broker.consuming() as work:
        work.wait_until_active()
        began = time.monotonic()
        work.end()
        assert time.monotonic() - began < 5
        assert not work.consumer.active


def test_the_limits_of_a_prefetch_are_checked(broker: Broker) -> None:
    with pytest.raises(ValueError, match="prefetch"):
        broker.consumer(prefetch=0)


# -- dead letters ---------------------------------------------------------------------------------------------


def test_nothing_put_aside_means_no_dead_letters(broker: Broker) -> None:
    assert broker.letters() == []


def test_looking_at_dead_letters_leaves_them_as_they_were(broker: Broker) -> None:
    broker.put_aside(b"1", b"2", b"3")
    first = broker.letters()
    assert [(one.body, one.reason, one.failures) for one in first] == [
        (b"1", "no use: 1", 0),
        (b"2", "no use: 2", 0),
        (b"3", "no use: 3", 0),
    ]
    assert all(one.time is not None and one.history == () for one in first)
    assert len({one.id for one in first}) == 3
    for _ in range(5):
        assert broker.letters() == first


def test_no_more_dead_letters_are_shown_than_asked_for(broker: Broker) -> None:
    broker.put_aside(b"1", b"2", b"3")
    seen: list[bytes] = []

    def keep(one: DeadLetter) -> Fate:
        seen.append(one.body)
        return Fate.KEEP

    assert broker.visit(keep, limit=2) == 3
    assert seen == [b"1", b"2"]
    assert len(broker.dead()) == 3


def test_a_dead_letter_is_tried_again_as_if_it_had_never_failed(broker: Broker) -> None:
    broker.publish(b"bad", b"other")
    with broker.consuming() as work:
        work.wait_for(2)[1].ack()
        for attempt in range(len(DELAYS_S) + 1):
            next(one for one in reversed(work.wait_for(2 + attempt)) if one.body == b"bad").retry(f"failure {attempt}")
        wait_until(lambda: bool(broker.dead()), TIMEOUT_S, what="a dead letter")
        [dead] = broker.letters()
        assert (dead.first_reason, dead.reason, dead.failures) == ("failure 0", "failure 2", 2)
        broker.visit(lambda _one: Fate.RETRY)
        assert broker.dead() == []
        again = work.wait_for(5)[4]
        assert (again.body, again.failures) == (b"bad", 0)
        again.dead("still no use")
        wait_until(lambda: bool(broker.dead()), TIMEOUT_S, what="a dead letter again")
    [dead] = broker.letters()
    assert (dead.reason, dead.first_reason, dead.failures) == ("still no use", "still no use", 0)
    [earlier] = dead.history
    assert (earlier.reason, earlier.failures) == ("failure 2", 2)
    assert earlier.time


def test_one_dead_letter_is_dropped_and_the_others_stay_in_their_order(broker: Broker) -> None:
    broker.put_aside(b"1", b"2", b"3")
    broker.visit(lambda one: Fate.DROP if one.body == b"2" else Fate.KEEP)
    assert [one.body for one in broker.dead()] == [b"1", b"3"]
    with broker.consuming() as work:
        work.wait_until_active()
        broker.publish(b"last")
        assert work.wait_for(1)[0].body == b"last"
        assert len(work.deliveries) == 1


def test_a_visit_that_breaks_off_loses_nothing(broker: Broker) -> None:
    broker.put_aside(b"1", b"2", b"3")

    def judge(one: DeadLetter) -> Fate:
        if one.body == b"2":
            raise KeyboardInterrupt
        return Fate.KEEP

    with pytest.raises(KeyboardInterrupt):
        broker.visit(judge)
    wait_until(lambda: len(broker.dead()) == 3, what="the return of the letters")
    assert [one.body for one in broker.dead()] == [b"1", b"2", b"3"]
