"""ResourceQuotas and LimitRanges: what they refuse and in which words, what they count, what they fill in."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import container, job, notes, pod

Manifest = dict[str, Any]
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def service_account(api: KubernetesApi) -> None:
    """Pods are taken once their account is there."""
    wait_until(lambda: api.get("serviceaccounts", "default").code == 200, what="the service account")


def set_quota(api: KubernetesApi, hard: dict[str, str]) -> None:
    """A quota ``q``, noted by its controller and by the API server (of which a real one hears a moment later)."""
    hard = {**hard, "resourcequotas": "1"}
    created = api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    assert created.code == 201, created.body
    wait_until(lambda: limits(api) == hard, PATIENCE_S, what="the quota's status")
    another = {"metadata": {"name": "another"}, "spec": {"hard": {}}}
    wait_until(lambda: api.create("resourcequotas", another, dryRun="All").code == 403, what="the quota's effect")


def limits(api: KubernetesApi) -> dict[str, str]:
    return dict(api.get("resourcequotas", "q").body["status"].get("hard") or {})


def used(api: KubernetesApi) -> dict[str, str]:
    """What is used, apart from the quota's own place."""
    amounts = dict(api.get("resourcequotas", "q").body["status"]["used"])
    assert amounts.pop("resourcequotas") == "1"
    return amounts


def claim(name: str, size: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": spec}


def asking(name: str, requests: dict[str, str], limits: dict[str, str] | None = None, **played: Any) -> Manifest:
    """A pod whose program runs until it is deleted, with such requests and limits."""
    resources = {"requests": requests, "limits": limits or {}}
    return pod(name, "sleep 300", notes("Running"), containers=[container("sleep 300", resources=resources)], **played)


def test_a_quota_counts_what_is_there(api: KubernetesApi) -> None:
    api.create("persistentvolumeclaims", claim("a", "1Gi"))
    set_quota(api, {"persistentvolumeclaims": "3", "requests.storage": "10Gi", "pods": "5", "count/jobs.batch": "2"})
    wait_until(lambda: used(api)["persistentvolumeclaims"] == "1", PATIENCE_S, what="the count")
    assert used(api) == {
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "pods": "0",
        "count/jobs.batch": "0",
    }
    api.create("persistentvolumeclaims", claim("b", "2Gi"))
    assert used(api)["requests.storage"] == "3Gi"


def test_a_claim_over_the_quota_is_forbidden(api: KubernetesApi) -> None:
    set_quota(api, {"persistentvolumeclaims": "1", "requests.storage": "5Gi"})
    refused = api.create("persistentvolumeclaims", claim("big", "6Gi"))
    assert refused.code == 403
    words = (
        "exceeded quota: q, requested: requests.storage=6Gi, used: requests.storage=0, limited: requests.storage=5Gi"
    )
    assert refused.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'persistentvolumeclaims "big" is forbidden: {words}',
        "reason": "Forbidden",
        "details": {"name": "big", "kind": "persistentvolumeclaims"},
        "code": 403,
    }
    assert api.get("persistentvolumeclaims", "big").code == 404


def test_everything_that_is_too_much_is_named(api: KubernetesApi) -> None:
    set_quota(api, {"pods": "0", "requests.cpu": "1", "limits.memory": "1Gi"})
    refused = api.create("pods", asking("p", {"cpu": "1500m"}, {"memory": "2Gi", "cpu": "2"}))
    assert refused.code == 403
    assert refused.body["message"] == (
        'pods "p" is forbidden: exceeded quota: q, requested: limits.memory=2Gi,pods=1,requests.cpu=1500m, '
        "used: limits.memory=0,pods=0,requests.cpu=0, limited: limits.memory=1Gi,pods=0,requests.cpu=1"
    )


def test_a_pod_has_to_state_what_a_quota_limits(api: KubernetesApi) -> None:
    set_quota(api, {"requests.cpu": "1", "limits.memory": "1Gi"})
    refused = api.create("pods", pod("p", "true", notes()))
    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    message = refused.body["message"]
    assert message.startswith('pods "p" is forbidden: failed quota: q: must specify limits.memory')
    assert "requests.cpu" in message


def test_what_ends_or_goes_makes_room(api: KubernetesApi) -> None:
    set_quota(api, {"pods": "1", "requests.cpu": "1", "configmaps": "10"})
    short = asking("short", {"cpu": "600m"}, terminationGracePeriodSeconds=0)
    assert api.create("pods", short).code == 201
    assert used(api)["pods"] == "1"
    assert used(api)["requests.cpu"] == "600m"
    assert api.create("pods", asking("late", {"cpu": "100m"})).code == 403
    before = int(used(api)["configmaps"])
    api.create("configmaps", {"metadata": {"name": "a"}})
    assert int(used(api)["configmaps"]) > before
    api.delete("configmaps", "a")

    def counts_what_is_there() -> bool:  # a new namespace is given one of its own about now
        return int(used(api)["configmaps"]) == len(api.list("configmaps").body["items"])

    wait_until(counts_what_is_there, PATIENCE_S, what="the ConfigMap's room")
    api.delete("pods", "short", gracePeriodSeconds=0)
    wait_until(lambda: used(api)["pods"] == "0", PATIENCE_S, what="the pod's room")
    wait_until(lambda: api.create("pods", asking("late", {"cpu": "100m"})).code == 201, what="the room's effect")


def test_a_pod_that_has_ended_uses_nothing_but_its_place(api: KubernetesApi) -> None:
    set_quota(api, {"pods": "1", "count/pods": "5"})
    api.create("pods", pod("p", "true", notes()))
    wait_until(lambda: api.get("pods", "p").body["status"]["phase"] == "Succeeded", PATIENCE_S, what="the end")
    wait_until(lambda: used(api) == {"pods": "0", "count/pods": "1"}, PATIENCE_S, what="the room")


def test_a_dry_run_takes_no_room(api: KubernetesApi) -> None:
    set_quota(api, {"persistentvolumeclaims": "1"})
    assert api.create("persistentvolumeclaims", claim("a", "1Gi"), dryRun="All").code == 201
    assert used(api)["persistentvolumeclaims"] == "0"
    assert api.create("persistentvolumeclaims", claim("a", "1Gi")).code == 201


def test_a_quota_that_is_changed_counts_from_then_on(api: KubernetesApi) -> None:
    set_quota(api, {"count/secrets": "0"})
    refused = api.create("secrets", {"metadata": {"name": "s"}})
    assert "exceeded quota: q" in refused.body["message"]
    api.patch("resourcequotas", "q", {"spec": {"hard": {"count/secrets": "5"}}})
    wait_until(lambda: limits(api)["count/secrets"] == "5", PATIENCE_S, what="the quota's status")
    wait_until(lambda: api.create("secrets", {"metadata": {"name": "s"}}).code == 201, what="the quota's effect")


def test_a_job_says_that_its_pods_find_no_room_and_goes_on_when_they_do(api: KubernetesApi) -> None:
    set_quota(api, {"pods": "0"})
    api.create("jobs", job("work", "true", notes()))

    def failures() -> list[Manifest]:
        about = "involvedObject.kind=Job,involvedObject.name=work,reason=FailedCreate"
        return list(api.list("events", fieldSelector=about).body["items"])

    wait_until(lambda: bool(failures()), PATIENCE_S, what="the event")
    event = failures()[0]
    assert event["type"] == "Warning"
    assert event["message"].startswith('Error creating: pods "work-')
    words = "is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    assert event["message"].endswith(words)
    assert event["source"]["component"] == "job-controller"
    assert not api.get("jobs", "work").body.get("status", {}).get("conditions")
    api.delete("resourcequotas", "q")
    wait_until(
        lambda: api.get("jobs", "work").body["status"].get("succeeded") == 1, 60, what="the Job's success after all"
    )


@pytest.mark.parametrize(
    ("hard", "field"),
    [({"bogus": "1"}, "spec.hard[bogus]"), ({"pods": "-1"}, "spec.hard[pods]"), ({"pods": "500m"}, "spec.hard[pods]")],
)
def test_an_invalid_quota_is_refused_by_field(api: KubernetesApi, hard: dict[str, str], field: str) -> None:
    refused = api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert {cause["field"] for cause in refused.body["details"]["causes"]} == {field}


def set_limits(api: KubernetesApi, *items: Manifest) -> Manifest:
    created = api.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": list(items)}})
    assert created.code == 201, created.body
    trial = pod("trial", "true", notes())

    def resources() -> Manifest:
        # Not run, so that it may be asked again: a real API server hears of limits a moment after it stored them.
        return dict(api.create("pods", trial, dryRun="All").body["spec"]["containers"][0]["resources"])

    wait_until(lambda: bool(resources()), what="the limits' effect")
    return dict(created.body)


CONTAINERS = {
    "type": "Container",
    "max": {"cpu": "2"},
    "min": {"cpu": "10m"},
    "defaultRequest": {"cpu": "100m"},
    "default": {"memory": "64Mi"},
}


def test_limits_default_to_one_another(api: KubernetesApi) -> None:
    (item,) = set_limits(api, CONTAINERS)["spec"]["limits"]
    assert item["default"] == {"cpu": "2", "memory": "64Mi"}
    assert item["defaultRequest"] == {"cpu": "100m", "memory": "64Mi"}


def test_containers_are_given_the_requests_and_limits_they_lack(api: KubernetesApi) -> None:
    set_limits(api, CONTAINERS)
    given = api.create("pods", pod("p", "true", notes())).body
    assert given["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "2", "memory": "64Mi"},
        "requests": {"cpu": "100m", "memory": "64Mi"},
    }
    assert given["status"]["qosClass"] == "Burstable"
    assert given["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container main; cpu, memory limit for container main"
    )


def test_a_container_outside_its_limits_is_forbidden(api: KubernetesApi) -> None:
    set_limits(api, CONTAINERS)

    def refused(requests: dict[str, str], limits: dict[str, str]) -> str:
        answer = api.create("pods", asking("p", requests, limits))
        assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
        return str(answer.body["message"])

    assert refused({"cpu": "1m"}, {}) == (
        'pods "p" is forbidden: minimum cpu usage per Container is 10m, but request is 1m'
    )
    assert refused({"cpu": "1"}, {"cpu": "4"}) == (
        'pods "p" is forbidden: maximum cpu usage per Container is 2, but limit is 4'
    )


def test_several_broken_limits_are_said_together(api: KubernetesApi) -> None:
    set_limits(api, CONTAINERS, {"type": "Pod", "max": {"cpu": "3"}})
    answer = api.create("pods", asking("p", {"cpu": "1m"}, {"cpu": "4"}))
    assert answer.code == 403
    said = answer.body["message"].removeprefix('pods "p" is forbidden: ').strip("[]").split(", ")
    assert {"maximum cpu usage per Container is 2", "maximum cpu usage per Pod is 3"} <= set(said)
    assert {"but request is 1m", "but limit is 4"} <= set(said)


def test_a_claim_outside_its_limits_is_forbidden(api: KubernetesApi) -> None:
    set_limits(api, CONTAINERS, {"type": "PersistentVolumeClaim", "max": {"storage": "3Gi"}, "min": {"storage": "1Gi"}})
    refused = api.create("persistentvolumeclaims", claim("big", "4Gi"))
    assert refused.code == 403
    assert refused.body["message"] == (
        'persistentvolumeclaims "big" is forbidden: maximum storage usage per PersistentVolumeClaim is 3Gi, '
        "but request is 4Gi"
    )
    assert api.create("persistentvolumeclaims", claim("small", "500Mi")).code == 403
    assert api.create("persistentvolumeclaims", claim("right", "2Gi")).code == 201


def test_limits_that_contradict_each_other_are_refused_by_field(api: KubernetesApi) -> None:
    items = [
        {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}},
        {"type": "Pod", "default": {"cpu": "1"}},
        {"type": "Pod", "max": {"cpu": "1"}},
    ]
    refused = api.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": items}})
    assert refused.code == 422
    assert {cause["field"] for cause in refused.body["details"]["causes"]} >= {
        "spec.limits[0].min[cpu]",
        "spec.limits[1].default",
        "spec.limits[2].type",
    }
