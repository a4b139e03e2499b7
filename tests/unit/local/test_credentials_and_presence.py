"""Users of an embedded cluster, and how other processes find it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType

import pytest
import yaml
from lando.errors import ConfigError
from lando.local import presence
from lando.local.cluster import LocalCluster
from lando.local.credentials import User, ensure_users, parse_users
from tests.services.kubernetes_api import KubernetesApi


def test_users_are_named_with_their_namespaces() -> None:
    assert parse_users(["ada:a", "grace", "ada:b"]) == (
        User(name="ada", namespaces=frozenset({"a", "b"})),
        User(name="grace", namespaces=None),
    )


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["Ada"], "'Ada' can't be a user's name"),
        (["ada:"], "'' can't be a namespace"),
        (["../x"], "can't be a user's name"),
        (["ada", "ada:a"], "choose one"),
        (["lando-admin"], "choose another name"),
    ],
)
def test_what_can_not_be_a_user_is_said(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_users(texts)


def test_tokens_stay_and_go_with_their_users(tmp_path: Path) -> None:
    folder = tmp_path / "users"
    first = ensure_users(folder, parse_users(["ada:a", "grace"]))
    assert (folder / "ada" / "token").stat().st_mode & 0o777 == 0o600
    second = ensure_users(folder, parse_users(["ada:b"]))
    (token,) = second
    assert first[token].user == "ada"
    assert second[token].namespaces == frozenset({"b"})
    assert [entry.name for entry in folder.iterdir()] == ["ada"]


def test_a_user_works_in_their_namespace_only(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, sandbox="substitute", users=parse_users(["ada:team-a"])) as cluster:
        config = yaml.safe_load((tmp_path / "users" / "ada" / "kubeconfig").read_text())
        assert config["contexts"][0]["context"] == {"cluster": "lando", "user": "ada", "namespace": "team-a"}
        api = KubernetesApi(cluster.url, cluster.ca_file, config["users"][0]["user"]["token"], "team-a")
        assert api.create("configmaps", {"metadata": {"name": "mine"}}).code == 201
        refused = api.call("GET", "/api/v1/namespaces/lando/pods")
        assert (refused.code, refused.body["message"]) == (
            403,
            'pods is forbidden: User "ada" cannot list resource "pods" in API group "" in the namespace "lando"',
        )
        assert api.call("GET", "/api/v1/pods").body["message"].endswith("at the cluster scope")
        assert api.call("GET", "/api/v1/namespaces/team-a").code == 200
        assert api.call("DELETE", "/api/v1/namespaces/team-a").code == 403
        assert api.call("GET", "/api/v1/namespaces").code == 403
        who = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert who.body["status"]["userInfo"]["username"] == "ada"
        rules = {"spec": {"namespace": "lando"}}
        review = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules)
        assert ["*"] not in [rule["verbs"] for rule in review.body["status"]["resourceRules"]]
        api.session.close()


def test_an_ephemeral_cluster_keeps_nothing(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, sandbox="substitute", namespace="before"):
        pass
    assert (tmp_path / "objects.db").exists()
    with LocalCluster(tmp_path, sandbox="substitute", ephemeral=True) as cluster:
        api = KubernetesApi.from_kubeconfig(cluster.kubeconfig_file, tmp_path, "lando")
        assert api.call("GET", "/api/v1/namespaces/before").code == 404
        api.session.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]


def test_a_cluster_that_runs_is_found_and_one_that_ended_is_not(tmp_path: Path) -> None:
    assert presence.find(tmp_path) is None
    with LocalCluster(tmp_path, sandbox="substitute", users=parse_users(["ada:a"])) as cluster:
        found = presence.find(tmp_path)
        assert found is not None
        assert (found.pid, found.url, found.users) == (os.getpid(), cluster.url, {"ada": ["a"]})
        left = (tmp_path / "running.json").read_text()
    assert presence.find(tmp_path) is None
    (tmp_path / "running.json").write_text(left)  # as one that was killed leaves it
    assert presence.find(tmp_path) is None


def test_a_cluster_that_does_not_stop_in_time_is_said(tmp_path: Path) -> None:
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        with LocalCluster(tmp_path, sandbox="substitute"):
            found = presence.find(tmp_path)
            assert found is not None
            with pytest.raises(presence.StopTimeoutError, match=f"process {os.getpid()}"):
                presence.end(tmp_path, found, 0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]
