"""Telling a site's own mailer of each stored mail, as the original does (messages contract, 7)."""

from __future__ import annotations

from concurrent.futures import TimeoutError as Overdue

from lando.api import models as m
from lando.api.database import Database
from lando.api.notices.courier import Parcel
from lando.api.outbox import Connection, Publishers, connection_of
from lando.errors import Unavailable
from lando.messages.pickle_writer import write_mail_notice
from lando.queues import Publisher

EXCHANGE, ROUTING_KEY = "EmailExchange", "SendEmail"
CONFIRM_S = 75.0
"""How long the confirmation is waited for, in seconds; longer than a publisher tries."""


class MailExchange:
    """The brokers of the lando connections; for one thread."""

    def __init__(self, database: Database, publishers: Publishers) -> None:
        self._database = database
        self._publishers = publishers
        self._open: dict[int, tuple[Connection, Publisher]] = {}

    def tell(self, parcel: Parcel) -> None:
        """Tell the mailer of a mail, at the broker of the job's lando connection; raises Unavailable, ConfigError."""
        told = self._publisher(parcel.connection_id).announce(
            EXCHANGE, ROUTING_KEY, write_mail_notice(parcel.email_message_id)
        )
        try:
            told.result(CONFIRM_S)
        except Overdue:
            told.cancel()
            raise Unavailable("broker", f"did not confirm within {CONFIRM_S:.0f} s") from None

    def _publisher(self, connection_id: int) -> Publisher:
        with self._database.read() as session:
            wanted = connection_of(session.get_one(m.LandoConnection, connection_id))
        known = self._open.get(connection_id)
        if known is not None and known[0] == wanted:
            return known[1]
        if known is not None:
            known[1].close()
        publisher = self._publishers(wanted)
        self._open[connection_id] = (wanted, publisher)
        return publisher

    def close(self) -> None:
        """Disconnect."""
        while self._open:
            _, (_, publisher) = self._open.popitem()
            publisher.close()
