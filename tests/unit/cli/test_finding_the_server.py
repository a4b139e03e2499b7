"""Where the server is and who asks: options, then the environment, then the home's client.json."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lando.home import ClientSettings, find


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, lando: Any) -> Any:
    monkeypatch.delenv("LANDO_URL")
    monkeypatch.delenv("LANDO_TOKEN")
    return lando


def test_the_home_tells_where_the_server_is(api: Any, nothing_known: Any) -> None:
    api.on("GET /api/lando/v1/runs", [])
    home = find()
    home.prepare()
    home.write_client(ClientSettings(url=api.url, token="good"))
    assert nothing_known("jobs").out == "no runs\n"
    assert stat.S_IMODE(home.client_file.stat().st_mode) == 0o600


def test_options_come_first(api: Any, lando: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LANDO_TOKEN", "wrong")
    api.on("GET /api/lando/v1/runs", [])
    assert lando("jobs", "--url", api.url, "--token", "good").code == 0


def test_the_token_of_the_home_is_not_given_to_another_server(api: Any, nothing_known: Any) -> None:
    home = find()
    home.prepare()
    home.write_client(ClientSettings(url="http://127.0.0.1:9", token="good"))
    outcome = nothing_known("jobs", "--url", api.url)
    assert outcome.code == 2
    assert outcome.err == f"lando: No token for {api.url} is known: give it by LANDO_TOKEN or --token.\n"
    assert api.asked == []


def test_nothing_known_is_one_sentence(nothing_known: Any) -> None:
    outcome = nothing_known("jobs")
    assert outcome.code == 2
    assert outcome.err.startswith("lando: No server is known: start one with 'lando up'")


def test_a_server_that_is_not_there_exits_3(lando: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        outcome = lando("jobs", "--url", url)
    assert (outcome.code, outcome.err) == (3, f"lando: {url} can't be reached; is the server up ('lando up')?\n")


def test_a_broken_client_file_is_one_sentence(nothing_known: Any) -> None:
    home = find()
    home.prepare()
    home.client_file.write_text("{")
    outcome = nothing_known("jobs")
    assert outcome.code == 2
    assert "client.json can't be used" in outcome.err


def test_a_home_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from lando.home import find\n"
        "with find().locked():\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"LANDO_HOME": str(tmp_path / "home"), "PATH": ""},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        from lando.errors import ConfigError

        with pytest.raises(ConfigError, match=rf"Another Lando \(process {holder.pid}\) uses .*home; stop it"):
            find(tmp_path / "home").locked().__enter__()
        holder.stdin.close()
        holder.wait(60)
    with find(tmp_path / "home").locked():
        pass


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['lando', '--help']\n"
        "from lando.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'requests', 'fastapi', 'sqlalchemy', 'kubernetes', 'pika', 'rich', 'cwltool', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
