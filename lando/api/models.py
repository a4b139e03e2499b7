"""The tables. Portable: what SQLite and PostgreSQL both hold, JSON as text, times in UTC.

Names of columns are Bespin's where the thing is Bespin's, so that a row and its JSON read alike.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Dialect, ForeignKey, MetaData, String, Text, UniqueConstraint
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

STATES = "NASRFEcCrD"
"""Letters of a job's state."""
STEPS = ("", "V", "S", "R", "o", "O", "P", "T")
"""Letters of a job's step; empty is "none"."""


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC; SQLite stores it without a zone, PostgreSQL as timestamptz."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times must be aware")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as text; assign a new value rather than change the old one in place."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """Base of all tables; ids are never used twice, because objects in clusters are named by them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy reads a plain attribute


def unique(*columns: str) -> Any:
    """Table arguments with one more uniqueness."""
    return (UniqueConstraint(*columns), {"sqlite_autoincrement": True})


# --- people ----------------------------------------------------------------------------------------------------------


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


# --- where and how jobs run ------------------------------------------------------------------------------------------


class JobFlavor(Base):
    """An amount of CPU and memory."""

    __tablename__ = "job_flavors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    cpus: Mapped[int] = mapped_column(default=1)
    memory: Mapped[str] = mapped_column(String(64))
    """A Kubernetes quantity, e.g. ``2Gi``."""


class JobRuntime(Base):
    """The steps' images and commands in a Kubernetes cluster."""

    __tablename__ = "job_runtimes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    steps: Mapped[list[JobRuntimeStep]] = relationship(order_by="JobRuntimeStep.id", cascade="all, delete-orphan")


class JobRuntimeStep(Base):
    """One step type's image, command and request."""

    __tablename__ = "job_runtime_steps"
    id: Mapped[int] = mapped_column(primary_key=True)
    runtime_id: Mapped[int] = mapped_column(ForeignKey("job_runtimes.id", ondelete="CASCADE"), index=True)
    flavor_id: Mapped[int] = mapped_column(ForeignKey("job_flavors.id"))
    step_type: Mapped[str] = mapped_column(String(64))
    image_name: Mapped[str] = mapped_column(Text)
    base_command: Mapped[list[str]] = mapped_column(JsonText)
    flavor: Mapped[JobFlavor] = relationship()


class LandoConnection(Base):
    """How a lando daemon is reached: a broker and a queue."""

    __tablename__ = "lando_connections"
    id: Mapped[int] = mapped_column(primary_key=True)
    cluster_type: Mapped[str] = mapped_column(String(16), default="k8s")
    host: Mapped[str] = mapped_column(String(255), default="")
    username: Mapped[str] = mapped_column(String(255), default="")
    password: Mapped[str] = mapped_column(String(255), default="")
    queue_name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str | None] = mapped_column(Text)
    """``amqp://…``, ``amqps://…`` or ``memory://NAME``, instead of host and login."""
    message_format: Mapped[str] = mapped_column(String(16), default="json")
    """``json``, or ``pickle`` where Duke's lando reads."""


class JobSettings(Base):
    """A runtime and the daemon that serves it."""

    __tablename__ = "job_settings"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    lando_connection_id: Mapped[int] = mapped_column(ForeignKey("lando_connections.id"))
    runtime_id: Mapped[int | None] = mapped_column(ForeignKey("job_runtimes.id"))
    lando_connection: Mapped[LandoConnection] = relationship()
    runtime: Mapped[JobRuntime | None] = relationship()


class JobStrategy(Base):
    """Settings, size of the machine and of the output volume that jobs get."""

    __tablename__ = "job_strategies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    job_flavor_id: Mapped[int] = mapped_column(ForeignKey("job_flavors.id"))
    job_settings_id: Mapped[int] = mapped_column(ForeignKey("job_settings.id"))
    volume_size_base: Mapped[int] = mapped_column(default=100)
    """GiB."""
    volume_size_factor: Mapped[int] = mapped_column(default=0)
    """GiB per GiB of input."""
    volume_mounts: Mapped[str] = mapped_column(Text, default='{"/dev/vdb1": "/work"}')
    """JSON text, as the wire has it; only machines of the VM variant used it."""
    job_flavor: Mapped[JobFlavor] = relationship()
    job_settings: Mapped[JobSettings] = relationship()


# --- workflows -------------------------------------------------------------------------------------------------------


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


# --- inputs ----------------------------------------------------------------------------------------------------------


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


# --- jobs ------------------------------------------------------------------------------------------------------------


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
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class JobActivity(Base):
    """One change of a job's state or step; the basis of its usage."""

    __tablename__ = "job_activities"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(1))
    step: Mapped[str] = mapped_column(String(1))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class PendingCommand(Base):
    """The outbox: a command that the broker has not confirmed yet; its row goes when it has."""

    __tablename__ = "pending_commands"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(index=True)
    """Without a foreign key: the command outlives even a job that is removed."""
    lando_connection_id: Mapped[int] = mapped_column(ForeignKey("lando_connections.id"))
    command: Mapped[str] = mapped_column(String(16))
    generation: Mapped[int]
    message_id: Mapped[str] = mapped_column(String(36))
    created: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    """Not tried before this; a server that is publishing it sets it into the future."""
    last_error: Mapped[str] = mapped_column(Text, default="")
