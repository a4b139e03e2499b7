"""The clusters that contract tests run against: the embedded one always, a real one where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from lando.local.cluster import LocalCluster
from tests.services import control_plane
from tests.services.kubernetes_api import KubernetesApi


@pytest.fixture(scope="session")
def embedded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute") as cluster:
        yield cluster


REAL = pytest.param("real", marks=pytest.mark.service("kubernetes"))
CLUSTERS = ["embedded", *([REAL] if control_plane.is_to_be_had() else [])]


@pytest.fixture(scope="session", params=CLUSTERS)
def any_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KubernetesApi:
    """The API of one cluster after the other."""
    if request.param == "embedded":
        cluster: LocalCluster = request.getfixturevalue("embedded_cluster")
        return KubernetesApi(cluster.url, cluster.ca_file, cluster.token, "default")
    return KubernetesApi.from_kubeconfig(request.getfixturevalue("kubeconfig"), tmp_path_factory.mktemp("real"))


@pytest.fixture
def api(any_cluster: KubernetesApi) -> Iterator[KubernetesApi]:
    """A namespace of the test's own in each cluster."""
    with any_cluster.fresh_namespace() as inside:
        yield inside


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases ran on which cluster, and which of them a real one of that version could not be asked."""
    counted: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            file, bracket, parameters = report.nodeid.partition("[")
            if not file.startswith("tests/contract/"):
                continue
            for cluster in ("embedded", "real"):
                if bracket and cluster in parameters.rstrip("]").split("-"):
                    counted[cluster, outcome] += 1
                    if outcome == "skipped" and cluster == "real":
                        reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
    if not counted:
        return
    terminalreporter.section("contract cases by cluster")
    for cluster in ("embedded", "real"):
        figures = [f"{counted[cluster, outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")]
        asked = any(counted[cluster, outcome] for outcome in ("passed", "failed", "skipped"))
        terminalreporter.line(f"{cluster}: {', '.join(figures) if asked else 'none asked, see CONTRIBUTING.md'}")
    for reason, number in sorted(reasons.items()):
        terminalreporter.line(f"  skipped {number}: {reason}")
