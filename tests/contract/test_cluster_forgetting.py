"""What is forgotten is answered with 410 ``Expired``: lists and watches that are too late begin again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi

PATIENCE_S = 12.0
"""For a cluster that forgets after seconds; most do after minutes, and are not waited for."""
CHANGES = 12
CHANGE_BYTES = 900_000
"""Together more than the embedded cluster remembers."""


@pytest.fixture
def late(api: KubernetesApi) -> tuple[str, str]:
    """A version that has been forgotten, and the token of a list as of then that stopped after ``a``."""
    for name in ("a", "b", "c"):
        api.create("configmaps", {"metadata": {"name": name, "labels": {"mine": "yes"}}})
    first = api.list("configmaps", labelSelector="mine=yes", limit=1).body["metadata"]
    for number in range(CHANGES):
        api.patch("configmaps", "c", {"data": {"filling": str(number % 10) * CHANGE_BYTES}})
    api.patch("configmaps", "c", {"data": None})
    until = time.monotonic() + PATIENCE_S
    while exact(api, first["resourceVersion"]) != 410:
        if time.monotonic() > until:
            pytest.skip("this cluster remembers old versions for minutes (kube-apiserver --etcd-compaction-interval)")
        time.sleep(0.2)
    return first["resourceVersion"], first["continue"]


def exact(api: KubernetesApi, version: str) -> int:
    return api.list("configmaps", resourceVersion=version, resourceVersionMatch="Exact").code


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


def test_lists_of_a_moment_long_ago_have_expired(api: KubernetesApi, late: tuple[str, str]) -> None:
    version, token = late
    refused = api.list("configmaps", resourceVersion=version, resourceVersionMatch="Exact")
    assert (refused.code, refused.body["reason"]) == (410, "Expired")
    assert refused.body["message"].startswith("The resourceVersion for the provided list is too old")

    refused = api.list("configmaps", labelSelector="mine=yes", limit=1, **{"continue": token})
    assert (refused.code, refused.body["reason"]) == (410, "Expired")
    assert refused.body["message"].startswith(
        "The provided continue parameter is too old to display a consistent list result."
    )
    go_on = refused.body["metadata"]["continue"]
    api.delete("configmaps", "b")
    rest = api.list("configmaps", labelSelector="mine=yes", **{"continue": go_on})
    assert (rest.code, names(rest.body)) == (200, ["c"])

    not_older = api.list("configmaps", labelSelector="mine=yes", resourceVersion=version)
    assert sorted(names(not_older.body)) == ["a", "c"]


def test_a_watch_from_long_ago_ends_with_an_error(api: KubernetesApi, late: tuple[str, str]) -> None:
    # Of Events an API server keeps no cache, which might remember more than the store below.
    with api.watch("events", resourceVersion=late[0]) as events:
        (event,) = events
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert "too old" in status["message"]
