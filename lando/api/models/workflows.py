"""What can be run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, JsonText, UtcDateTime, now, unique
from lando.api.models.runtimes import JobStrategy


class Workflow(Base):
    """A named workflow; private when it has an owner."""

    __tablename__ = "workflows"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    tag: Mapped[str] = mapped_column(String(255), unique=True)
    state: Mapped[str] = mapped_column(String(1), default="A")
    """``A`` active, ``D`` deprecated."""
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    versions: Mapped[list[WorkflowVersion]] = relationship(back_populates="workflow", passive_deletes="all")


class WorkflowVersion(Base):
    """One version of a workflow and the file it consists of."""

    __tablename__ = "workflow_versions"
    __table_args__ = unique("workflow_id", "version")
    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    version: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    type: Mapped[str] = mapped_column(String(16), default="packed")
    workflow_path: Mapped[str] = mapped_column(Text, default="#main")
    url: Mapped[str] = mapped_column(Text)
    """Absolute, or the path of an uploaded file (see :mod:`lando.api.files`)."""
    version_info_url: Mapped[str | None] = mapped_column(Text)
    fields: Mapped[list[dict[str, Any]]] = mapped_column(JsonText)
    enable_ui: Mapped[bool] = mapped_column(default=False)
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the uploaded file; None for versions that lie elsewhere."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    workflow: Mapped[Workflow] = relationship(back_populates="versions")
    methods_document: Mapped[MethodsDocument | None] = relationship(passive_deletes="all")
    tool_details: Mapped[ToolDetails | None] = relationship(passive_deletes="all")

    @property
    def tag(self) -> str:
        """``<workflow tag>/<version>``."""
        return f"{self.workflow.tag}/{self.version}"


class MethodsDocument(Base):
    """The text that describes a version's methods."""

    __tablename__ = "methods_documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_version_id: Mapped[int] = mapped_column(
        ForeignKey("workflow_versions.id", ondelete="CASCADE"), unique=True
    )
    content: Mapped[str] = mapped_column(Text)


class ToolDetails(Base):
    """The tools that a version consists of."""

    __tablename__ = "tool_details"
    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_version_id: Mapped[int] = mapped_column(
        ForeignKey("workflow_versions.id", ondelete="CASCADE"), unique=True
    )
    details: Mapped[list[Any]] = mapped_column(JsonText)


class WorkflowConfiguration(Base):
    """Values that the site fixes for a workflow, and the strategy and share group of its jobs."""

    __tablename__ = "workflow_configurations"
    __table_args__ = unique("workflow_id", "tag")
    id: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(String(255))
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    system_job_order: Mapped[dict[str, Any]] = mapped_column(JsonText)
    overridable: Mapped[list[str]] = mapped_column(JsonText, default=list)
    """Keys of the system job order that users may set themselves."""
    default_job_strategy_id: Mapped[int] = mapped_column(ForeignKey("job_strategies.id"))
    share_group_id: Mapped[int] = mapped_column(ForeignKey("share_groups.id"))
    workflow: Mapped[Workflow] = relationship()
    default_job_strategy: Mapped[JobStrategy] = relationship()
