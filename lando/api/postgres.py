"""A PostgreSQL that falls silent: its driver would wait without end, so each answer has a limit here.

TCP does not tell: the system of a server that is stopped, or whose disk hangs, goes on confirming what it receives.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from sqlalchemy import Engine, event

ANSWER_S = 15.0
"""How long nothing may come from the server while it is asked something, in seconds."""


class Silence(psycopg.OperationalError, TimeoutError):
    """The server said nothing for too long."""


class _Connection(psycopg.Connection[Any]):
    """Closes itself when the server falls silent."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        return super().wait(self._limited(gen), *arguments, **options)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """``gen``, which the driver resumes with what its socket is ready for, or ten times a second with nothing."""
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > ANSWER_S:
                    self.pgconn.finish()
                    raise Silence(f"no answer within {ANSWER_S:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


def limit_silence(engine: Engine) -> None:
    """Have all connections of ``engine`` raise :class:`Silence` instead of waiting longer than :data:`ANSWER_S`."""

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> _Connection:
        try:
            return _Connection.connect(*arguments, **options)
        except psycopg.errors.ConnectionTimeout as error:
            raise Silence(f"no answer within {options.get('connect_timeout')} s") from error

    event.listen(engine, "do_connect", connect)
