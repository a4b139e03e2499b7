"""TLS and tokens, and what the official Python client makes of the API."""

from __future__ import annotations

import pytest
import requests
from tests.services.kubernetes_api import KubernetesApi


def anonymous(api: KubernetesApi, path: str, token: str | None = None) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(api.url + path, headers=headers, verify=str(api.ca_file), timeout=10)


def test_an_unknown_token_is_unauthorized(api: KubernetesApi) -> None:
    answer = anonymous(api, api.path("pods"), "not-a-token")
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"
    assert answer.json()["message"] == "Unauthorized"


def test_without_a_token_nothing_is_allowed_but_health_and_version(api: KubernetesApi) -> None:
    answer = anonymous(api, api.path("pods"))
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        f'in the namespace "{api.namespace}"'
    )
    assert anonymous(api, "/healthz").text == "ok"
    assert anonymous(api, "/version").status_code == 200
    assert anonymous(api, "/api/v1").status_code == 403


def test_the_certificate_is_checked(api: KubernetesApi) -> None:
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.exceptions.SSLError):
            session.get(api.url + "/healthz", timeout=10)
