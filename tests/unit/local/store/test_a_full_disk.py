"""A store whose disk is full refuses changes, says why, and goes on when there is room."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore


class Full(sqlite3.Connection):
    """On a full disk SQLite rolls a transaction back by itself when it is committed."""

    is_full = False

    def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
        if self.is_full and sql == "COMMIT":
            super().execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *arguments)  # type: ignore[arg-type]


def test_a_full_disk_refuses_a_change_with_its_reason_and_later_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Full, **k))
    store = ObjectStore(tmp_path / "objects.db")
    try:
        store.create("namespaces", "", {"metadata": {"name": "ns"}})
        monkeypatch.setattr(Full, "is_full", True)
        with pytest.raises(ApiError, match="database or disk is full") as refused:
            store.create("configmaps", "ns", {"metadata": {"name": "lost"}})
        assert refused.value.code == 500
        assert store.find("configmaps", "ns", "lost") is None
        monkeypatch.setattr(Full, "is_full", False)
        store.create("configmaps", "ns", {"metadata": {"name": "kept"}})
    finally:
        store.close()
    again = ObjectStore(tmp_path / "objects.db")
    assert [item["metadata"]["name"] for item in again.list("configmaps").items] == ["kept"]
    again.close()
