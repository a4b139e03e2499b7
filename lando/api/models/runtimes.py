"""Where and how jobs run: what a site's staff set up once."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lando.api.models.columns import Base, JsonText


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
    base_command: Mapped[list[str]] = mapped_column(JsonText, default=list)
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
