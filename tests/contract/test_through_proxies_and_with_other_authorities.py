"""A cluster and an API elsewhere: behind HTTP proxies, behind authorities and names that are not the ones expected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from lando.config import ClusterSettings
from lando.errors import Unavailable
from lando.k8s.cluster import KubernetesCluster
from lando.local.cluster import LocalCluster
from lando.sources.http import JsonApi
from tests.services import certificates
from tests.services.http_proxy import http_proxy
from tests.services.providing import free_port


@pytest.fixture
def settings(embedded_cluster: LocalCluster) -> ClusterSettings:
    return ClusterSettings(
        namespace=embedded_cluster.namespace,
        host=embedded_cluster.url,
        token=embedded_cluster.token,
        ssl_ca_cert=str(embedded_cluster.ca_file),
    )


def ask(settings: ClusterSettings) -> str:
    with KubernetesCluster(settings) as cluster:
        return str(cluster.session.ask("/version")["major"])


@pytest.mark.parametrize("login", [None, "ada:s3cr:t"])
def test_a_cluster_is_reached_through_its_proxy_and_logs_in_there(settings: ClusterSettings, login: str | None) -> None:
    with http_proxy(login) as proxy:
        shown = "ada:s3cr%3At@" if login else ""
        assert ask(replace(settings, proxy=f"http://{shown}{proxy.place}")) == "1"
        assert proxy.connected == [str(settings.host).removeprefix("https://")]


def test_an_api_is_reached_through_its_proxy(settings: ClusterSettings) -> None:
    with http_proxy("ada:s3cret") as proxy:
        through = f"http://ada:s3cret@{proxy.place}"
        api = JsonApi("API", str(settings.host), "unknown", ca_file=settings.ssl_ca_cert, proxy=through)
        with pytest.raises(Unavailable) as answered:
            api.request("GET", "version")
        api.close()
        assert answered.value.status == 401, "the peer itself has answered"
        assert len(proxy.connected) == 1


def test_a_proxy_that_does_not_let_us_through_is_told_without_its_login(settings: ClusterSettings) -> None:
    with http_proxy("ada:s3cret") as proxy:
        wrong = f"http://ada:wr0ng@{proxy.place}"
        with pytest.raises(Unavailable, match=r"wants a login.*check cluster_api_settings\.proxy") as refused:
            ask(replace(settings, proxy=wrong))
        api = JsonApi("API", str(settings.host), "t0ken", ca_file=settings.ssl_ca_cert, proxy=wrong)
        with pytest.raises(Unavailable, match=r"wants a login.*check bespin_api\.proxy") as also_refused:
            api.request("GET", "version")
        api.close()
    assert "wr0ng" not in f"{refused.value} {also_refused.value}"
    with pytest.raises(Unavailable, match=r"the proxy can't be reached \(Connection refused\)"):
        ask(replace(settings, proxy=f"http://127.0.0.1:{free_port()}"))


def test_the_environments_proxy_is_for_other_machines_only(
    settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    assert ask(settings) == "1"


def test_a_wrong_authority_and_a_wrong_name_are_refused_in_clear_words(
    settings: ClusterSettings, tmp_path: Path
) -> None:
    foreign = str(certificates.make(tmp_path).ca)
    with pytest.raises(Unavailable, match=r"is not trusted \(.*\); set cluster_api_settings\.ssl_ca_cert"):
        ask(replace(settings, ssl_ca_cert=foreign))
    by_another_name = str(settings.host).replace("127.0.0.1", "127.1")  # this machine, but no name of the certificate
    with pytest.raises(Unavailable, match=r"not valid for '127\.1'; name it in cluster_api_settings"):
        ask(replace(settings, host=by_another_name))
    for url, ca_file, words in (
        (settings.host, foreign, r"is not trusted \(.*\); set bespin_api\.ssl_ca_cert"),
        (by_another_name, settings.ssl_ca_cert, r"not valid for '127\.1'; name it in bespin_api"),
    ):
        api = JsonApi("API", str(url), "t0ken", ca_file=ca_file)
        with pytest.raises(Unavailable, match=words):
            api.request("GET", "version")
        api.close()


def test_a_kubeconfig_serves_by_any_of_its_contexts_and_is_read_again_when_its_token_is_refused(
    settings: ClusterSettings, embedded_cluster: LocalCluster, tmp_path: Path
) -> None:
    document = yaml.safe_load(embedded_cluster.kubeconfig_file.read_text())
    document["users"].append({"name": "old", "user": {"token": "expired"}})
    document["contexts"].append({"name": "elsewhere", "context": {**document["contexts"][0]["context"], "user": "old"}})
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    lent = ClusterSettings(namespace=settings.namespace, kubeconfig=str(file), context="elsewhere")
    with KubernetesCluster(lent) as cluster:
        with pytest.raises(Unavailable, match="Unauthorized"):
            cluster.list("Pod")
        document["users"][-1]["user"]["token"] = embedded_cluster.token
        file.write_text(yaml.safe_dump(document))
        assert cluster.list("Pod") == []
    assert ask(replace(lent, context=None)) == "1"
