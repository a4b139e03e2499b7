"""The ids of runs of every kind: one sequence, that of the jobs.

Objects in the cluster, logs and results are named by them, so that none may ever be given twice.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

_SEQUENCE = "pg_get_serial_sequence('jobs', 'id')::regclass"


def next_id(session: Session) -> int:
    """An id that no job and no run has or will get; within a transaction that writes."""
    if session.get_bind().dialect.name == "sqlite":
        return skip_ids(session, 1) - 1
    return int(session.execute(text(f"SELECT nextval({_SEQUENCE})")).scalar_one())


def skip_ids(session: Session, count: int) -> int:
    """Leave out ``count`` ids; the id that the next job or run gets.

    Jobs that were made after a backup still have objects.
    """
    if session.get_bind().dialect.name == "sqlite":
        changed = session.execute(text("UPDATE sqlite_sequence SET seq = seq + :n WHERE name = 'jobs'"), {"n": count})
        if not changed.rowcount:  # type: ignore[attr-defined]
            session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', :n)"), {"n": count})
        return int(session.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")).scalar_one()) + 1
    step = f"SELECT setval({_SEQUENCE}, nextval({_SEQUENCE}) + :n, false)"
    return int(session.execute(text(step), {"n": count}).scalar_one())
