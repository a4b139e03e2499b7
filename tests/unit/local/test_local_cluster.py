"""The embedded cluster as a whole: what it writes into its home, and what keeps it from starting."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml
from lando.errors import ConfigError
from lando.local.cluster import LocalCluster


def test_the_kubeconfig_leads_to_the_cluster_and_the_port_is_kept(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, namespace="work", sandbox="substitute") as cluster:
        config = yaml.safe_load(cluster.kubeconfig_file.read_text())
        url = cluster.url
    assert config["clusters"][0]["cluster"] == {"server": url, "certificate-authority": str(tmp_path / "ca.crt")}
    assert config["contexts"][0]["context"]["namespace"] == "work"
    assert config["users"][0]["user"] == {"token": cluster.token}
    with LocalCluster(tmp_path, namespace="work", sandbox="substitute") as again:
        assert (again.url, again.token) == (url, cluster.token)


def test_a_home_in_use_is_refused(tmp_path: Path) -> None:
    with (
        LocalCluster(tmp_path, sandbox="substitute"),
        pytest.raises(ConfigError, match="another process runs the embedded cluster"),
    ):
        LocalCluster(tmp_path, sandbox="substitute").start()


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} for the embedded cluster can't be used"):
            LocalCluster(tmp_path, port=port, sandbox="substitute").start()
    with LocalCluster(tmp_path, sandbox="substitute") as cluster:
        assert cluster.url


def test_a_state_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "objects.db").write_bytes(b"not a database, whatever else" * 100)
    with pytest.raises(ConfigError, match="move the file away to begin anew"):
        LocalCluster(tmp_path, sandbox="substitute").start()


def test_a_namespace_that_can_not_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't have a namespace 'Not Good'"):
        LocalCluster(tmp_path, namespace="Not Good", sandbox="substitute").start()
