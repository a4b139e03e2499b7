"""RabbitMQ: whether a daemon gets in, and finds its queues as it needs them.

Asked over AMQP, which tells most: a queue that is there is declared once more as the daemons declare it, which changes
nothing and is refused where its arguments clash. Policies are known to the management API alone.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from lando.config import WorkQueueSettings
from lando.doctor import management, queue_answers, tls
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, Level, failed, ok, unknown, warning
from lando.doctor.queue_answers import Refusal
from lando.errors import Unavailable
from lando.queues import ladder
from lando.queues.rabbitmq.blockage import Blockage
from lando.queues.rabbitmq.link import ACCESS_REFUSED, TLS_FAILED, Link, connect
from lando.queues.rabbitmq.parameters import parameters
from lando.queues.rabbitmq.publisher import NOTICE_EXCHANGE

CALL_S = 8.0
"""For one answer of a broker that took the login."""
_CHECK_OF = {TLS_FAILED: "TLS", ACCESS_REFUSED: "login"}
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Depth:
    """What a passive declaration tells of a queue."""

    messages: int
    consumers: int


def examine(settings: WorkQueueSettings, *, management_url: str | None = None) -> Iterator[Finding | Asking]:
    """``management_url`` None tries the usual ports of the broker. Raises :class:`lando.errors.LandoError`."""
    links: list[Link] = []
    refusals: list[Finding] = []
    try:
        for broker in parameters(settings):
            yield Asking(f"reach {broker.host}")
            found = list(_broker(broker, links))
            refusals += [one for one in found if one.level is Level.FAILED]
            yield from (one for one in found if one.level is not Level.FAILED)
        for one in refusals:  # the daemons go on to the next broker
            yield replace(one, level=Level.WARNING) if links else one
        if links:
            yield from _inside(links[0], settings, management_url)
            yield from _worker(settings)
    finally:
        for link in links:
            link.close()


def _broker(broker: pika.ConnectionParameters, links: list[Link]) -> Iterator[Finding]:
    where = f"{broker.host}:{broker.port}"
    try:
        link = connect([broker], "doctor")
    except Unavailable as error:
        said, _, advice = str(error).removeprefix("broker: ").partition("; ")
        usual = "check host and port of work_queue, and that a firewall lets this machine connect there"
        yield failed(_CHECK_OF.get(error.reason or "", "reach"), said, advice or usual)
        return
    link.watch_blocking(Blockage())  # so that a check that gets no answer for that says so
    links.append(link)
    yield ok("reach", f"{where} answers: {queue_answers.product(link.connection._impl.server_properties)}")
    if broker.ssl_options is not None:
        context = broker.ssl_options.context
        yield from tls.examine(broker.host, broker.port, context, setting="work_queue.tls")
    else:
        advice = "give work_queue.tls (or an amqps:// url), unless nobody else can listen on that network"
        yield tls.without(broker.host, "login and messages", advice)
    yield ok("login", f"user {broker.credentials.username!r} may use virtual host {broker.virtual_host!r}")


def _inside(link: Link, settings: WorkQueueSettings, management_url: str | None) -> Iterator[Finding | Asking]:
    queue, user = settings.listen_queue, str(link.broker.credentials.username)
    virtual_host = str(link.broker.virtual_host)

    yield Asking("permissions")
    yield _permissions(link, queue, user, virtual_host)

    yield Asking("command queue")
    depth = _depth(link, queue)
    declared = _declare(link, queue, {}) if isinstance(depth, _Depth) else None
    waiting = depth.messages if isinstance(depth, _Depth) else 0
    if isinstance(depth, Refusal):
        yield queue_answers.absent_or_refused(depth, queue)
    elif isinstance(declared, Refusal):
        yield queue_answers.clash(declared, queue)
    else:
        yield ok("command queue", f"{queue} is there, with {waiting} message{'' if waiting == 1 else 's'} waiting")

    yield Asking("active lando")
    held = _depth(link, ladder.active_queue(queue))
    consumers = depth.consumers if isinstance(depth, _Depth) else 0
    is_held = isinstance(held, Refusal) and held.code == queue_answers.LOCKED
    yield queue_answers.activity(queue, is_held=is_held, consumers=consumers, waiting=waiting)

    yield Asking("dead letters")
    dead = _depth(link, ladder.dead_queue(queue))
    if isinstance(dead, Refusal) and dead.code != queue_answers.NOT_FOUND:
        yield unknown("dead letters", dead.text)
    else:
        yield queue_answers.dead_letters(ladder.dead_queue(queue), dead.messages if isinstance(dead, _Depth) else 0)

    yield Asking("notices")
    yield _notices(link)

    yield Asking("queue type")
    ca_file = settings.tls.ca_file if settings.tls else None
    told = management.ask(link.broker, queue, management_url, ca_file=ca_file)
    if isinstance(told, management.Told):
        yield from management.judge(told, queue)
        return
    if isinstance(depth, _Depth) and not isinstance(declared, Refusal):
        quorum = _declare(link, queue, {"x-queue-type": "quorum"})
        yield queue_answers.queue_type("classic" if isinstance(quorum, Refusal) else "quorum", queue)
    else:
        yield unknown("queue type", f"{queue} is not there, or not as it should be")
    seen = f"only the management API knows it, which can't be asked: {told}"
    yield unknown("policy", seen, "see it with rabbitmqctl list_policies, or give --management URL")


def _worker(settings: WorkQueueSettings) -> Iterator[Finding | Asking]:
    """The second login, which only the VM variant of the original used."""
    if not settings.worker_username or settings.url is not None:
        return
    yield Asking("worker login")
    login = replace(settings, username=settings.worker_username, password=settings.worker_password)
    try:
        link = connect(parameters(login), "doctor")
    except Unavailable as error:
        said = str(error).removeprefix("broker: ").partition("; ")[0]
        advice = "nothing uses it on Kubernetes: leave worker_username and worker_password out"
        yield warning("worker login", said, advice)
        return
    link.close()
    yield ok("worker login", f"user {settings.worker_username!r} gets in; on Kubernetes nothing uses it")


def _permissions(link: Link, queue: str, user: str, virtual_host: str) -> Finding:
    """To make, write and read queues beside the command queue, tried on one that ends with this connection."""
    name = f"{queue}.doctor-{uuid.uuid4().hex[:8]}"

    def turn(channel: BlockingChannel) -> str:
        channel.confirm_delivery()
        channel.queue_declare(name, exclusive=True, arguments={"x-queue-type": "classic"})
        channel.basic_publish("", name, b"?", mandatory=True)
        channel.basic_get(name, auto_ack=True)
        channel.queue_delete(name)
        return f"user {user!r} may make, write and read queues named {queue}.…"

    done = _try(link, turn)
    if isinstance(done, Refusal):
        return queue_answers.forbidden(done, queue, user, virtual_host)
    return ok("permissions", done)


def _notices(link: Link) -> Finding:
    there = _try(link, lambda channel: channel.exchange_declare(NOTICE_EXCHANGE, passive=True))
    if isinstance(there, Refusal) and there.code == queue_answers.NOT_FOUND:
        return ok("notices", f"the exchange {NOTICE_EXCHANGE} is not there yet; the first notice makes it")
    as_ours = _try(link, lambda channel: channel.exchange_declare(NOTICE_EXCHANGE, "fanout", durable=False))
    if isinstance(as_ours, Refusal):
        return queue_answers.notices_refused(as_ours, NOTICE_EXCHANGE)
    return ok("notices", f"the exchange {NOTICE_EXCHANGE} is there, as all declare it")


def _depth(link: Link, queue: str) -> _Depth | Refusal:
    def ask(channel: BlockingChannel) -> _Depth:
        method = channel.queue_declare(queue, passive=True).method
        return _Depth(method.message_count, method.consumer_count)

    return _try(link, ask)


def _declare(link: Link, queue: str, arguments: dict[str, str]) -> object:
    """As the daemons do, with ``arguments`` besides; only of a queue that is there, which it leaves as it is."""
    return _try(link, lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments or None))


def _try(link: Link, do: Callable[[BlockingChannel], _Result]) -> _Result | Refusal:
    """``do`` on a channel of its own, or why the broker ended that. Raises Unavailable when the connection broke."""
    with link.errors(), link.limit(CALL_S):
        channel = link.connection.channel()
        try:
            done = do(channel)
        except pika.exceptions.ChannelClosedByBroker as error:
            return Refusal(error.reply_code, error.reply_text)
        with contextlib.suppress(pika.exceptions.ChannelClosed, pika.exceptions.ChannelWrongStateError):
            channel.close()
        return done
