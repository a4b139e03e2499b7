"""Which cluster a model runs on: options, the model, the environment, in this order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.direct import connecting
from lando.direct.connecting import connect, doubt
from lando.errors import ConfigError
from lando.phases.model import Settings

LOGIN = "client.authentication.k8s.io/v1"


def kubeconfig(file: Path, *names: str, insecure: bool = False) -> Path:
    """A kubeconfig with a context for each name; the first is the current one."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": names[0],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}.test", "insecure-skip-tls-verify": insecure}}
            for name in names
        ],
        "users": [{"name": name, "user": {"token": "t"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where nothing lies, outside of any pod."""
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(connecting, "ACCOUNT", tmp_path / "account" / "token")
    return tmp_path


@pytest.fixture
def pod(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside of a pod with an account."""
    import kubernetes.config.incluster_config as library

    account = home / "account"
    account.mkdir()
    (account / "token").write_text("its own")
    (account / "ca.crt").write_text("certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "pod.test")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(library, "SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(library, "SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda configuration: _NoClient())


class _NoClient:
    """Instead of one that reads the certificate."""

    rest_client: Any = type("", (), {"pool_manager": None})

    def close(self) -> None: ...


def url(settings: Settings | None = None, **options: Any) -> str:
    with connect(settings or Settings(), **options) as cluster:
        return cluster.session.url


def test_the_kubeconfig_lies_where_kubectl_looks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig(home / ".kube" / "config", "usual")
    assert url() == "https://usual.test"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(home / "named", "named")))
    assert url() == "https://named.test"
    assert url(kubeconfig=kubeconfig(home / "given", "given")) == "https://given.test"


def test_several_kubeconfigs_are_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "three").write_text("current-context: ''\n")
    files = [kubeconfig(home / "one", "one"), home / "absent", kubeconfig(home / "two", "two"), home / "three"]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert url() == "https://one.test"
    assert url(context="two") == "https://two.test"


def calling(file: Path, *lines: str) -> Path:
    """A kubeconfig whose login is what a program says that has these lines."""
    program = file.with_name("log-in")
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    document = yaml.safe_load(kubeconfig(file, "given").read_text())
    document["users"][0]["user"] = {"exec": {"apiVersion": LOGIN, "command": str(program), "interactiveMode": "Never"}}
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_program_that_a_kubeconfig_names_is_called_for_the_login(home: Path) -> None:
    said = {"apiVersion": LOGIN, "kind": "ExecCredential", "status": {"token": "said"}}
    with connect(Settings(), kubeconfig=calling(home / "given", f"echo '{json.dumps(said)}'")) as cluster:
        assert cluster.session.bearer_token() == "said"


@pytest.mark.parametrize("line", ["exit 3", "echo '{}'"])
def test_a_program_that_gives_no_login_is_named(line: str, home: Path) -> None:
    with pytest.raises(ConfigError, match=rf"given: the program {home}/log-in that it names for the login gave none"):
        connect(Settings(), kubeconfig=calling(home / "given", line))


def test_the_namespace_is_the_model_s(home: Path) -> None:
    kubeconfig(home / ".kube" / "config", "usual")
    with connect(Settings(kubernetes_namespace="etl")) as cluster:
        assert cluster.namespace == "etl"


def test_without_a_kubeconfig_it_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=rf"no kubeconfig at {home}/\.kube/config: give one by KUBECONFIG"):
        connect(Settings())
    monkeypatch.setenv("KUBECONFIG", "/absent/one:/absent/two")
    with pytest.raises(ConfigError, match="/absent/one or /absent/two"):
        connect(Settings())


@pytest.mark.parametrize("text", ["just text", "{", "{}"])
def test_what_is_no_kubeconfig_is_one_sentence(text: str, home: Path) -> None:
    (home / "broken").write_text(text)
    with pytest.raises(ConfigError) as raised:
        connect(Settings(), kubeconfig=home / "broken")
    assert "cluster_api_settings" not in str(raised.value)
    assert str(home / "broken") in str(raised.value)


def test_a_context_that_is_not_there_is_named(home: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        connect(Settings(), kubeconfig=kubeconfig(home / "given", "given"), context="nowhere")


@pytest.mark.usefixtures("pod")
def test_in_a_pod_its_own_account_is_taken_unless_something_else_is_asked_for(home: Path) -> None:
    kubeconfig(home / ".kube" / "config", "usual")
    assert url() == "https://pod.test:443"
    assert url(Settings(incluster=True)) == "https://pod.test:443"


@pytest.mark.usefixtures("pod")
def test_in_a_pod_a_kubeconfig_can_be_asked_for(home: Path) -> None:
    kubeconfig(home / ".kube" / "config", "usual")
    assert url(Settings(incluster=False)) == "https://usual.test"
    assert url(Settings(incluster=True), context="usual") == "https://usual.test"


def test_an_account_that_is_asked_for_and_not_there_is_one_sentence(home: Path) -> None:
    kubeconfig(home / ".kube" / "config", "usual")
    with pytest.raises(ConfigError, match="incluster: true, but this is no pod"):
        connect(Settings(incluster=True))


@pytest.mark.parametrize(
    ("insecure", "wanted", "told"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_that_nobody_verifies_the_cluster_is_told_unless_it_is_silenced(
    insecure: bool, wanted: bool, told: bool, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kubeconfig(home / ".kube" / "config", "usual", insecure=insecure)
    settings = Settings(ssl_insecure_warnings=wanted)
    with connect(settings) as cluster:
        assert (doubt(settings, cluster) is not None) is told
    assert caplog.messages == []
