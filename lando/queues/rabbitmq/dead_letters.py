"""The dead letters on RabbitMQ: fetched without acknowledgement, so that whatever happens they are still there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from lando.config import WorkQueueSettings
from lando.errors import Unavailable
from lando.queues import ladder
from lando.queues.dead import VOLATILE, DeadLetter, Fate, letter
from lando.queues.rabbitmq.link import Link, connect
from lando.queues.rabbitmq.parameters import parameters

RENEW_AT = 3
"""A letter that was looked at so often is written anew: a quorum queue counts each look as a failed delivery, and from
RabbitMQ 4 drops a message after 20 of them, unless a policy says otherwise."""


class RabbitDeadLetters:
    """The letters of ``<listen_queue>.dead``; each visit has a connection of its own."""

    def __init__(self, settings: WorkQueueSettings) -> None:
        self._queue = settings.listen_queue
        self._brokers = parameters(settings)

    def visit(self, judge: Callable[[DeadLetter], Fate], *, limit: int) -> int:
        link = connect(self._brokers, f"dead letters of {self._queue}")
        try:
            with link.errors():
                return _Visit(link, self._queue).make(judge, limit)
        finally:
            link.close()  # what was kept goes back, in its old order


class _Visit:
    """One visit on one connection."""

    def __init__(self, link: Link, queue: str) -> None:
        self._link = link
        self._queue = queue

    def make(self, judge: Callable[[DeadLetter], Fate], limit: int) -> int:
        channel = self._channel()
        return 0 if channel is None else self._judge(channel, judge, limit)

    def _channel(self) -> BlockingChannel | None:
        """A channel on which publishing is confirmed; None when nothing has ever been put aside."""
        with self._link.limit():
            channel = self._link.connection.channel()
            try:
                channel.queue_declare(ladder.dead_queue(self._queue), passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != 404:
                    raise
                return None
            channel.confirm_delivery()
        return channel

    def _judge(self, channel: BlockingChannel, judge: Callable[[DeadLetter], Fate], limit: int) -> int:
        dead = ladder.dead_queue(self._queue)
        with self._link.limit():
            count = int(channel.queue_declare(dead, passive=True).method.message_count)
        for _ in range(min(count, limit)):  # what is written anew comes to the end and is not seen again
            with self._link.limit():
                method, properties, body = channel.basic_get(dead)
            if method is None:
                break
            one = letter(
                body, properties.headers, content_type=properties.content_type, message_id=properties.message_id
            )
            fate = judge(one)
            if fate is Fate.RETRY:
                self._publish(channel, self._queue, one, ladder.again(one.headers))
            elif fate is Fate.KEEP:
                looks = one.headers.get("x-delivery-count")
                if not isinstance(looks, int) or looks < RENEW_AT:
                    continue
                self._publish(channel, dead, one, {k: v for k, v in one.headers.items() if k not in VOLATILE})
            channel.basic_ack(method.delivery_tag)
        return count

    def _publish(self, channel: BlockingChannel, queue: str, one: DeadLetter, headers: Mapping[str, Any]) -> None:
        properties = pika.BasicProperties(
            delivery_mode=2, content_type=one.content_type, message_id=one.message_id, headers=dict(headers) or None
        )
        with self._link.limit():
            channel.queue_declare(queue, durable=True)
            try:
                channel.basic_publish("", queue, one.body, properties, mandatory=True)
            except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
                raise Unavailable("broker", f"the queue {queue} did not take the message; it may be full") from None
