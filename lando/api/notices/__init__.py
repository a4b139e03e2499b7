"""Notices: programs and people are told when a job has ended, by webhook and by mail.

What there is to tell is written with the state itself (:mod:`.telling`); each channel's thread delivers it later
(:mod:`.courier`), so that a receiver that is slow, away or wrong delays no state, and no notice is lost. Bespin's mails
are the same: rows by its templates (:mod:`.wording`), sent by this server (:mod:`.post`) or by a mailer of the site
that hears of them on ``EmailExchange`` (:mod:`.exchange`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api.database import Database
from lando.api.notices import telling
from lando.api.notices.courier import Courier, Parcel
from lando.api.notices.exchange import MailExchange
from lando.api.notices.post import SENT, SmtpPost, SmtpSettings, StoredMails
from lando.api.notices.telling import Channels
from lando.api.notices.webhook import Webhook
from lando.api.outbox import Publishers
from lando.api.usage import STATE_WORDS
from lando.errors import Conflict

if TYPE_CHECKING:
    from lando.api.settings import Settings

__all__ = ["Notices"]


class Notices:
    """One server's notices; without settings for them there are no threads, and only mails that templates ask for."""

    def __init__(self, settings: Settings, database: Database, publishers: Publishers) -> None:
        self.couriers: list[Courier] = []
        self._database = database
        self._mails = StoredMails(database, _post(settings))
        self._keep_s = settings.mail_ttl_s
        self._exchange: MailExchange | None = None
        self._channels = Channels(
            webhook=settings.webhook_url is not None,
            mail="exchange" if settings.mail_by_exchange else "mail" if settings.smtp_host else None,
            letters=frozenset(letter for letter, word in STATE_WORDS.items() if word in settings.notify_states),
            sender=settings.mail_from,
            base_url=settings.base_url,
        )
        if settings.webhook_url is not None:
            webhook = Webhook(settings.webhook_url, settings.webhook_secret_file, ca_file=settings.webhook_ca_file)
            self._add("webhook", lambda parcel: webhook.post(parcel.notice_id, parcel.body), settings)
        if settings.mail_by_exchange:
            self._exchange = MailExchange(database, publishers)
            self._add("exchange", self._exchange.tell, settings)
        elif settings.smtp_host is not None:
            self._add("mail", self._send, settings)

    def _add(self, channel: str, deliver: Callable[[Parcel], None], settings: Settings) -> None:
        sweep_s = settings.outbox_sweep_s
        self.couriers.append(Courier(self._database, channel, deliver=deliver, word=self._word, sweep_s=sweep_s))

    def note(self, session: Session, job: m.Job) -> None:
        """Add what there is to tell of the job's new state to the transaction; never raises."""
        telling.note(session, job, self._channels)

    def hurry(self, session: Session, job_id: int) -> None:
        """The cause of the job's failure is there, so that it can be told."""
        if self.couriers:
            telling.hurry(session, job_id)

    def send_mail(self, message_id: int) -> None:
        """Send a stored mail now.

        Raises NotFound; Conflict for one that has been sent, or is being sent; else what keeps it, which is noted.
        """
        self._mails.send(message_id)

    def forget(self) -> int:
        """Remove mails that are kept long enough; how many went."""
        return self._mails.forget(self._keep_s)

    def start(self) -> None:
        """Begin to deliver."""
        for courier in self.couriers:
            courier.start()

    def stop(self) -> None:
        """End; what is left stays in the database."""
        for courier in self.couriers:
            courier.stop()
        if self._exchange is not None:
            self._exchange.close()

    def wake(self) -> None:
        """Something to tell was committed."""
        for courier in self.couriers:
            courier.wake()

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence; None while every thread works."""
        return next(filter(None, (courier.wrong() for courier in self.couriers)), None)

    def _word(self, session: Session, notice: m.Notice) -> None:
        telling.word(session, notice, self._channels)

    def _send(self, parcel: Parcel) -> None:
        try:
            self._mails.send(parcel.email_message_id)
        except Conflict as error:
            if error.reason != SENT:
                raise


def _post(settings: Settings) -> SmtpPost | None:
    if settings.smtp_host is None:
        return None
    return SmtpPost(
        SmtpSettings(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            sender=settings.mail_from,
            username=settings.smtp_username,
            password_file=settings.smtp_password_file,
            ca_file=settings.smtp_ca_file,
        )
    )
