"""Leases: made, renewed, taken over and watched as leader election does it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until

BEGAN = "2026-01-01T00:00:00.000000Z"


def lease(name: str = "lock", metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **(metadata or {})}, "spec": spec}


HELD: dict[str, Any] = {
    "holderIdentity": "one",
    "leaseDurationSeconds": 15,
    "acquireTime": BEGAN,
    "renewTime": BEGAN,
    "leaseTransitions": 0,
}


def test_a_lease_keeps_what_it_is_given(api: KubernetesApi) -> None:
    made = api.create("leases", lease(**HELD))
    assert made.code == 201
    assert (made.body["apiVersion"], made.body["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert made.body["spec"] == HELD
    assert api.get("leases", "lock").body["spec"] == HELD
    listed = api.list("leases").body
    assert listed["kind"] == "LeaseList"
    assert [item["spec"] for item in listed["items"]] == [HELD]


def test_a_lease_may_be_empty(api: KubernetesApi) -> None:
    assert api.create("leases", {"metadata": {"name": "bare"}}).body["spec"] == {}
    assert api.create("leases", lease("free", holderIdentity="")).body["spec"] == {"holderIdentity": ""}


def test_times_have_microseconds_and_are_kept_in_utc(api: KubernetesApi) -> None:
    made = api.create("leases", lease(renewTime="2026-01-01T02:00:00.123456+02:00"))
    assert made.body["spec"]["renewTime"] == "2026-01-01T00:00:00.123456Z"


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "soon", "", 5])
def test_a_time_without_microseconds_is_no_such_time(api: KubernetesApi, moment: Any) -> None:
    refused = api.create("leases", lease(renewTime=moment))
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
    assert refused.body["message"].startswith('Lease in version "v1" cannot be handled as a Lease: ')
    api.create("leases", lease(**HELD))
    refused = api.patch("leases", "lock", {"spec": {"renewTime": moment}})
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")


def test_durations_and_transitions_that_make_no_sense_are_refused_together(api: KubernetesApi) -> None:
    refused = api.create("leases", lease(leaseDurationSeconds=0, leaseTransitions=-1))
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    causes = refused.body["details"]["causes"]
    assert [cause["field"] for cause in causes] == ["spec.leaseDurationSeconds", "spec.leaseTransitions"]
    assert causes[0]["message"] == "Invalid value: 0: must be greater than 0"
    assert causes[1]["message"].startswith("Invalid value: -1: must ")
    api.create("leases", lease(**HELD))
    refused = api.patch("leases", "lock", {"spec": {"leaseDurationSeconds": -1}})
    assert refused.body["message"] == (
        'Lease.coordination.k8s.io "lock" is invalid: '
        "spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0"
    )


def test_only_one_gets_a_lease_of_one_name(api: KubernetesApi) -> None:
    api.create("leases", lease(**HELD))
    refused = api.create("leases", lease(**HELD))
    assert (refused.code, refused.body["reason"]) == (409, "AlreadyExists")
    assert refused.body["message"] == 'leases.coordination.k8s.io "lock" already exists'


def test_names_are_those_of_subdomains(api: KubernetesApi) -> None:
    refused = api.create("leases", lease("My_Lock"))
    assert refused.code == 422
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == ["metadata.name"]
    assert api.create("leases", lease("my.lock")).code == 201


def test_of_two_who_take_the_same_version_over_one_succeeds(api: KubernetesApi) -> None:
    seen = api.create("leases", lease(**HELD)).body
    first, second = ({**seen, "spec": {**HELD, "holderIdentity": name}} for name in ("two", "three"))
    assert api.replace("leases", first).code == 200
    refused = api.replace("leases", second)
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert api.get("leases", "lock").body["spec"]["holderIdentity"] == "two"


def test_a_lease_is_not_replaced_unseen(api: KubernetesApi) -> None:
    api.create("leases", lease(**HELD))
    refused = api.replace("leases", lease(holderIdentity="two"))
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert refused.body["message"] == (
        'leases.coordination.k8s.io "lock" is invalid: '
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    )


@pytest.mark.parametrize("metadata", [{}, {"resourceVersion": "5"}])
def test_replacing_a_lease_that_is_not_there_makes_it(api: KubernetesApi, metadata: dict[str, Any]) -> None:
    made = api.replace("leases", lease("new", metadata, holderIdentity="one"))
    assert (made.code, made.body["spec"]) == (201, {"holderIdentity": "one"})
    assert made.version not in ("", "5")
    assert api.get("leases", "new").body["metadata"]["uid"] == made.body["metadata"]["uid"]


def test_replacing_a_certain_lease_that_is_not_there_is_a_conflict(api: KubernetesApi) -> None:
    refused = api.replace("leases", lease("new", {"uid": "00000000-0000-4000-8000-000000000000"}))
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert api.get("leases", "new").code == 404


def test_trying_to_replace_a_lease_that_is_not_there_makes_none(api: KubernetesApi) -> None:
    tried = api.call("PUT", api.path("leases", "new"), lease("new"), dryRun="All")
    assert tried.code == 201
    assert api.get("leases", "new").code == 404


def test_a_patch_renews_and_gives_back(api: KubernetesApi) -> None:
    api.create("leases", lease(**HELD))
    later = "2026-01-01T00:00:05.000001Z"
    assert api.patch("leases", "lock", {"spec": {"renewTime": later}}).body["spec"]["renewTime"] == later
    given_back = api.patch("leases", "lock", {"spec": {"holderIdentity": None, "renewTime": None}})
    assert given_back.body["spec"] == {"leaseDurationSeconds": 15, "acquireTime": BEGAN, "leaseTransitions": 0}


def test_leases_are_watched_by_label(api: KubernetesApi) -> None:
    version = api.list("leases").body["metadata"]["resourceVersion"]
    api.create("leases", lease("foreign", **HELD))
    api.create("leases", lease("mine", {"labels": {"of": "me"}}, **HELD))
    api.patch("leases", "mine", {"spec": {"holderIdentity": "two"}})
    api.delete("leases", "mine")
    with api.watch("leases", resourceVersion=version, labelSelector="of=me") as events:
        seen = [next(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"]["spec"]["holderIdentity"] for event in seen] == ["one", "two", "two"]


def test_deleting_a_lease_answers_with_a_status_that_names_it(api: KubernetesApi) -> None:
    uid = api.create("leases", lease(**HELD)).body["metadata"]["uid"]
    wrong = api.delete("leases", "lock", preconditions={"uid": "00000000-0000-4000-8000-000000000000"})
    assert wrong.code == 409
    gone = api.delete("leases", "lock", preconditions={"uid": uid})
    assert (gone.code, gone.body["status"]) == (200, "Success")
    assert gone.body["details"] == {"name": "lock", "group": "coordination.k8s.io", "kind": "leases", "uid": uid}
    missing = api.delete("leases", "lock")
    assert (missing.code, missing.body["message"]) == (404, 'leases.coordination.k8s.io "lock" not found')


def test_a_lease_has_no_status(api: KubernetesApi) -> None:
    api.create("leases", lease(**HELD))
    assert api.get("leases", "lock", "status").code == 404


def test_what_a_lease_owns_goes_with_it(api: KubernetesApi) -> None:
    owner = api.create("leases", lease(**HELD)).body
    reference = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": "lock",
        "uid": owner["metadata"]["uid"],
    }
    for resource in ("configmaps", "secrets"):
        made = api.create(resource, {"metadata": {"name": "of-the-lease", "ownerReferences": [reference]}})
        assert made.code == 201
    api.create("configmaps", {"metadata": {"name": "of-nobody"}})
    api.delete("leases", "lock", propagationPolicy="Background")
    wait_until(lambda: api.get("configmaps", "of-the-lease").code == 404, 30, what="the end of the ConfigMap")
    wait_until(lambda: api.get("secrets", "of-the-lease").code == 404, 30, what="the end of the Secret")
    assert api.get("configmaps", "of-nobody").code == 200


def test_what_names_a_lease_that_never_was_goes(api: KubernetesApi) -> None:
    reference = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": "lock",
        "uid": "00000000-0000-4000-8000-000000000000",
    }
    api.create("configmaps", {"metadata": {"name": "lost", "ownerReferences": [reference]}})
    wait_until(lambda: api.get("configmaps", "lost").code == 404, 30, what="the collection")


def test_a_table_shows_who_holds_a_lease(api: KubernetesApi) -> None:
    api.create("leases", lease(**HELD))
    answer = api.session.get(
        api.url + api.path("leases"), headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}, timeout=10
    ).json()
    assert [column["name"] for column in answer["columnDefinitions"]] == ["Name", "Holder", "Age"]
    assert [row["cells"][:2] for row in answer["rows"]] == [["lock", "one"]]


def test_leases_are_discovered(api: KubernetesApi) -> None:
    groups = api.call("GET", "/apis").body["groups"]
    assert "coordination.k8s.io" in [group["name"] for group in groups]
    resources = api.call("GET", "/apis/coordination.k8s.io/v1").body["resources"]
    found = next(resource for resource in resources if resource["name"] == "leases")
    assert (found["kind"], found["namespaced"]) == ("Lease", True)
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(found["verbs"])
