"""Deleting: preconditions, finalizers, propagation, namespaces."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi
from tests.services.workloads import job, notes

PATIENCE_S = 20.0


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true in time; asks again at short intervals, as there is nothing to wait on."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def config(name: str, owner: dict[str, Any] | None = None, *, blocking: bool = False, **more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, **more}
    if owner is not None:
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        metadata["ownerReferences"] = [{**reference, **({"blockOwnerDeletion": True} if blocking else {})}]
    return {"metadata": metadata}


def gone(api: KubernetesApi, resource: str, name: str) -> bool:
    return api.get(resource, name).code == 404


def test_deleting_answers_with_the_uid_of_what_went(api: KubernetesApi) -> None:
    uid = api.create("configmaps", config("a")).body["metadata"]["uid"]
    answer = api.delete("configmaps", "a")
    assert (answer.code, answer.body["status"]) == (200, "Success")
    assert answer.body["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert gone(api, "configmaps", "a")
    assert api.delete("configmaps", "a").code == 404


def test_a_precondition_protects_the_next_of_that_name(api: KubernetesApi) -> None:
    api.create("configmaps", config("a"))
    refused = api.delete("configmaps", "a", preconditions={"uid": "another"})
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    refused = api.delete("configmaps", "a", preconditions={"resourceVersion": "1"})
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert not gone(api, "configmaps", "a")


def test_an_unknown_propagation_policy_is_refused(api: KubernetesApi) -> None:
    api.create("configmaps", config("a"))
    refused = api.delete("configmaps", "a", propagationPolicy="Sideways")
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "propagationPolicy"


def test_a_finalizer_holds_an_object_that_is_being_deleted(api: KubernetesApi) -> None:
    api.create("configmaps", config("a", finalizers=["test.lando/hold"]))
    held = api.delete("configmaps", "a").body
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    refused = api.patch("configmaps", "a", {"metadata": {"finalizers": ["test.lando/hold", "test.lando/more"]}})
    assert refused.code == 422
    assert api.patch("configmaps", "a", {"metadata": {"finalizers": None}}).code == 200
    assert gone(api, "configmaps", "a")


def test_dependents_go_after_their_owner(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    middle = api.create("configmaps", config("middle", owner)).body
    api.create("configmaps", config("leaf", middle))
    api.delete("configmaps", "owner", propagationPolicy="Background")
    assert gone(api, "configmaps", "owner")
    assert eventually(lambda: gone(api, "configmaps", "middle") and gone(api, "configmaps", "leaf"))


def test_a_dependent_of_an_owner_that_is_gone_goes(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    api.delete("configmaps", "owner")
    api.create("configmaps", config("late", owner))
    assert eventually(lambda: gone(api, "configmaps", "late"))


def test_orphaned_dependents_stay_and_forget_their_owner(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    api.create("configmaps", config("kept", owner))
    api.delete("configmaps", "owner", propagationPolicy="Orphan")
    assert eventually(lambda: gone(api, "configmaps", "owner"))
    assert "ownerReferences" not in api.get("configmaps", "kept").body["metadata"]


def test_in_the_foreground_the_owner_waits_for_those_that_block_it(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    api.create("configmaps", config("held", owner, blocking=True, finalizers=["test.lando/hold"]))
    deleting = api.delete("configmaps", "owner", propagationPolicy="Foreground").body
    assert deleting["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert eventually(lambda: "deletionTimestamp" in api.get("configmaps", "held").body["metadata"])
    assert not gone(api, "configmaps", "owner")
    api.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    assert eventually(lambda: gone(api, "configmaps", "owner"))


def test_with_another_owner_left_a_dependent_stays(api: KubernetesApi) -> None:
    one, two = (api.create("configmaps", config(name)).body for name in ("one", "two"))
    both = config("shared", one)
    both["metadata"]["ownerReferences"] += config("x", two)["metadata"]["ownerReferences"]
    api.create("configmaps", both)
    api.delete("configmaps", "one")

    def owners() -> list[str]:
        references = api.get("configmaps", "shared").body["metadata"]["ownerReferences"]
        return [reference["name"] for reference in references]

    assert eventually(lambda: owners() == ["two"])


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_jobs_pods_go_with_it(api: KubernetesApi, policy: str) -> None:
    pod = {
        "restartPolicy": "Never",
        "containers": [{"name": "c", "image": "no-such-image", "command": ["sleep", "60"]}],
    }
    assert eventually(lambda: api.get("serviceaccounts", "default").code == 200)
    api.create("jobs", {"metadata": {"name": "j"}, "spec": {"template": {"spec": pod}}})
    assert eventually(lambda: len(api.list("pods").body["items"]) == 1)
    api.delete("jobs", "j", propagationPolicy=policy)
    assert eventually(lambda: gone(api, "jobs", "j") and not api.list("pods").body["items"])


def test_a_collection_is_deleted_by_label(api: KubernetesApi) -> None:
    for name, colour in (("a", "red"), ("b", "green")):
        api.create("configmaps", config(name, labels={"colour": colour}))
    assert api.call("DELETE", api.path("configmaps"), labelSelector="colour=red").code == 200
    assert gone(api, "configmaps", "a")
    assert not gone(api, "configmaps", "b")


def test_a_namespace_goes_with_all_that_is_in_it(any_cluster: KubernetesApi) -> None:
    with any_cluster.fresh_namespace() as inside:
        inside.create("configmaps", config("held", finalizers=["test.lando/hold"]))
        deleting = inside.delete("namespaces", inside.namespace).body
        assert deleting["status"]["phase"] == "Terminating"
        refused = inside.create("configmaps", config("late"))
        assert refused.code == 403
        assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        assert eventually(lambda: "deletionTimestamp" in inside.get("configmaps", "held").body["metadata"])
        inside.patch("configmaps", "held", {"metadata": {"finalizers": None}})
        assert eventually(lambda: gone(inside, "namespaces", inside.namespace))


def test_an_owner_in_another_namespace_is_no_owner(api: KubernetesApi, any_cluster: KubernetesApi) -> None:
    with any_cluster.fresh_namespace() as elsewhere:
        owner = elsewhere.create("configmaps", config("owner")).body
        api.create("configmaps", config("mine", owner))
        assert eventually(lambda: gone(api, "configmaps", "mine"))
        assert not gone(elsewhere, "configmaps", "owner")


def test_an_owner_of_that_name_but_another_uid_is_no_owner(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    owner["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    api.create("configmaps", config("mine", owner))
    assert eventually(lambda: gone(api, "configmaps", "mine"))
    assert not gone(api, "configmaps", "owner")


def test_a_namespace_can_own_what_is_in_it(api: KubernetesApi) -> None:
    namespace = api.get("namespaces", api.namespace).body["metadata"]
    reference = {"apiVersion": "v1", "kind": "Namespace", "name": namespace["name"], "uid": namespace["uid"]}
    api.create("configmaps", config("mine", ownerReferences=[reference]))
    waste = api.create("configmaps", config("owner")).body
    api.create("configmaps", config("other", waste))
    api.delete("configmaps", "owner")
    assert eventually(lambda: gone(api, "configmaps", "other"))
    assert not gone(api, "configmaps", "mine")


def test_dependents_that_do_not_block_are_not_waited_for(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner")).body
    api.create("configmaps", config("held", owner, finalizers=["test.lando/hold"]))
    api.delete("configmaps", "owner", propagationPolicy="Foreground")
    assert eventually(lambda: gone(api, "configmaps", "owner"))
    assert eventually(lambda: "deletionTimestamp" in api.get("configmaps", "held").body["metadata"])
    api.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    assert eventually(lambda: gone(api, "configmaps", "held"))


def test_a_policy_can_be_asked_for_while_a_finalizer_holds(api: KubernetesApi) -> None:
    owner = api.create("configmaps", config("owner", finalizers=["test.lando/hold"])).body
    api.create("configmaps", config("kept", owner))
    api.delete("configmaps", "owner")
    api.delete("configmaps", "owner", propagationPolicy="Orphan")
    assert eventually(lambda: "ownerReferences" not in api.get("configmaps", "kept").body["metadata"])
    api.patch("configmaps", "owner", {"metadata": {"finalizers": None}})
    assert eventually(lambda: gone(api, "configmaps", "owner"))
    assert not gone(api, "configmaps", "kept")


def test_an_object_that_is_being_deleted_can_be_deleted_again(api: KubernetesApi) -> None:
    api.create("configmaps", config("a", finalizers=["test.lando/hold"]))
    first = api.delete("configmaps", "a").body["metadata"]
    again = api.delete("configmaps", "a")
    assert again.code == 200
    assert again.body["metadata"]["deletionTimestamp"] == first["deletionTimestamp"]
    assert api.create("configmaps", config("a")).body["reason"] == "AlreadyExists"
    api.patch("configmaps", "a", {"metadata": {"finalizers": None}})


def test_jobs_pods_and_claims_go_with_their_namespace(any_cluster: KubernetesApi) -> None:
    with any_cluster.fresh_namespace() as inside:
        assert eventually(lambda: inside.get("serviceaccounts", "default").code == 200)
        inside.create("jobs", job("j", "sleep 300", notes("Running"), pod={"terminationGracePeriodSeconds": 1}))
        inside.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}})
        assert eventually(lambda: [p["status"]["phase"] for p in inside.list("pods").body["items"]] == ["Running"])
        inside.delete("namespaces", inside.namespace)
        assert eventually(lambda: gone(inside, "namespaces", inside.namespace))
        for resource in ("pods", "jobs", "resourcequotas", "events", "serviceaccounts"):
            assert inside.list(resource).body["items"] == []


def test_a_terminating_namespace_keeps_what_can_still_be_read(any_cluster: KubernetesApi) -> None:
    with any_cluster.fresh_namespace() as inside:
        inside.create("configmaps", config("held", finalizers=["test.lando/hold"]))
        inside.delete("namespaces", inside.namespace)
        assert inside.get("namespaces", inside.namespace).body["status"]["phase"] == "Terminating"
        refused = inside.call("POST", "/api/v1/namespaces", {"metadata": {"name": inside.namespace}})
        assert (refused.code, refused.body["reason"]) == (409, "AlreadyExists")
        assert inside.get("configmaps", "held").code == 200
        inside.patch("configmaps", "held", {"metadata": {"finalizers": None}})
        assert eventually(lambda: gone(inside, "namespaces", inside.namespace))
