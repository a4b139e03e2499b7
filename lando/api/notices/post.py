"""The way of mails: SMTP with TLS, a stored message at a time, by whoever comes first."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from sqlalchemy import delete, exists, or_, select, update

from lando.api import models as m
from lando.api.database import Database, time_of
from lando.api.mail_addresses import is_address
from lando.api.notices.telling import WAITING
from lando.api.secret_files import read_secret
from lando.errors import Conflict, LandoError, NotFound, Rejected, Unavailable

SMTP_S = 15.0
"""How long connecting, and each answer of the server, may take."""
FORGOTTEN_AT_ONCE = 500
"""Old mails that one transaction removes."""
SENDING_S = 300.0
"""How long a message is left to the one who is sending it; longer than all its answers may take."""
_PEER = "mail server"


@dataclass(frozen=True, kw_only=True)
class SmtpSettings:
    """How mails leave the site."""

    host: str
    port: int
    security: str
    """``starttls``, ``tls`` or ``none``."""
    sender: str
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None


class SmtpPost:
    """Sends mails by one server."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings

    def send(self, stored: m.EmailMessage) -> None:
        """Raises Rejected where no other try can help, and other LandoErrors where one may."""
        sender = stored.sender_email or self._settings.sender
        to = [address for address in (stored.to_email, stored.bcc_email) if address]
        for address in (sender, *to):
            if not is_address(address):
                raise Rejected(_PEER, f"{address!r} is no mail address")
        mail = _composed(stored, sender)
        with _told():
            server = self._connected(sender.rpartition("@")[2])
            try:
                server.send_message(mail, sender, to)
            finally:
                _quit(server)

    def _connected(self, name: str) -> smtplib.SMTP:
        settings = self._settings
        tls = None if settings.security == "none" else ssl.create_default_context(cafile=settings.ca_file)
        server: smtplib.SMTP
        if tls is not None and settings.security == "tls":
            server = smtplib.SMTP_SSL(settings.host, settings.port, name, timeout=SMTP_S, context=tls)
        else:
            server = smtplib.SMTP(settings.host, settings.port, name, timeout=SMTP_S)
        try:
            if tls is not None and settings.security == "starttls":
                server.starttls(context=tls)
            if settings.username and settings.password_file:
                server.login(settings.username, read_secret(settings.password_file, "smtp_password_file").decode())
        except BaseException:
            server.close()
            raise
        return server


def _composed(stored: m.EmailMessage, sender: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = stored.to_email
    mail["Subject"] = " ".join(stored.subject.split())
    mail["Date"] = format_datetime(stored.created)
    mail["Message-ID"] = f"<{stored.message_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(stored.body.encode("utf-8", "replace").decode())
    return mail


def _quit(server: smtplib.SMTP) -> None:
    """Leave in good order; the mail is on its way, whatever the server says to that."""
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


@contextmanager
def _told() -> Iterator[None]:
    """What may go wrong as ours: a refusal of this mail is final, all else may pass."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _refusal(code, f"it refuses the recipient ({code} {_words(said)})") from None
    except smtplib.SMTPNotSupportedError as error:
        raise Unavailable(_PEER, f"it can't do what the settings ask for ({error})") from None
    except smtplib.SMTPAuthenticationError as error:
        raise Unavailable(_PEER, f"it refuses the login ({error.smtp_code})") from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _refusal(error.smtp_code, f"it refuses the mail ({error.smtp_code} {_words(error.smtp_error)})") from None
    except ssl.SSLError as error:
        raise Unavailable(_PEER, f"TLS failed ({error.reason or error})") from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        raise Unavailable(_PEER, f"no connection, or it broke off ({type(error).__name__})") from None


def _refusal(code: int, told: str) -> LandoError:
    return Rejected(_PEER, told) if 500 <= code < 600 else Unavailable(_PEER, told)


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:200]


class StoredMails:
    """Sends the messages of the database; two who want to send the same one send it once."""

    def __init__(self, database: Database, post: SmtpPost | None) -> None:
        self._database = database
        self._post = post

    def send(self, message_id: int) -> None:
        """Send the message and note how that went.

        Raises NotFound; Conflict for one that has been sent, or that somebody else is sending; else what keeps it.
        """
        stored = self._taken(message_id)
        try:
            if self._post is None:
                raise Unavailable(_PEER, "none is set (smtp_host)")
            self._post.send(stored)
        except LandoError as error:
            self._note(message_id, state="E", errors=str(error)[:1000])
            raise
        except Exception as error:
            self._note(message_id, state="E", errors=type(error).__name__)
            raise
        self._note(message_id, state="S", errors="")

    def forget(self, keep_s: float) -> int:
        """Remove mails that are older than ``keep_s`` seconds, but those still to be sent; how many went."""
        removed = 0
        while True:
            with self._database.write() as session:
                moment = time_of(session)
                waits = exists().where(m.Notice.email_message_id == m.EmailMessage.id, m.Notice.state == WAITING)
                old = (
                    select(m.EmailMessage.id)
                    .where(m.EmailMessage.created < moment - timedelta(seconds=keep_s), ~waits)
                    .where(or_(m.EmailMessage.sending_until.is_(None), m.EmailMessage.sending_until < moment))
                    .order_by(m.EmailMessage.id)
                    .limit(FORGOTTEN_AT_ONCE)
                    .with_for_update(skip_locked=True)
                )
                ids = session.scalars(old).all()
                session.execute(delete(m.EmailMessage).where(m.EmailMessage.id.in_(ids)))
            removed += len(ids)
            if len(ids) < FORGOTTEN_AT_ONCE:
                return removed

    def _taken(self, message_id: int) -> m.EmailMessage:
        with self._database.write() as session:
            query = select(m.EmailMessage).where(m.EmailMessage.id == message_id)
            stored = session.scalars(query.with_for_update()).first()
            if stored is None:
                raise NotFound("database", f"there is no mail {message_id}")
            if stored.state == "S":
                raise Conflict("database", "The mail has been sent already.", reason=SENT)
            moment = time_of(session)
            if stored.sending_until is not None and stored.sending_until > moment:
                raise Conflict("database", "The mail is being sent.")
            stored.sending_until = moment + timedelta(seconds=SENDING_S)
            session.flush()
            session.expunge(stored)
            return stored

    def _note(self, message_id: int, *, state: str, errors: str) -> None:
        with self._database.write() as session:
            session.execute(
                update(m.EmailMessage)
                .where(m.EmailMessage.id == message_id)
                .values(state=state, errors=errors, sending_until=None)
            )


SENT = "Sent"
"""Reason of a Conflict: nothing is left to do."""
