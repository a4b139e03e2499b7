"""The API server of production, and what it learns from the daemons' file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from lando import config
from lando.api import settings as api_settings
from lando.api.settings import Settings
from lando.cli import serving
from lando.errors import ConfigError, NotFound
from lando.k8s.cluster import Cluster
from lando.k8s.live_logs import live_logs

DAEMONS = """\
work_queue: {url: memory://lando, listen_queue: lando}
cluster_api_settings: {host: "https://127.0.0.1:9", token: secret-token, namespace: here}
bespin_api: {url: http://127.0.0.1:9/api/v2, token: other-token}
data_store_settings: {url: "file:///results"}
archive: {url: "file:///archive"}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "k8s.config").write_text(DAEMONS, encoding="utf-8")
    environment = {"LANDO_HOME": str(tmp_path), "LANDO_API_DAEMONS_CONFIG": str(tmp_path / "k8s.config")}
    return api_settings.load(environment=environment, options={"port": 0})


def test_the_server_starts_while_the_cluster_is_away(settings: Settings) -> None:
    with serving.server_with(settings) as server:
        assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200
        assert server.site.live_logs is not None
        assert server.settings.archive_url == "file:///archive"


def test_what_the_server_is_told_itself_comes_before_the_daemons_file(settings: Settings) -> None:
    daemons = config.load(cast(str, settings.daemons_config))
    own = Settings(database_url="", key_file="", files_dir="", archive_url="s3://own/logs")
    completed = serving.completed(own, daemons)
    assert (completed.archive_url, completed.results_roots) == ("s3://own/logs", ["file:///results"])


def test_a_daemons_file_that_is_wrong_is_told_with_its_line(settings: Settings) -> None:
    Path(cast(str, settings.daemons_config)).write_text(DAEMONS.replace("lando}", "7}"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"k8s\.config:1"), serving.server_with(settings):
        pass


def test_definitions_are_served_by_the_cluster_of_the_daemons_file_even_while_that_is_away(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "definitions.yaml"
    file.write_text("- name: greet\n  spec: 'metadata: {name: greet}'\n", encoding="utf-8")
    with serving.server_with(replace(settings, definitions=str(file))) as server:
        assert server.site.definitions is not None
        manager = server.site.definitions.manager_for("1", "ada", knows_all=True)
        assert (manager.namespace, manager.signer.signature) == ("here", "lando-definitions")
        assert manager.make_job("greet")["metadata"]["labels"]["job_definition_name"] == "greet"
        with manager.connection.batch() as batch:
            assert batch.api_client.configuration.host == "https://127.0.0.1:9"


def test_definitions_need_a_namespace(settings: Settings) -> None:
    alone = replace(settings, daemons_config=None, definitions="definitions.yaml", definitions_kubeconfig="kubeconfig")
    with pytest.raises(ConfigError, match="definitions_namespace"), serving.server_with(alone):
        pass


def test_a_cluster_for_definitions_that_can_t_be_used_is_told_by_the_setting(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    alone = replace(settings, daemons_config=None, definitions="definitions.yaml", definitions_namespace="here")
    with pytest.raises(ConfigError, match=r"^definitions_kubeconfig: this is no pod"), serving.server_with(alone):
        pass
    named = replace(alone, definitions_kubeconfig=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"^definitions_kubeconfig: .*/nowhere: "), serving.server_with(named):
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"definitions_signature": "a b"},
        {"definitions_for": "all"},
        {"definitions_retention_s": -1},
        {"definitions_kept_s": 0},
        {"definitions_kept_s": 1e10},
    ],
)
def test_settings_of_definitions_are_checked(settings: Settings, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(settings, **wrong)


class FakeCluster:
    """Two pods of a step; the newer one speaks."""

    def list(self, kind: str, selector: str) -> list[dict[str, Any]]:
        assert kind == "Pod"
        if "bespin-job-id=3" not in selector:
            return []
        return [
            {
                "metadata": {"name": name, "creationTimestamp": f"2026-03-04T15:0{n}:00Z"},
                "spec": {"containers": [{"name": "main"}]},
            }
            for n, name in enumerate(("old", "new"))
        ]

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        if (pod, container, follow) != ("new", "main", False):
            raise NotFound("cluster", f"{pod} is gone")
        return iter(["one", "two"])


def test_the_newest_pod_of_the_step_is_read() -> None:
    read = live_logs(cast(Cluster, FakeCluster()))
    assert list(read(3, "run_workflow", False) or ()) == ["one\n", "two\n"]
    assert read(3, "run_workflow", True) is None
    assert read(4, "run_workflow", False) is None
