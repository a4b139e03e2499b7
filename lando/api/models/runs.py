"""Runs of the kinds besides cwl: what was handed in, how far each step has got, and what became of it.

Their ids are of the same sequence as those of jobs (:mod:`lando.api.run_ids`), because objects in clusters and folders
of archives are named by them. States are in words, those of :class:`lando.runs.RunState` and ``StepState``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, JsonText, UtcDateTime, now, unique
from lando.api.models.jobs import AttemptColumns, PendingCommand
from lando.api.models.people import User
from lando.api.models.runtimes import LandoConnection

STEP_NAME = 253
"""The longest name of a step: that of an object in a cluster."""


class Run(Base):
    """A run that a user handed in, and how far it has got."""

    __tablename__ = "runs"
    __table_args__ = ()  # its ids are given to it
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    lando_connection_id: Mapped[int] = mapped_column(ForeignKey("lando_connections.id"))
    name: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16), index=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_updated: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    """When its state or a step last changed."""
    generation: Mapped[int] = mapped_column(default=1)
    """Counted up by each start, restart and cancel; goes with the command."""
    version: Mapped[int] = mapped_column(default=1)
    """Counted up by each change: the entity tag of a guarded write."""
    revision: Mapped[int] = mapped_column(default=1)
    """Counted up by whatever those who follow the run see."""
    condition_step: Mapped[str | None] = mapped_column(String(STEP_NAME))
    condition: Mapped[str | None] = mapped_column(Text)
    """What the run waits for, one sentence."""
    condition_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    warnings: Mapped[list[str]] = mapped_column(JsonText, default=list)
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the document's text."""
    document: Mapped[Any] = mapped_column(JsonText, deferred=True)
    """What was handed in, a :class:`lando.api.shapes.runs.RunDocument`. It never changes."""
    user: Mapped[User] = relationship()
    lando_connection: Mapped[LandoConnection] = relationship()
    steps: Mapped[list[RunStep]] = relationship(order_by="RunStep.position", passive_deletes="all")
    errors: Mapped[list[RunError]] = relationship(order_by="RunError.id", passive_deletes="all")
    activities: Mapped[list[RunActivity]] = relationship(order_by="RunActivity.id", passive_deletes="all")
    step_attempts: Mapped[list[RunAttempt]] = relationship(order_by="RunAttempt.id", passive_deletes="all")
    pending: Mapped[list[PendingCommand]] = relationship(
        order_by="PendingCommand.id", primaryjoin="Run.id == foreign(PendingCommand.job_id)", viewonly=True
    )
    """Commands that the broker has not confirmed yet."""


class RunStep(Base):
    """One step of a run: of a phased run, one Job of the model."""

    __tablename__ = "run_steps"
    __table_args__ = unique("run_id", "name")
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    position: Mapped[int]
    """In the plan's order, from 0."""
    name: Mapped[str] = mapped_column(String(STEP_NAME))
    phase: Mapped[str] = mapped_column(String(255))
    entry: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    started: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempt: Mapped[int] = mapped_column(default=0)
    """The number of its newest attempt; 0 before the first."""


class RunError(Base):
    """Why a step failed, or the run as a whole."""

    __tablename__ = "run_errors"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    step: Mapped[str | None] = mapped_column(String(STEP_NAME))
    category: Mapped[str | None] = mapped_column(String(32))
    content: Mapped[str] = mapped_column(Text)
    exit_code: Mapped[int | None]
    generation: Mapped[int]
    """Of the run when it failed so."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RunActivity(Base):
    """One change of a run's state."""

    __tablename__ = "run_activities"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RunAttempt(AttemptColumns, Base):
    """One Job of the cluster that a step of a run was given to, as the daemon told it."""

    __tablename__ = "run_attempts"
    __table_args__ = unique("run_id", "job_uid")
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    step: Mapped[str] = mapped_column(String(STEP_NAME))
