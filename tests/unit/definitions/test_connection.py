"""A connection of one's own beside the process-wide default."""

from __future__ import annotations

import kubernetes.client
from lando.config import ClusterSettings
from lando.definitions.connection import DEFAULT, OwnConnection
from lando.k8s.cluster import KubernetesCluster


def configuration(token: str) -> kubernetes.client.Configuration:
    with KubernetesCluster(ClusterSettings(namespace="a", host="https://own.example.org", token=token)) as cluster:
        made: kubernetes.client.Configuration = cluster.session.client_configuration()
    return made


def test_the_process_wide_default_stays_what_it_was() -> None:
    with DEFAULT.batch() as before:
        default = before.api_client.configuration.host

    with OwnConnection(configuration("secret")).batch() as own:
        assert own.api_client.configuration.host == "https://own.example.org"
        assert own.api_client.configuration.auth_settings()["BearerToken"]["value"] == "Bearer secret"

    with DEFAULT.batch() as after:
        assert after.api_client.configuration.host == default
        assert after.api_client.configuration.auth_settings() == {}


def test_its_session_is_kept_from_call_to_call() -> None:
    connection = OwnConnection(configuration("secret"))

    with connection.batch() as one, connection.core() as other:
        assert one.api_client is other.api_client
