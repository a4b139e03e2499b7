"""A connection of one's own beside the process-wide default; logins that change while they are in use."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import incluster_config
from lando.config import ClusterSettings
from lando.config.secrets import FileSecret
from lando.definitions.connection import DEFAULT, OwnConnection, parsed
from lando.k8s.cluster import KubernetesCluster
from tests.unit.cluster.conftest import Answer, Server
from urllib3.exceptions import HTTPError

JOBS = Answer({"apiVersion": "batch/v1", "kind": "JobList", "metadata": {}, "items": []})
NOT_LET_IN = Answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 401}, 401)
SETTINGS = ClusterSettings(namespace="a", host="https://own.example.org", token="secret")
Rotate = Callable[[str], ClusterSettings]
"""Puts another token where the login comes from."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    before = kubernetes.client.Configuration._default
    yield
    kubernetes.client.Configuration.set_default(before)


@pytest.fixture(params=["token file", "kubeconfig", "pod's account"])
def rotate(request: pytest.FixtureRequest, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rotate:
    file = tmp_path / "login"

    def as_token_file(token: str) -> ClusterSettings:
        file.write_text(token)
        return ClusterSettings(namespace="a", host=server.url, token=FileSecret(token, str(file)))

    def as_kubeconfig(token: str) -> ClusterSettings:
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        content = {
            "current-context": "c",
            "contexts": [context],
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        file.write_text(yaml.safe_dump(content))
        return ClusterSettings(namespace="a", kubeconfig=str(file))

    def as_account(token: str) -> ClusterSettings:
        in_pod(tmp_path, f"{token}\n", server, monkeypatch)
        return ClusterSettings(namespace="a", in_cluster=True)

    ways = {"token file": as_token_file, "kubeconfig": as_kubeconfig, "pod's account": as_account}
    return ways[request.param]


def in_pod(folder: Path, token: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the files and variables of a pod whose account has ``token``, in a cluster that answers without TLS."""
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_text("some certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setattr(incluster_config, "_join_host_port", lambda host, port: f"{host}:{port}")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.url.removeprefix("http://").partition(":")[0])
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
    load = incluster_config.InClusterConfigLoader._load_config

    def load_without_tls(self: Any) -> None:
        load(self)
        self.host = server.url

    monkeypatch.setattr(incluster_config.InClusterConfigLoader, "_load_config", load_without_tls)


def list_jobs(connection: Any) -> None:
    with connection.batch() as batch:
        batch.list_namespaced_job("a")


def shown(server: Server) -> list[str]:
    """The tokens that the server was shown."""
    return [asked.headers["Authorization"].partition(" ")[2] for asked in server.asked]


def test_the_process_wide_default_stays_what_it_was() -> None:
    with DEFAULT.batch() as before:
        default = before.api_client.configuration.host

    with KubernetesCluster(SETTINGS) as cluster, OwnConnection(cluster.session).batch() as own:
        assert own.api_client.configuration.host == "https://own.example.org"
        assert own.api_client.configuration.auth_settings()["BearerToken"]["value"] == "Bearer secret"

    with DEFAULT.batch() as after:
        assert after.api_client.configuration.host == default
        assert after.api_client.configuration.auth_settings() == {}


def test_its_session_is_kept_from_call_to_call() -> None:
    with KubernetesCluster(SETTINGS) as cluster:
        connection = OwnConnection(cluster.session)

        with connection.batch() as one, connection.core() as other:
            assert one.api_client is other.api_client


@pytest.mark.parametrize(
    "odd",
    [
        Answer(raw=b"<html>log in</html>", headers={"Content-Type": "text/html"}),
        Answer(raw=b'{"items": [{"meta'),
        Answer([]),
        Answer(None),
    ],
)
def test_what_is_no_kubernetes_api_is_a_cluster_that_can_t_be_reached(server: Server, odd: Answer) -> None:
    server.says(odd)
    with KubernetesCluster(replace(SETTINGS, host=server.url)) as cluster:
        connection = OwnConnection(cluster.session)
        with pytest.raises(HTTPError, match="no Kubernetes API"):
            list_jobs(connection)
        with pytest.raises(HTTPError, match="no Kubernetes API"), connection.batch() as batch:
            batch.read_namespaced_job_status("one", "a")
        with pytest.raises(HTTPError, match="no Kubernetes API"), connection.core() as core:
            parsed(core.list_namespaced_event("a", _preload_content=False))
        server.says(Answer({}))
        with pytest.raises(HTTPError, match="no Kubernetes API"), connection.batch() as batch:
            batch.read_namespaced_job_status("one", "a")


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_waits_as_long_as_a_busy_cluster_asks_for(server: Server, status: int) -> None:
    server.says(Answer({"kind": "Status"}, status, {"Retry-After": "3600"}))
    with (
        KubernetesCluster(replace(SETTINGS, host=server.url)) as cluster,
        pytest.raises(ApiException) as refused,
    ):
        list_jobs(OwnConnection(cluster.session))

    assert refused.value.status == status


def test_a_login_that_was_replaced_is_read_again_when_the_cluster_refuses_it(server: Server, rotate: Rotate) -> None:
    with KubernetesCluster(rotate("old")) as cluster:
        connection = OwnConnection(cluster.session)
        server.says(NOT_LET_IN)
        with pytest.raises(ApiException):
            list_jobs(connection)
        assert shown(server) == ["old"], "the same login is not shown twice"

        rotate("new")
        server.says(NOT_LET_IN, JOBS)
        list_jobs(connection)
        list_jobs(connection)
        cluster.list("Job")
        assert shown(server)[1:] == ["old", "new", "new", "new"]

        rotate("newest")
        server.says(NOT_LET_IN, JOBS)
        cluster.list("Job")
        list_jobs(connection)
        assert shown(server)[5:] == ["new", "newest", "newest"]
        connection.close()


def test_a_pod_s_token_is_read_again_every_minute_by_whoever_calls_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pod(tmp_path, "old", server, monkeypatch)
    server.says(JOBS)
    config.load_incluster_config()
    with KubernetesCluster(ClusterSettings(namespace="a", in_cluster=True)) as cluster:
        connections = (DEFAULT, OwnConnection(cluster.session))
        for connection in connections:
            list_jobs(connection)
        in_pod(tmp_path, "new", server, monkeypatch)
        a_minute_later(monkeypatch)
        for connection in (*connections, *connections):
            list_jobs(connection)
        cluster.list("Job")

    assert shown(server) == ["old", "old", *["new"] * 5]


def test_a_login_that_can_t_be_sent_is_told_without_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pod(tmp_path, "s3cret\nof two lines", server, monkeypatch)
    config.load_incluster_config()

    with pytest.raises(config.ConfigException, match="login") as caught:
        list_jobs(DEFAULT)

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the official client's clock go on."""
    real = incluster_config.datetime.datetime

    class Later(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.now(tz) + incluster_config.datetime.timedelta(seconds=61)

    class Times:
        datetime = Later
        timedelta = incluster_config.datetime.timedelta

    monkeypatch.setattr(incluster_config, "datetime", Times)
