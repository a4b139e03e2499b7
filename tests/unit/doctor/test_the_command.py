"""``lando doctor`` as it is typed: a line for each finding, the exit status, JSON, and no secret anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando import cli
from lando.home import ClientSettings, Home
from lando.local.credentials import write_kubeconfig
from lando.local.presence import Presence, announce, held
from tests.unit.doctor.conftest import WHO, Peer, status


@pytest.fixture
def file(peer: Peer, tmp_path: Path) -> Path:
    path = tmp_path / "k8s.config"
    settings = {
        "work_queue": {"url": "memory://here", "listen_queue": "lando"},
        "cluster_api_settings": {"host": peer.url, "namespace": "jobs", "token": "cluster-s3cret"},
        "bespin_api": {"url": f"{peer.url}/api/v2", "token": "api-s3cret"},
        "lando_api": {"url": f"{peer.url}/api/lando/v1", "token": "api-s3cret"},
        "record_output_project_settings": {},
        "archive": {"url": (tmp_path / "archive").as_uri()},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["lando", "doctor", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def test_all_well_is_a_line_each_and_exit_0(doctor: Any, file: Path) -> None:
    code, out = doctor(file)
    assert code == 0, out
    lines = out.splitlines()
    assert lines[:2] == ["Configuration", f"  ok       file                   {file} is fine"]
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "Configuration",
        "Queue",
        "Bespin API",
        "Lando API",
        "Cluster, namespace jobs",
        "Archive of logs",
        "Results",
        lines[-1],
    ]
    assert lines[-1].endswith(" ok. Lando can work.")


def test_what_failed_is_exit_1_and_shows_no_secret(doctor: Any, file: Path, peer: Peer) -> None:
    peer.answers[WHO] = status(401)
    peer.answers["/api/v2/admin/job-errors/"] = (503, "the token is api-s3cret")
    code, out = doctor(file)
    assert code == 1
    assert "  failed   token                  the cluster does not take it → make a new one" in out
    assert out.endswith("2 failed. Lando can't work like this.\n")
    assert "s3cret" not in out


def test_json_holds_the_same_for_programs(doctor: Any, file: Path, peer: Peer) -> None:
    peer.answers[WHO] = status(401)
    code, out = doctor(file, "--json", "--daemon", "watcher")
    document = json.loads(out)
    assert code == 1
    assert document["counts"]["failed"] == 1
    cluster = next(part for part in document["parts"] if part["part"] == "cluster")
    assert cluster["findings"][-1] | {"advice": ""} == {
        "check": "token",
        "level": "failed",
        "seen": "the cluster does not take it",
        "advice": "",
    }


def test_a_file_that_can_not_be_used_is_all_that_is_told(doctor: Any, file: Path) -> None:
    file.write_text(file.read_text().replace("namespace: jobs", "namespace: TODO"))
    code, out = doctor(file)
    assert code == 1
    assert "failed   cluster_api_settings.namespace line 8: still says TODO" in out
    assert "Queue" not in out


def test_without_a_file_the_stack_of_this_user_is_examined(doctor: Any, tmp_path: Path, peer: Peer) -> None:
    code, out = doctor("--home", tmp_path / "home")
    assert code == 1
    assert "start it with 'lando up', or name a daemons' file" in out
    home = Home(tmp_path / "home")
    home.prepare()
    home.cluster.mkdir()
    home.write_client(ClientSettings(url=peer.url, token="mine", pid=os.getpid()))
    file = home.cluster / "kubeconfig"
    write_kubeconfig(file, url=peer.url, ca_file=file, user="admin", token="root", namespace="jobs")
    with held(home.cluster):
        here = Presence(
            pid=os.getpid(),
            url=peer.url,
            namespace="jobs",
            mounts="bwrap",
            ephemeral=False,
            kubeconfig=str(file),
            users={},
        )
        announce(home.cluster, here)
        code, out = doctor("--home", home.path)
    assert f"ok       home                   {home.path}, server at {peer.url}" in out
    assert "Cluster, namespace jobs" in out
    assert code == 0, out


def test_help_teaches(doctor: Any) -> None:
    code, out = doctor("--help")
    assert code == 0
    assert "Exit 1 if something failed" in out


def test_an_administrators_kubeconfig_that_is_not_there_is_refused(
    doctor: Callable[..., tuple[int, str]], file: Path, tmp_path: Path
) -> None:
    code, out = doctor(file, "--admin-kubeconfig", tmp_path / "nope")
    assert (code, out) == (2, "")
