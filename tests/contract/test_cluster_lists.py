"""Lists: pages, moments, selectors."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


OURS = "mine=yes"


@pytest.fixture
def three(api: KubernetesApi) -> KubernetesApi:
    for name, colour in (("a", "red"), ("b", "green"), ("c", "red")):
        assert api.create("configmaps", config(name, mine="yes", colour=colour)).code == 201
    return api


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


def test_items_of_a_list_leave_kind_to_the_list(three: KubernetesApi) -> None:
    body = three.list("configmaps", labelSelector=OURS).body
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(body) == ["a", "b", "c"]
    assert "kind" not in body["items"][0]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("colour=red", ["a", "c"]),
        ("mine,colour!=red", ["b"]),
        ("mine,colour in (green,blue)", ["b"]),
        ("mine,colour notin (green)", ["a", "c"]),
        ("mine,!colour", []),
    ],
)
def test_labels_select(three: KubernetesApi, selector: str, expected: list[str]) -> None:
    assert names(three.list("configmaps", labelSelector=selector).body) == expected


def test_fields_select(three: KubernetesApi) -> None:
    assert names(three.list("configmaps", fieldSelector="metadata.name=b").body) == ["b"]
    assert "b" not in names(three.list("configmaps", fieldSelector="metadata.name!=b").body)


@pytest.mark.parametrize("query", [{"labelSelector": "a==b==c"}, {"fieldSelector": "spec.colour=red"}, {"limit": "x"}])
def test_parameters_that_can_not_be_read_are_a_bad_request(api: KubernetesApi, query: dict[str, str]) -> None:
    refused = api.list("configmaps", **query)
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")


def test_pages_show_the_moment_of_the_first(three: KubernetesApi) -> None:
    first = three.list("configmaps", labelSelector=OURS, limit=2).body
    three.delete("configmaps", "c")
    three.create("configmaps", config("d", mine="yes"))
    second = three.list("configmaps", labelSelector=OURS, limit=2, **{"continue": first["metadata"]["continue"]}).body
    assert names(first) + names(second) == ["a", "b", "c"]
    assert "continue" not in second["metadata"]
    assert names(three.list("configmaps", labelSelector=OURS).body) == ["a", "b", "d"]


def test_a_page_without_selector_counts_what_remains(three: KubernetesApi) -> None:
    total = len(names(three.list("configmaps").body))
    assert three.list("configmaps", limit=1).body["metadata"]["remainingItemCount"] == total - 1


def test_a_list_can_be_as_of_a_version(three: KubernetesApi) -> None:
    before = three.list("configmaps").body["metadata"]["resourceVersion"]
    three.delete("configmaps", "a")
    old = three.list("configmaps", labelSelector=OURS, resourceVersion=before, resourceVersionMatch="Exact")
    assert names(old.body) == ["a", "b", "c"]


def test_a_match_without_version_is_refused(api: KubernetesApi) -> None:
    refused = api.list("configmaps", resourceVersionMatch="Exact")
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "resourceVersionMatch"


def test_a_version_from_the_future_is_a_time_out(api: KubernetesApi) -> None:
    refused = api.list("configmaps", resourceVersion="99999999999")
    assert (refused.code, refused.body["reason"]) == (504, "Timeout")
