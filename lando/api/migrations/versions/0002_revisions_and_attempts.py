"""Jobs count what their followers may see of them, and keep the attempts that a daemon made of each step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lando.api.models import JsonText

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("jobs", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("attempts", JsonText(), nullable=False, server_default="{}"))
    op.create_index(op.f("ix_pending_commands_job_id"), "pending_commands", ["job_id"])


def downgrade() -> None:
    """Take this version back."""
    op.drop_index(op.f("ix_pending_commands_job_id"), table_name="pending_commands")
    op.drop_column("jobs", "attempts")
    op.drop_column("jobs", "revision")
