"""A broker that blocks publishing: since when and why, as it says itself.

RabbitMQ does so while it is short of memory or disk. It tells a connection (AMQP's ``connection.blocked``) at its first
message after that, reads nothing more of it, and tells it when that is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from weakref import WeakSet

from lando.metrics import BROKER_BLOCKS

KEPT = timedelta(minutes=2)
"""How long it is told of after the connection was lost that knew of it: whoever has something to send tries again
sooner, and learns anew how things are."""

log = logging.getLogger(__name__)


class Blockage:
    """What one publisher knows of it; changed by its thread, read by any."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._known: tuple[str, datetime] | None = None
        """The broker's reason, and since when."""
        self._until: datetime | None = None
        """How long that counts, once the connection is lost."""
        _ALL.add(self)

    @property
    def told(self) -> str | None:
        """In a sentence; None while the broker takes messages, as far as is known."""
        known, until = self._known, self._until
        if known is None or (until is not None and self._clock() >= until):
            return None
        reason, since = known
        return (
            f"The broker blocks publishing since {since:%Y-%m-%dT%H:%M:%SZ} ({reason}); what is to be sent waits "
            "until it has again what it lacks."
        )

    def begins(self, reason: str) -> None:
        """The broker has said so."""
        known = self._known if self.told else None
        self._until = None
        if known is None or known[0] != reason:
            self._known = reason, known[1] if known else self._clock()
            log.warning("%s", self.told)

    def ends(self) -> None:
        """The broker has said so, or has taken a message."""
        known, self._known, self._until = self._known, None, None
        if known is not None:
            log.warning("The broker takes messages again; it has not since %s", f"{known[1]:%Y-%m-%dT%H:%M:%SZ}")

    def is_out_of_sight(self) -> None:
        """The connection is lost on which the broker would tell of its end."""
        if self._known is not None and self._until is None:
            self._until = self._clock() + KEPT


_ALL: WeakSet[Blockage] = WeakSet()
BROKER_BLOCKS.set_function(lambda: float(sum(one.told is not None for one in list(_ALL))))
