"""One connection to RabbitMQ: every wait bounded, pika's errors told as sentences without credentials."""

from __future__ import annotations

import contextlib
import random
import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import pika
import pika.exceptions
import pika.frame
import pika.spec
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from lando.certificates import OTHER_NAME, other_name
from lando.errors import Unavailable
from lando.queues.rabbitmq.blockage import Blockage

CALL_TIMEOUT_S = 20.0
"""For an answer of the broker, such as to a declaration or the confirm of a message."""
BLOCKED_CLOSE_S = 1.0
"""For the end of a connection that the broker does not read."""
BACKOFF_S = 0.5
"""The wait after the first failure; doubled after each further one."""
BACKOFF_LIMIT_S = 15.0

ACCESS_REFUSED = "AccessRefused"
"""``reason`` of an error: login, virtual host or permission."""
DECLARED_DIFFERENTLY = "DeclaredDifferently"
"""``reason`` of an error: a queue or exchange of that name has other properties."""
TLS_FAILED = "TLSFailed"
"""``reason`` of an error: the two sides could not agree on TLS."""
QUEUE_FULL = "QueueFull"
"""``reason`` of an error: the broker did not take the message, as for a queue over its limit."""
LASTING = frozenset({ACCESS_REFUSED, DECLARED_DIFFERENTLY, TLS_FAILED, QUEUE_FULL})
"""Reasons that hold for longer than a publisher tries."""

_TLS_ERRORS = frozenset({ssl.SSLError.__name__, ssl.SSLCertVerificationError.__name__})
"""Errors of TLS itself; its other classes tell of a connection that was lost."""
_QUOTED_ERROR = re.compile(r"(?P<kind>\w+Error)\(-?\d+, '(?P<words>[^']+)'")
_REFUSALS = {
    403: "check username and password of work_queue",
    530: "check virtual_host of work_queue, and the user's permissions in it",
}
"""What to do at AMQP's ACCESS_REFUSED (login) and NOT_ALLOWED (virtual host)."""
_REFUSAL = re.compile(r"ConnectionClosedByBroker: \((?P<code>403|530)\) (?P<quote>['\"])(?P<words>.*)(?P=quote)")
_DURING_LOGIN = (pika.exceptions.ProbableAuthenticationError, pika.exceptions.ProbableAccessDeniedError)
BROKEN = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)
"""What pika raises when a connection or channel can't be used any more."""


class Link:
    """A connection and the broker that it leads to; used by one thread but for :meth:`call`."""

    def __init__(self, connection: pika.BlockingConnection, broker: pika.ConnectionParameters) -> None:
        self.connection = connection
        self.broker = broker
        self.blocked: str | None = None
        """Why the broker takes no messages from this connection, in its own words; None while it does."""

    @property
    def is_open(self) -> bool:
        return bool(self.connection.is_open)

    @property
    def heartbeat_s(self) -> float:
        """What both sides agreed on: the broker may have asked for a shorter one."""
        return float(self.connection._impl.params.heartbeat)

    @property
    def bytes_received(self) -> int:
        """Counts up with all that the broker sends, heartbeats too."""
        received: int = self.connection._impl.bytes_received
        return received

    def watch_blocking(self, blockage: Blockage) -> None:
        """Note in ``blockage`` when the broker takes no more messages, and when it does again.

        pika's public callbacks come between calls only, and not to whoever waits for a confirm.
        """

        def begins(_: object, frame: pika.frame.Method[pika.spec.Connection.Blocked]) -> None:
            self.blocked = frame.method.reason or "without a reason"
            blockage.begins(self.blocked)

        def ends(*_: object) -> None:
            self.blocked = None
            blockage.ends()

        self.connection._impl.add_on_connection_blocked_callback(begins)
        self.connection._impl.add_on_connection_unblocked_callback(ends)

    def call(self, callback: Any) -> bool:
        """Run ``callback`` in the thread that serves the connection, soon; False when it is closed."""
        try:
            self.connection.add_callback_threadsafe(callback)
        except BROKEN:
            return False
        return True

    def serve(self, seconds: float) -> None:
        """Handle what comes in for at most ``seconds``, less when something came."""
        with self.errors():
            self.connection.process_data_events(time_limit=seconds)

    @contextlib.contextmanager
    def limit(self, seconds: float | None = None) -> Iterator[None]:
        """Ends the connection when the calls inside wait longer than ``seconds``; then they raise. By default
        :data:`CALL_TIMEOUT_S`.

        A blocking call of pika waits for ever as long as heartbeats come, e.g. for the confirm of a queue that
        has no majority. Its public timers are only served between calls, hence the one of the loop below them.
        """
        loop = self.connection._impl
        limit_s = CALL_TIMEOUT_S if seconds is None else seconds

        def give_up() -> None:
            why = f"; it blocks publishing ({self.blocked})" if self.blocked else ""
            loop._terminate_stream(pika.exceptions.AMQPConnectionError(f"no answer within {limit_s:g} s{why}"))

        timer = loop._adapter_call_later(limit_s, give_up)
        try:
            yield
        finally:
            loop._adapter_remove_timeout(timer)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """What breaks inside is raised as :class:`Unavailable`."""
        try:
            yield
        except BROKEN as error:
            raise self.told(error) from error

    def told(self, error: BaseException) -> Unavailable:
        """``error`` of pika in our words."""
        return _unavailable(error, self.broker)

    def close(self) -> None:
        """Disconnect, whatever state the connection is in; what was written before is sent before."""
        if self.connection.is_open:
            with contextlib.suppress(*BROKEN), self.limit(BLOCKED_CLOSE_S if self.blocked else None):
                self.connection.close()


def connect(brokers: Sequence[pika.ConnectionParameters], purpose: str) -> Link:
    """A connection to the first broker that gives one; ``purpose`` is its name in the broker's own lists.

    Raises :class:`Unavailable` with what each of them said.
    """
    refusals: list[Unavailable] = []
    for broker in brokers:
        broker.client_properties = {"connection_name": f"lando {purpose}"}
        try:
            return Link(pika.BlockingConnection(broker), broker)
        except BROKEN as error:
            refusals.append(_unavailable(error, broker))
    reason = next((refusal.reason for refusal in refusals if refusal.reason in LASTING), None)
    told = "; ".join(str(refusal).removeprefix("broker: ") for refusal in refusals)
    raise Unavailable("broker", told, reason=reason)


def backoff_s(failures: int) -> float:
    """Seconds to wait after the n-th failure in a row (n from 1): doubling, limited, with jitter."""
    longest = min(BACKOFF_S * 2.0 ** min(failures - 1, 16), BACKOFF_LIMIT_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, no secret)


def _unavailable(error: BaseException, broker: pika.ConnectionParameters) -> Unavailable:
    where = f"{broker.host}:{broker.port}"
    if isinstance(error, pika.exceptions.ChannelClosedByBroker):
        reason = {403: ACCESS_REFUSED, 406: DECLARED_DIFFERENTLY}.get(error.reply_code)
        advice = {403: "; give the user this permission", 406: "; delete it there, or use another name"}
        return Unavailable("broker", f"{where}: {error.reply_text}{advice.get(error.reply_code, '')}", reason=reason)
    if (refusal := _refusal(error)) is not None:
        code, words = refusal
        said = f" ({words})" if words else ""
        message = (
            f"{where} refused user {broker.credentials.username!r} at virtual host {broker.virtual_host!r}{said}; "
            f"{_REFUSALS[code]}"
        )
        return Unavailable("broker", message, reason=ACCESS_REFUSED)
    if isinstance(error, _DURING_LOGIN):
        return Unavailable("broker", f"{where} hung up during the login")
    kind, words = _root(error)
    if kind in _TLS_ERRORS and OTHER_NAME.search(words):
        told = other_name(broker.host, broker.port, broker.ssl_options.context, broker.socket_timeout)
        return Unavailable("broker", f"{where}: {told}", reason=TLS_FAILED)
    if kind in _TLS_ERRORS:
        return Unavailable("broker", f"{where}: TLS failed ({words}); check work_queue.tls", reason=TLS_FAILED)
    if kind == AMQPConnectorStackTimeout.__name__:
        return Unavailable("broker", f"{where}: connected, but no broker answered within {broker.stack_timeout:g} s")
    if isinstance(error, pika.exceptions.ConnectionClosedByBroker):
        return Unavailable("broker", f"{where} closed the connection: {error.reply_text}")
    return Unavailable("broker", f"{where}: {words}")


def _refusal(error: BaseException) -> tuple[int, str] | None:
    """The code and the broker's words if it said that login or virtual host is not ours to use.

    Before a connection is open, pika takes every end of it for a refusal and keeps the text of the real error;
    but a broker that starts or stops hangs up as well.
    """
    if isinstance(error, pika.exceptions.ConnectionClosedByBroker):
        return (error.reply_code, error.reply_text) if error.reply_code in _REFUSALS else None
    if isinstance(error, _DURING_LOGIN):
        found = _REFUSAL.search(str(error))
        return (int(found["code"]), found["words"].partition(" For details")[0]) if found else None
    return (403, "") if isinstance(error, pika.exceptions.AuthenticationError) else None


def _root(error: BaseException) -> tuple[str, str]:
    """Name and words of the error that lies below pika's wrappers, some of which keep no more than its text."""
    for _ in range(8):
        inner = getattr(error, "exception", None) or next(
            (argument for argument in reversed(error.args) if isinstance(argument, BaseException)), None
        )
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return type(error).__name__, error.strerror
    told = str(error) or type(error).__name__
    if (quoted := _QUOTED_ERROR.search(told)) is not None:
        return quoted["kind"], quoted["words"]
    return type(error).__name__, told
