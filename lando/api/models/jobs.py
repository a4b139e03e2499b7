"""What users asked for, what became of it, and the commands that wait to be sent."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, JsonText, UtcDateTime, now, unique
from lando.api.models.inputs import StageGroup
from lando.api.models.people import User
from lando.api.models.runtimes import JobFlavor, JobSettings
from lando.api.models.workflows import WorkflowVersion

STATES = "NASRFEcCrD"
"""Letters of a job's state."""
STEPS = ("", "V", "S", "R", "o", "O", "P", "T")
"""Letters of a job's step; empty is "none"."""


class JobToken(Base):
    """Permission to run one job, where the site requires it."""

    __tablename__ = "job_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(255), unique=True)
    job: Mapped[Job | None] = relationship(back_populates="run_token")


class Job(Base):
    """A workflow that a user wants run, and how far it has got."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    workflow_version_id: Mapped[int | None] = mapped_column(ForeignKey("workflow_versions.id", ondelete="SET NULL"))
    name: Mapped[str] = mapped_column(String(255))
    fund_code: Mapped[str] = mapped_column(String(255), default="")
    state: Mapped[str] = mapped_column(String(1), index=True)
    step: Mapped[str] = mapped_column(String(1), default="")
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_updated: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    job_order: Mapped[str] = mapped_column(Text)
    """JSON text exactly as the steps get it."""
    job_settings_id: Mapped[int] = mapped_column(ForeignKey("job_settings.id"))
    job_flavor_id: Mapped[int] = mapped_column(ForeignKey("job_flavors.id"))
    share_group_id: Mapped[int] = mapped_column(ForeignKey("share_groups.id"))
    stage_group_id: Mapped[int | None] = mapped_column(ForeignKey("stage_groups.id", ondelete="SET NULL"), unique=True)
    run_token_id: Mapped[int | None] = mapped_column(ForeignKey("job_tokens.id", ondelete="SET NULL"), unique=True)
    volume_size: Mapped[int]
    """GiB."""
    vm_instance_name: Mapped[str] = mapped_column(String(255), default="")
    vm_volume_name: Mapped[str] = mapped_column(String(255), default="")
    vm_volume_mounts: Mapped[str] = mapped_column(Text)
    cleanup_vm: Mapped[bool] = mapped_column(default=True)
    authorized: Mapped[bool]
    """Whether the job ever had state ``A``: only then may it run or run again."""
    generation: Mapped[int] = mapped_column(default=0)
    """Counted up by each start, restart and cancel; goes with the command."""
    version: Mapped[int] = mapped_column(default=1)
    """Counted up by each change: the entity tag of a guarded write."""
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    """Counted up by whatever those who follow the run see: also what it waits for, which guards no write."""
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    """Of jobs that wait for their turn, those with the highest number are begun first."""
    attempts: Mapped[dict[str, int]] = mapped_column(JsonText, default=dict, server_default="{}")
    """By step type, the number of its newest attempt, where the daemon said so: it also repeats by itself."""
    condition_step: Mapped[str | None] = mapped_column(String(64))
    condition: Mapped[str | None] = mapped_column(Text)
    """What the run waits for, one sentence."""
    condition_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    warnings: Mapped[list[str]] = mapped_column(JsonText, default=list)
    user: Mapped[User] = relationship()
    workflow_version: Mapped[WorkflowVersion | None] = relationship()
    job_settings: Mapped[JobSettings] = relationship()
    job_flavor: Mapped[JobFlavor] = relationship()
    stage_group: Mapped[StageGroup | None] = relationship()
    run_token: Mapped[JobToken | None] = relationship(back_populates="job")
    output_project: Mapped[OutputProject | None] = relationship(passive_deletes="all")
    errors: Mapped[list[JobError]] = relationship(order_by="JobError.id", passive_deletes="all")
    activities: Mapped[list[JobActivity]] = relationship(order_by="JobActivity.id", passive_deletes="all")
    step_attempts: Mapped[list[StepAttempt]] = relationship(order_by="StepAttempt.id", passive_deletes="all")
    pending: Mapped[list[PendingCommand]] = relationship(
        order_by="PendingCommand.id", primaryjoin="Job.id == foreign(PendingCommand.job_id)", viewonly=True
    )
    """Commands that the broker has not confirmed yet."""

    @property
    def held(self) -> PendingCommand | None:
        """The start or restart that waits for the job's turn; None while none does."""
        return next((command for command in self.pending if command.held is not None), None)


class OutputProject(Base):
    """Where a job's results are."""

    __tablename__ = "output_projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), unique=True)
    project_id: Mapped[str] = mapped_column(Text, default="")
    readme_file_id: Mapped[str] = mapped_column(Text, default="")
    dds_user_credentials_id: Mapped[int] = mapped_column(ForeignKey("storage_credentials.id"))


class JobError(Base):
    """Why a job failed."""

    __tablename__ = "job_errors"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    content: Mapped[str] = mapped_column(Text)
    job_step: Mapped[str] = mapped_column(String(1))
    category: Mapped[str | None] = mapped_column(String(32))
    """``user``, ``resources``, ``image`` or ``infrastructure``, where the daemon said so."""
    generation: Mapped[int | None]
    """Of the job when it failed so; None for what was recorded before this was."""
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class JobActivity(Base):
    """One change of a job's state or step; the basis of its usage."""

    __tablename__ = "job_activities"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(1))
    step: Mapped[str] = mapped_column(String(1))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class AttemptColumns:
    """What is kept of one Job of the cluster that a step was given to, whatever the run's kind."""

    attempt: Mapped[int]
    job_name: Mapped[str] = mapped_column(String(255))
    """Name of the Job in the cluster."""
    job_uid: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    """``Running``, ``Complete``, ``Failed`` or ``Canceled``; once it has ended it stays as it is."""
    began: Mapped[datetime] = mapped_column(UtcDateTime)
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)
    category: Mapped[str | None] = mapped_column(String(32))
    sentence: Mapped[str] = mapped_column(Text, default="")
    """Why it failed."""
    exit_code: Mapped[int | None]
    volume_used: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of the output volume that were in use at its end."""
    volume_size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes that it had."""


class StepAttempt(AttemptColumns, Base):
    """One Job of the cluster that a step of a job was given to, as the daemon told it."""

    __tablename__ = "step_attempts"
    __table_args__ = unique("job_id", "job_uid")
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    step: Mapped[str] = mapped_column(String(64))
    """Type of the step."""


class PendingCommand(Base):
    """The outbox: a command that the broker has not confirmed yet; its row goes when it has."""

    __tablename__ = "pending_commands"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(index=True)
    """Of a job, or of a run of another kind; without a foreign key: the command outlives even a job that is removed."""
    kind: Mapped[str] = mapped_column(String(16), default="cwl", server_default="cwl")
    lando_connection_id: Mapped[int] = mapped_column(ForeignKey("lando_connections.id"))
    command: Mapped[str] = mapped_column(String(16))
    generation: Mapped[int]
    message_id: Mapped[str] = mapped_column(String(36))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime] = mapped_column(UtcDateTime, default=datetime(2000, 1, 1, tzinfo=UTC), index=True)
    """Not tried before this, by the database's clock; at once to begin with, whatever the clock of whoever writes the
    row. A server that is publishing it sets it into the future."""
    last_error: Mapped[str] = mapped_column(Text, default="")
    held: Mapped[str | None] = mapped_column(Text)
    """Why it is not to be sent yet, a sentence for the job's owner; None: it may be sent."""
