"""What operators ask of the server: dead letters, resync, prune."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

from lando.client.connection import Connection

TIMEOUT_S = 300.0
"""For what goes through all runs."""


class Upkeep:
    """For staff; documents are as the API gives them, errors as of :class:`.connection.Connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def dead_letters(self, *, limit: int, run: int | None = None, reason: str | None = None) -> list[dict[str, Any]]:
        """What lies in the dead-letter queues, by queue."""
        given = {"limit": limit, "run": run, "reason": reason}
        params = {name: value for name, value in given.items() if value is not None}
        answer = self._connection.call("GET", "/api/lando/v1/dead-letters", params=params)
        return [dict(one) for one in answer["queues"]]

    def dead_letter(self, identity: str) -> dict[str, Any]:
        """The whole of one dead letter."""
        return dict(self._connection.call("GET", f"/api/lando/v1/dead-letters/{quote(identity, safe='')}"))

    def settle_dead_letters(self, what: Literal["retry", "drop"], identities: Sequence[str]) -> set[str]:
        """Try the named letters again, or drop them; the ids that were there."""
        answer = self._connection.call("POST", f"/api/lando/v1/dead-letters/{what}", json={"ids": list(identities)})
        return set(answer["done"])

    def resync(self, *, dry_run: bool) -> list[dict[str, Any]]:
        """What does not fit between runs and objects; unless ``dry_run`` the daemon is asked to mend it."""
        answer = self._connection.call("GET" if dry_run else "POST", "/api/lando/v1/resync", timeout=TIMEOUT_S)
        return [dict(one) for one in answer["findings"]]

    def prune(self, *, older_than: timedelta | None, logs: bool, unknown: Sequence[int], dry_run: bool) -> list[Any]:
        """What ended runs hold longer than they need to; unless ``dry_run`` it goes."""
        params: dict[str, Any] = {"logs": str(logs).lower(), "unknown": list(unknown)}
        if older_than is not None:
            params["older_than_s"] = int(older_than.total_seconds())
        method = "GET" if dry_run else "POST"
        return list(self._connection.call(method, "/api/lando/v1/prune", params=params, timeout=TIMEOUT_S)["prunable"])
