"""How full the output volume was at the end of each attempt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("step_attempts", sa.Column("volume_used", sa.BigInteger(), nullable=True))
    op.add_column("step_attempts", sa.Column("volume_size", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take this version back."""
    op.drop_column("step_attempts", "volume_size")
    op.drop_column("step_attempts", "volume_used")
