"""Where tests of the API keep their data: SQLite files, or databases of a real PostgreSQL, made by copying."""

from __future__ import annotations

import shutil
import uuid
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psycopg


class Databases(Protocol):
    """Makes databases, quickly, as copies of one that is prepared and closed."""

    def new(self) -> str:
        """The URL of an empty database."""

    def copy(self, url: str) -> str:
        """The URL of a database that holds what the one at ``url`` held, to which nobody is connected."""

    def drop(self, url: str) -> None:
        """Remove a copy, whoever is still connected."""


class SqliteFiles:
    """Databases as files below ``folder``; the names of dropped ones are used again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle: list[str] = []

    def new(self) -> str:
        return self._idle.pop() if self._idle else f"sqlite:///{self._folder}/{uuid.uuid4().hex[:12]}.db"

    def copy(self, url: str) -> str:
        copy = self.new()
        shutil.copy(_file(url), _file(copy))
        return copy

    def drop(self, url: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(_file(url) + suffix).unlink(missing_ok=True)
        self._idle.append(url)


class PostgresDatabases:
    """Databases of the server whose administrator's database is at ``url``.

    A copy that is dropped is made as it was and used again, in a tenth of the time that a new one takes. So its tables
    stay as they were made.
    """

    def __init__(self, url: str) -> None:
        import psycopg

        self._connect = partial(psycopg.connect, autocommit=True)
        self._admin = self._connect(url)
        self._server = url.rpartition("/")[0]
        self._idle: dict[str, list[str]] = defaultdict(list)
        self._copied: dict[str, str] = {}

    def new(self) -> str:
        return self._made("template1")

    def copy(self, url: str) -> str:
        if idle := self._idle[url]:
            return idle.pop()
        copy = self._made(url.rpartition("/")[2])
        with self._connected(copy) as connection:
            connection.execute(KEEP)
        self._copied[copy] = url
        return copy

    def drop(self, url: str) -> None:
        with self._connected(url) as connection:
            connection.execute(RESTORE)
        self._idle[self._copied[url]].append(url)

    def remove(self, url: str) -> None:
        """Remove a database for good."""
        self._admin.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)".encode())

    def close(self) -> None:
        """Give up the connection that makes them."""
        self._admin.close()

    def _made(self, template: str) -> str:
        name = f"lando_test_{uuid.uuid4().hex[:12]}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
        return f"{self._server}/{name}".replace("postgresql://", "postgresql+psycopg://")

    def _connected(self, url: str) -> psycopg.Connection[Any]:
        return self._connect(url.replace("postgresql+psycopg://", "postgresql://"))


EACH_TABLE = """
DO $$ DECLARE name text; BEGIN
  {before}
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    {each}
  END LOOP;
  {after}
END $$
"""
KEEP = EACH_TABLE.format(
    before="DROP SCHEMA IF EXISTS kept CASCADE; CREATE SCHEMA kept;",
    each="EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', name);",
    after="CREATE TABLE kept.sequences AS SELECT * FROM pg_sequences;",
).encode()
"""Notes what a database holds."""
RESTORE = EACH_TABLE.format(
    before="""PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid();
  SET LOCAL session_replication_role = replica;""",
    each="""EXECUTE format('DELETE FROM public.%1$I', name);
    EXECUTE format('INSERT INTO public.%1$I SELECT * FROM kept.%1$I', name);""",
    after="""PERFORM
      setval(format('public.%I', sequencename)::regclass, coalesce(last_value, 1), last_value IS NOT NULL)
    FROM kept.sequences;""",
).encode()
"""Ends whoever is connected, and makes the database hold what was noted. As a replica it checks no foreign keys."""


def _file(url: str) -> str:
    return url.removeprefix("sqlite:///")
