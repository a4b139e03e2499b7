"""What jobs start from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, UtcDateTime, now, unique


class UploadedFile(Base):
    """A file that this server keeps."""

    __tablename__ = "files"
    __table_args__ = ()
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class StageGroup(Base):
    """The input files of one job."""

    __tablename__ = "stage_groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    dds_files: Mapped[list[DdsInputFile]] = relationship(
        order_by="[DdsInputFile.sequence_group, DdsInputFile.sequence, DdsInputFile.id]", passive_deletes="all"
    )
    url_files: Mapped[list[UrlInputFile]] = relationship(
        order_by="[UrlInputFile.sequence_group, UrlInputFile.sequence, UrlInputFile.id]", passive_deletes="all"
    )


class DdsInputFile(Base):
    """An input in the data store."""

    __tablename__ = "dds_input_files"
    __table_args__ = unique("stage_group_id", "sequence_group", "sequence")
    id: Mapped[int] = mapped_column(primary_key=True)
    stage_group_id: Mapped[int] = mapped_column(ForeignKey("stage_groups.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[str] = mapped_column(String(255))
    file_id: Mapped[str] = mapped_column(String(255))
    dds_user_credentials_id: Mapped[int] = mapped_column(ForeignKey("storage_credentials.id"))
    destination_path: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes."""
    sequence_group: Mapped[int | None]
    sequence: Mapped[int | None]


class UrlInputFile(Base):
    """An input at a URL, or uploaded to this server."""

    __tablename__ = "url_input_files"
    __table_args__ = unique("stage_group_id", "sequence_group", "sequence")
    id: Mapped[int] = mapped_column(primary_key=True)
    stage_group_id: Mapped[int] = mapped_column(ForeignKey("stage_groups.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(Text)
    """Absolute, or the path of an uploaded file (see :mod:`lando.api.files`)."""
    destination_path: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes."""
    sequence_group: Mapped[int | None]
    sequence: Mapped[int | None]
