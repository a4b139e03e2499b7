"""The clusters that contract tests run against: the embedded one always, a real one where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.local.cluster import LocalCluster
from tests.services.kubernetes_api import KubernetesApi


@pytest.fixture(scope="session")
def embedded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute") as cluster:
        yield cluster


KUBECONFIG = os.environ.get("LANDO_TEST_KUBECONFIG")
CLUSTERS = ["embedded", *([pytest.param("real", marks=pytest.mark.service("kubernetes"))] if KUBECONFIG else [])]


@pytest.fixture(scope="session", params=CLUSTERS)
def any_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KubernetesApi:
    """The API of one cluster after the other."""
    if request.param == "embedded":
        cluster: LocalCluster = request.getfixturevalue("embedded_cluster")
        return KubernetesApi(cluster.url, cluster.ca_file, cluster.token, "default")
    assert KUBECONFIG
    return KubernetesApi.from_kubeconfig(Path(KUBECONFIG), tmp_path_factory.mktemp("real"))


@pytest.fixture
def api(any_cluster: KubernetesApi) -> Iterator[KubernetesApi]:
    """A namespace of the test's own in each cluster."""
    with any_cluster.fresh_namespace() as inside:
        yield inside
