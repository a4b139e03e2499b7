"""The file that outlives the process: every object's newest version and the resource version counter."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (version INTEGER NOT NULL);
"""
_BUSY_TIMEOUT_S = 10.0


class ObjectFile:
    """An SQLite file in WAL mode. Not thread-safe by itself: the store's lock guards it.

    A write is on disk's way before the caller hears of it and survives the end of the process; after a power cut the
    file is whole, but may lack the last moments.
    """

    def __init__(self, path: Path | None) -> None:
        """Open ``path``, or keep everything in memory when it is None."""
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if path is not None:
            path.chmod(0o600)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise

    def version(self) -> int:
        """The highest resource version ever given out; 0 in a new file."""
        row = self._connection.execute("SELECT max(version) FROM counter").fetchone()
        return int(row[0] or 0)

    def objects(self) -> Iterator[tuple[str, int, bytes]]:
        """Every object: resource, version, JSON."""
        yield from self._connection.execute("SELECT resource, version, body FROM objects")

    def write(self, resource: str, namespace: str, name: str, version: int, body: bytes | None) -> None:
        """Record one change and its version in one transaction; ``body`` None removes the object."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            if body is None:
                execute(
                    "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
                    (resource, namespace, name),
                )
            else:
                execute(
                    "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", (resource, namespace, name, version, body)
                )
            if execute("UPDATE counter SET version = ?", (version,)).rowcount == 0:
                execute("INSERT INTO counter VALUES (?)", (version,))
            execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself, for instance on a full disk.
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()
