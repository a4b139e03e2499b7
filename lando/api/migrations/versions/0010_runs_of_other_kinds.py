"""Runs of the kinds besides cwl, with their steps and history; and which kind a command is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lando.api.models import JsonText, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("lando_connection_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("condition_step", sa.String(253), nullable=True),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("condition_since", UtcDateTime(), nullable=True),
        sa.Column("warnings", JsonText(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_runs_user_id")),
        sa.ForeignKeyConstraint(
            ["lando_connection_id"], ["lando_connections.id"], name=op.f("fk_runs_lando_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_state"), "runs", ["state"])
    op.create_index(op.f("ix_runs_user_id"), "runs", ["user_id"])
    _add_table(
        "run_steps",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("phase", sa.String(255), nullable=False),
        sa.Column("entry", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started", UtcDateTime(), nullable=True),
        sa.Column("ended", UtcDateTime(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.UniqueConstraint("run_id", "name", name=op.f("uq_run_steps_run_id_name")),
    )
    _add_table(
        "run_errors",
        sa.Column("step", sa.String(253), nullable=True),
        sa.Column("category", sa.String(32), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
    )
    op.create_index(op.f("ix_run_errors_run_id"), "run_errors", ["run_id"])
    _add_table(
        "run_activities",
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
    )
    op.create_index(op.f("ix_run_activities_run_id"), "run_activities", ["run_id"])
    _add_table(
        "run_attempts",
        sa.Column("step", sa.String(253), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job_name", sa.String(255), nullable=False),
        sa.Column("job_uid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("began", UtcDateTime(), nullable=False),
        sa.Column("ended", UtcDateTime(), nullable=True),
        sa.Column("category", sa.String(32), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("volume_used", sa.BigInteger(), nullable=True),
        sa.Column("volume_size", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("run_id", "job_uid", name=op.f("uq_run_attempts_run_id_job_uid")),
    )
    op.add_column("pending_commands", sa.Column("kind", sa.String(16), nullable=False, server_default="cwl"))


def _add_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    """A table of what belongs to a run."""
    op.create_table(
        name,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        *parts,
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f(f"fk_{name}_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Take this version back, with the runs of other kinds."""
    op.drop_column("pending_commands", "kind")
    for name in ("run_attempts", "run_activities", "run_errors", "run_steps", "runs"):
        op.drop_table(name)
