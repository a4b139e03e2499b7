from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from lando.api import opening as module
from lando.api.database import Database
from lando.api.opening import Opening
from lando.api.schema_version import HEAD
from lando.errors import ConfigError, Unavailable


class Reluctant(Database):
    """Is away, then empty, then there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:///{folder}/lando.db")
        self.left: list[Exception] = [
            Unavailable("database", "connection refused"),
            RuntimeError("a bug"),
            ConfigError("The database's schema is empty: run 'lando admin migrate'."),
        ]

    def version(self) -> str:
        if self.left:
            raise self.left.pop(0)
        return HEAD


def test_a_server_opens_once_its_database_is_there_and_says_meanwhile_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "PAUSE_S", (0.001, 0.002))
    started = threading.Event()
    opening = Opening(Reluctant(tmp_path), starting=(started.set,))
    assert opening.waits_for is None, "nothing is refused by an application that nobody has started"
    opening.start()
    assert started.wait(10)
    opening._thread.join(10)
    assert opening.waits_for is None
    assert opening.wrong() is None
    told = [record.getMessage() for record in caplog.records]
    assert "Not open yet: database: connection refused" in told
    assert any("lando admin migrate" in line for line in told)


def test_a_server_whose_opening_failed_is_to_be_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    opening = Opening(Database(f"sqlite:///{tmp_path}/lando.db"), starting=(fail,))
    monkeypatch.setattr(opening._database, "version", lambda: HEAD)
    assert opening.wrong() is None, "nobody has started it"
    opening.start()
    opening._thread.join(10)
    assert opening.wrong() == "The server failed to open; its log says why."
    opening.stop()
    assert opening.wrong() is None


def test_a_server_may_be_stopped_while_it_waits(tmp_path: Path) -> None:
    database = Reluctant(tmp_path)
    database.left *= 1000
    opening = Opening(database, starting=())
    opening.start()
    assert opening.waits_for == "database: not available; the server's log says why."
    opening.stop()
    opening._thread.join(10)
    assert not opening._thread.is_alive()
