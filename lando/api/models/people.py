"""Who signs in, and who is known to the data store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, UtcDateTime, now


class User(Base):
    """Somebody who signs in: a person or a daemon."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(150), unique=True)
    first_name: Mapped[str] = mapped_column(String(150), default="")
    last_name: Mapped[str] = mapped_column(String(150), default="")
    email: Mapped[str] = mapped_column(String(254), default="")
    password_hash: Mapped[str | None] = mapped_column(Text)
    is_staff: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    provider_subject: Mapped[str | None] = mapped_column(String(512), unique=True, index=True)
    """Who this is at the sign-in provider (issuer and subject), from the first sign-in there on."""
    provider_token: Mapped[str | None] = mapped_column(Text)
    """The access token of the last sign-in at the provider, kept where the data service takes it; it expires soon."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Token(Base):
    """An API token: only its hash is kept, and the serial from which the server key derives it again."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    serial: Mapped[str | None] = mapped_column(String(32))
    """None for a token that an operator brought along; it can't be shown again."""
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    user: Mapped[User] = relationship()


class ShareGroup(Base):
    """People with whom the results of a workflow are shared."""

    __tablename__ = "share_groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(254), default="")
    users: Mapped[list[StorageUser]] = relationship(
        secondary="share_group_users", order_by="StorageUser.id", passive_deletes="all"
    )


class StorageUser(Base):
    """A person as the data store knows them."""

    __tablename__ = "storage_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    dds_id: Mapped[str] = mapped_column(String(255), unique=True)


class ShareGroupUser(Base):
    """Membership of a storage user in a share group."""

    __tablename__ = "share_group_users"
    __table_args__ = ()
    share_group_id: Mapped[int] = mapped_column(ForeignKey("share_groups.id", ondelete="CASCADE"), primary_key=True)
    storage_user_id: Mapped[int] = mapped_column(ForeignKey("storage_users.id", ondelete="CASCADE"), primary_key=True)


class StorageEndpoint(Base):
    """A data service."""

    __tablename__ = "storage_endpoints"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    agent_key: Mapped[str] = mapped_column(String(255), default="")
    api_root: Mapped[str] = mapped_column(Text, default="")


class StorageCredential(Base):
    """A service credential at an endpoint; its secret never leaves the server."""

    __tablename__ = "storage_credentials"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("storage_endpoints.id"))
    token: Mapped[str] = mapped_column(String(255), default="")
    dds_id: Mapped[str] = mapped_column(String(255), default="")
    endpoint: Mapped[StorageEndpoint] = relationship()
