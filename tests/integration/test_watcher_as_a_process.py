"""``python -m lando.k8s.watcher CONFIG`` against a cluster reached over HTTPS with a token: its health, its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lando.local.cluster import LocalCluster
from tests.services.providing import free_port, start_group, wait_until


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path / "cluster", sandbox="substitute") as local:
        yield local


def _read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return ""


def test_it_is_healthy_while_it_watches_and_ends_well_on_sigterm(local: LocalCluster, tmp_path: Path) -> None:
    port = free_port()
    token = tmp_path / "token"
    token.write_text(local.token + "\n")
    config = tmp_path / "k8s.config"
    config.write_text(
        yaml.safe_dump(
            {
                "work_queue": {"url": "memory://lando", "listen_queue": "lando"},
                "cluster_api_settings": {
                    "host": local.url,
                    "token_file": str(token),
                    "namespace": local.namespace,
                    "ssl_ca_cert": str(local.ca_file),
                },
                "bespin_api": {"url": "http://127.0.0.1:1/api/v2", "token": "t" * 40},
                "data_store_settings": {"secret_name": "agent"},
                "run_workflow_settings": {},
                "log_level": "INFO",
                "metrics_port": port,
                "metrics_host": "127.0.0.1",
            }
        )
    )
    with start_group(
        [sys.executable, "-m", "lando.k8s.watcher", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_until(lambda: _read(f"http://127.0.0.1:{port}/healthz") == "ok", 30, what="health")
            listed = 'lando_api_calls_total{peer="cluster",resource="Job",verb="watch"} 1.0'
            wait_until(lambda: listed in _read(f"http://127.0.0.1:{port}/metrics"), 30, what="a watch")
            assert "lando_watcher_last_event_age_seconds" in _read(f"http://127.0.0.1:{port}/metrics")
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "watching Jobs and Pods of the namespace lando" in said
    assert local.token not in said


@pytest.mark.parametrize(("arguments", "said"), [([], "usage:"), (["/no/such/file"], "/no/such/file")])
def test_without_a_usable_file_it_says_so_and_exits_2(arguments: list[str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lando.k8s.watcher", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
