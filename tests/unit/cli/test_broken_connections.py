"""What the command line sends and follows gets through a server that goes away for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lando.client import UPLOAD_TRIES, LandoClient
from lando.client.connection import FOLLOW_TRIES
from lando.errors import InputError, Unavailable

LOGS = "GET /api/lando/v1/runs/3/logs"
FILES = "POST /api/lando/v1/files"
AWAY = (503, {"detail": "restarting"})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def followed(api: Any) -> str:
    with LandoClient(api.url, "good") as client:
        return "".join(client.logs(3, follow=True))


def test_a_followed_log_that_breaks_off_goes_on_where_it_was(api: Any, cut: Any) -> None:
    api.on(LOGS, cut("one\ntwo\n"), AWAY, cut("one\n"), "one\ntwo\nthree\n")
    assert followed(api) == "one\ntwo\nthree\n"


def test_a_followed_log_that_never_comes_is_given_up(api: Any, cut: Any) -> None:
    api.on(LOGS, cut("one\n"))
    with pytest.raises(Unavailable, match="broke off the log"):
        followed(api)
    assert len(api.asked) == FOLLOW_TRIES


def test_an_upload_is_sent_again_from_its_beginning(api: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"hello")
    api.on(FILES, AWAY, AWAY, (201, {"id": "f1", "url": "http://x/f1", "size": 5}))
    with LandoClient(api.url, "good") as client:
        assert client.upload(source).url == "http://x/f1"
    assert api.bodies(FILES) == [b"hello"] * 3


def test_an_upload_is_given_up_after_some_tries(api: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"hello")
    api.on(FILES, AWAY)
    with LandoClient(api.url, "good") as client, pytest.raises(Unavailable, match="answered 503: restarting"):
        client.upload(source)
    assert len(api.asked) == UPLOAD_TRIES


def test_a_closed_client_breaks_its_uploads_off(api: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"hello")
    client = LandoClient(api.url, "good")
    client.close()
    with pytest.raises(Unavailable):
        client.upload(source)
    assert b"hello" not in api.bodies(FILES)


def test_a_file_that_is_gone_is_bad_input(api: Any, tmp_path: Path) -> None:
    with LandoClient(api.url, "good") as client, pytest.raises(InputError, match=r"none\.txt can't be read"):
        client.upload(tmp_path / "none.txt")
