"""What people and programs are told of jobs: mails and their templates, and what is still to be delivered."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, UtcDateTime, now, unique
from lando.api.models.jobs import Job


class EmailTemplate(Base):
    """How a mail about a job is worded."""

    __tablename__ = "email_templates"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    body_template: Mapped[str] = mapped_column(Text)
    subject_template: Mapped[str] = mapped_column(Text)


class EmailMessage(Base):
    """One mail, and whether it has been sent."""

    __tablename__ = "email_messages"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    sender_email: Mapped[str] = mapped_column(String(254), default="")
    """Empty: the site's own."""
    to_email: Mapped[str] = mapped_column(String(254))
    bcc_email: Mapped[str] = mapped_column(String(254), default="")
    state: Mapped[str] = mapped_column(String(1), default="N")
    """``N`` new, ``S`` sent, ``E`` the last try failed."""
    errors: Mapped[str] = mapped_column(Text, default="")
    """Why the last try failed."""
    message_id: Mapped[str] = mapped_column(String(36), default=lambda: str(uuid.uuid4()))
    """The same in every try, so that a mail that arrives twice can be told."""
    sending_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Somebody is sending it, and is given up at this time, by the database's clock."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Notice(Base):
    """Something to tell of a job's new state by one channel; made in the transaction that wrote the state."""

    __tablename__ = "notices"
    __table_args__ = unique("notice_id")
    id: Mapped[int] = mapped_column(primary_key=True)
    notice_id: Mapped[str] = mapped_column(String(36), default=lambda: str(uuid.uuid4()))
    """By which a receiver knows what it was told before."""
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    job_state: Mapped[str] = mapped_column(String(1))
    """The letter of the state that is told."""
    generation: Mapped[int]
    """Of the job then."""
    channel: Mapped[str] = mapped_column(String(16), index=True)
    """``webhook``, ``mail`` or ``exchange``."""
    email_message_id: Mapped[int | None] = mapped_column(ForeignKey("email_messages.id", ondelete="CASCADE"))
    template: Mapped[str] = mapped_column(String(255), default="")
    """Name of the mail's template."""
    body: Mapped[str | None] = mapped_column(Text)
    """What a webhook is sent, worded at the first try and the same in all."""
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    """``waiting``, ``delivered`` or ``failed``."""
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime] = mapped_column(UtcDateTime, default=datetime(2000, 1, 1, tzinfo=UTC))
    """Not tried before this, by the database's clock. A server that is delivering it sets it into the future."""
    last_error: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    settled: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was delivered or given up."""
    job: Mapped[Job] = relationship()
    message: Mapped[EmailMessage | None] = relationship()
