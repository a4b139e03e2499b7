"""Alembic's entry: runs the migrations on the connection that :meth:`lando.api.database.Database.migrate` gives."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from lando.api.models import Base, JsonText, UtcDateTime


def _own_type(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """How a new migration writes our column types."""
    if kind == "type" and isinstance(item, (JsonText, UtcDateTime)):
        return f"{type(item).__name__}()"
    return False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=_own_type)
with context.begin_transaction():
    context.run_migrations()
