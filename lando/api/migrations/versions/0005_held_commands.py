"""Fair use: commands that wait for their job's turn, and whose job goes first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("pending_commands", sa.Column("held", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take this version back; commands that were held are sent."""
    op.drop_column("jobs", "priority")
    op.drop_column("pending_commands", "held")
