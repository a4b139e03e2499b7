"""The three kinds of patches: what they change, and what they are refused for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.known_differences import since
from tests.services.kubernetes_api import MERGE, KubernetesApi, Reply
from tests.services.providing import wait_until

JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture
def config(api: KubernetesApi) -> KubernetesApi:
    api.create("configmaps", {"metadata": {"name": "c", "labels": {"l": "1"}}, "data": {"a": "1", "b.c": "2"}})
    return api


def operate(api: KubernetesApi, *operations: Any) -> Reply:
    return api.patch("configmaps", "c", list(operations), JSON_PATCH)


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ({"op": "add", "path": "/data/x", "value": "9"}, {"a": "1", "b.c": "2", "x": "9"}),
        ({"op": "replace", "path": "/data/b.c", "value": "9"}, {"a": "1", "b.c": "9"}),
        ({"op": "remove", "path": "/data/a"}, {"b.c": "2"}),
        ({"op": "copy", "from": "/data/a", "path": "/data/x"}, {"a": "1", "b.c": "2", "x": "1"}),
        ({"op": "move", "from": "/data/a", "path": "/data/x"}, {"b.c": "2", "x": "1"}),
        ({"op": "test", "path": "/data/a", "value": "1"}, {"a": "1", "b.c": "2"}),
    ],
)
def test_each_operation_of_a_json_patch(config: KubernetesApi, operation: Any, data: dict[str, str]) -> None:
    patched = operate(config, operation)
    assert patched.code == 200
    assert patched.body["data"] == data


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "remove", "path": "/data/nothing"},
        {"op": "shuffle", "path": "/data/a"},
        {"op": "add", "path": "/no/such/parent", "value": "1"},
        {"op": "add", "path": "data", "value": "1"},
    ],
)
def test_an_operation_that_does_not_fit_is_invalid(config: KubernetesApi, operation: Any) -> None:
    refused = operate(config, {"op": "add", "path": "/data/never", "value": "seen"}, operation)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert refused.body["message"].startswith("the server rejected our request due to an error in our request")
    assert refused.body["details"] == {}
    assert "never" not in config.get("configmaps", "c").body["data"]


def test_what_is_not_there_can_not_be_replaced(config: KubernetesApi) -> None:
    since(config, "a JSON patch that replaces what is not there")
    assert operate(config, {"op": "replace", "path": "/data/nothing", "value": "1"}).code == 422


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_a_patch_that_leaves_values_of_the_wrong_type_is_invalid(config: KubernetesApi, kind: str) -> None:
    refused = config.patch("configmaps", "c", {"data": {"a": 1}}, kind)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    (cause,) = refused.body["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldValueInvalid", "patch")


def test_a_merge_patch_is_an_object(config: KubernetesApi) -> None:
    refused = config.patch("configmaps", "c", [1], MERGE)
    assert (refused.code, refused.body["details"]["causes"][0]["field"]) == (422, "patch")


def test_a_json_patch_is_a_list(config: KubernetesApi) -> None:
    refused = config.patch("configmaps", "c", {"op": "add"}, JSON_PATCH)
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")


def test_a_patched_object_has_to_be_valid(config: KubernetesApi) -> None:
    refused = operate(config, {"op": "add", "path": "/metadata/labels/l", "value": "b c"})
    assert refused.code == 422
    assert {cause["field"] for cause in refused.body["details"]["causes"]} == {"metadata.labels"}
    assert refused.body["details"]["kind"] == "ConfigMap"


def test_a_patch_can_not_rename_move_or_replace_an_object(config: KubernetesApi) -> None:
    refused = config.patch("configmaps", "c", {"metadata": {"name": "d"}})
    assert (refused.code, refused.body["message"]) == (
        400,
        "the name of the object (d) does not match the name on the URL (c)",
    )
    refused = config.patch("configmaps", "c", {"metadata": {"namespace": "other"}})
    assert (refused.code, refused.body["message"]) == (
        400,
        f"the namespace of the object (other) does not match the namespace on the request ({config.namespace})",
    )
    refused = config.patch("configmaps", "c", {"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}})
    assert (refused.code, refused.body["details"]["causes"][0]["field"]) == (422, "metadata.uid")


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_a_version_in_a_patch_makes_it_conditional(config: KubernetesApi, kind: str) -> None:
    version = config.get("configmaps", "c").version
    assert (
        config.patch("configmaps", "c", {"metadata": {"resourceVersion": version}, "data": {"a": "2"}}, kind).code
        == 200
    )
    refused = config.patch("configmaps", "c", {"metadata": {"resourceVersion": version}, "data": {"a": "3"}}, kind)
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["details"] == {"name": "c", "kind": "configmaps"}


def test_a_dry_run_of_a_patch_changes_nothing(config: KubernetesApi) -> None:
    path = config.path("configmaps", "c")
    shown = config.call("PATCH", path, {"data": {"a": "9"}}, content_type=MERGE, dryRun="All")
    assert (shown.code, shown.body["data"]["a"]) == (200, "9")
    assert config.get("configmaps", "c").body["data"]["a"] == "1"


def test_patching_what_is_not_there_is_not_found(api: KubernetesApi) -> None:
    for kind, patch in ((MERGE, {}), (STRATEGIC, {}), (JSON_PATCH, [])):
        assert api.patch("configmaps", "nothing", patch, kind).code == 404


# -- strategic merge on lists ------------------------------------------------------------------------------------------


@pytest.fixture
def account(api: KubernetesApi) -> KubernetesApi:
    """A service account ``a`` with a list that is merged by name."""
    api.create("serviceaccounts", {"metadata": {"name": "a"}, "secrets": [{"name": "one"}, {"name": "two"}]})
    return api


def secrets(api: KubernetesApi, patch: Any, kind: str = STRATEGIC) -> list[str]:
    patched = api.patch("serviceaccounts", "a", patch, kind)
    assert patched.code == 200, patched.body
    named = [each["name"] for each in patched.body.get("secrets") or []]
    return [name for name in named if "token" not in name]  # older clusters add one of their own


def test_a_strategic_merge_adds_to_a_list_by_key_and_a_merge_patch_replaces_it(account: KubernetesApi) -> None:
    assert secrets(account, {"secrets": [{"name": "two"}, {"name": "three"}]}) == ["one", "two", "three"]
    assert secrets(account, {"secrets": [{"name": "two"}]}, MERGE) == ["two"]


def test_a_directive_deletes_an_entry(account: KubernetesApi) -> None:
    assert secrets(account, {"secrets": [{"name": "one", "$patch": "delete"}]}) == ["two"]


def test_a_directive_replaces_the_list(account: KubernetesApi) -> None:
    assert secrets(account, {"secrets": [{"$patch": "replace"}, {"name": "three"}]}) == ["three"]


def test_a_directive_orders_the_list(account: KubernetesApi) -> None:
    order = [{"name": "two"}, {"name": "three"}, {"name": "one"}]
    patch = {"$setElementOrder/secrets": order, "secrets": [{"name": "three"}]}
    assert secrets(account, patch) == ["two", "three", "one"]


def test_what_an_order_leaves_out_stays_where_it_was(account: KubernetesApi) -> None:
    patch = {"$setElementOrder/secrets": [{"name": "two"}, {"name": "three"}]}
    assert secrets(account, {**patch, "secrets": [{"name": "three"}]}) == ["one", "two", "three"]


def test_a_list_that_has_no_key_is_replaced(account: KubernetesApi) -> None:
    for name in ("one", "two"):
        patched = account.patch("serviceaccounts", "a", {"imagePullSecrets": [{"name": name}]}, STRATEGIC)
    assert patched.body["imagePullSecrets"] == [{"name": "two"}]


def test_null_removes_a_list(account: KubernetesApi) -> None:
    assert secrets(account, {"secrets": None}) == []


def test_finalizers_are_a_set(api: KubernetesApi) -> None:
    api.create("configmaps", {"metadata": {"name": "c", "finalizers": ["test.lando/one"]}})
    added = api.patch("configmaps", "c", {"metadata": {"finalizers": ["test.lando/two"]}}, STRATEGIC)
    assert set(added.body["metadata"]["finalizers"]) == {"test.lando/one", "test.lando/two"}
    less = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.lando/one"]}}
    assert api.patch("configmaps", "c", less, STRATEGIC).body["metadata"]["finalizers"] == ["test.lando/two"]
    api.patch("configmaps", "c", {"metadata": {"finalizers": None}})


def test_owners_are_merged_by_uid(api: KubernetesApi) -> None:
    owners = []
    for name in ("one", "two"):
        uid = api.create("configmaps", {"metadata": {"name": name}}).body["metadata"]["uid"]
        owners.append({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid})
    api.create("configmaps", {"metadata": {"name": "c", "ownerReferences": owners[:1]}})
    patched = api.patch("configmaps", "c", {"metadata": {"ownerReferences": owners[1:]}}, STRATEGIC)
    assert {each["name"] for each in patched.body["metadata"]["ownerReferences"]} == {"one", "two"}
    gone = {"metadata": {"ownerReferences": [{"uid": owners[0]["uid"], "$patch": "delete"}]}}
    (left,) = api.patch("configmaps", "c", gone, STRATEGIC).body["metadata"]["ownerReferences"]
    assert left["name"] == "two"


def test_containers_are_merged_by_name(api: KubernetesApi) -> None:
    wait_until(lambda: api.get("serviceaccounts", "default").code == 200, what="the service account")
    containers = [{"name": name, "image": "old", "command": ["true"]} for name in ("a", "b")]
    spec = {"containers": containers, "nodeSelector": {"no-such": "node"}}
    manifest = {"metadata": {"name": "p", "annotations": {"test.lando/outcome": "Pending"}}, "spec": spec}
    assert api.create("pods", manifest).code == 201
    patched = api.patch("pods", "p", {"spec": {"containers": [{"name": "b", "image": "new"}]}}, STRATEGIC)
    assert [(each["name"], each["image"]) for each in patched.body["spec"]["containers"]] == [
        ("a", "old"),
        ("b", "new"),
    ]
    refused = api.patch("pods", "p", {"spec": {"containers": [{"name": "b", "command": ["false"]}]}}, STRATEGIC)
    assert refused.code == 422
    assert {cause["field"] for cause in refused.body["details"]["causes"]} == {"spec"}
    assert api.delete("pods", "p").code == 200


def test_a_whole_map_can_be_replaced(config: KubernetesApi) -> None:
    patched = config.patch("configmaps", "c", {"data": {"$patch": "replace", "z": "1"}}, STRATEGIC)
    assert patched.body["data"] == {"z": "1"}
    patched = config.patch("configmaps", "c", {"data": {"$retainKeys": ["y"], "y": "2"}}, STRATEGIC)
    assert patched.body["data"] == {"y": "2"}
