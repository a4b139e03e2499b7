"""Notices of jobs' ends: what is still to be delivered, and Bespin's mails and templates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lando.api.models import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "email_templates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("body_template", sa.Text(), nullable=False),
        sa.Column("subject_template", sa.Text(), nullable=False),
        sa.UniqueConstraint("name", name=op.f("uq_email_templates_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_templates")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "email_messages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sender_email", sa.String(254), nullable=False),
        sa.Column("to_email", sa.String(254), nullable=False),
        sa.Column("bcc_email", sa.String(254), nullable=False),
        sa.Column("state", sa.String(1), nullable=False),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("sending_until", UtcDateTime(), nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_messages")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.String(36), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("job_state", sa.String(1), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("email_message_id", sa.Integer(), nullable=True),
        sa.Column("template", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("settled", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_notices_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["email_message_id"], ["email_messages.id"], name=op.f("fk_notices_email_message_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("notice_id", name=op.f("uq_notices_notice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notices_job_id"), "notices", ["job_id"])
    op.create_index(op.f("ix_notices_channel"), "notices", ["channel"])


def downgrade() -> None:
    """Take this version back."""
    op.drop_table("notices")
    op.drop_table("email_messages")
    op.drop_table("email_templates")
