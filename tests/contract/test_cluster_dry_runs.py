"""Dry runs: everything is judged as it would be for good, and nothing is stored.

They are how a whole run is checked before its first object is made.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import MERGE, KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import container, job, notes, pod

Manifest = dict[str, Any]
PATIENCE_S = 30.0
MARK = {"metadata": {"labels": {"tried": "yes"}}}
ABOUT: Manifest = {"kind": "Pod", "name": "p"}


def of(name: str, **rest: Any) -> Manifest:
    return {"metadata": {"name": name}, **rest}


VALID: dict[str, Manifest] = {
    "configmaps": of("a", data={"k": "v"}),
    "events": of("a", involvedObject=ABOUT, reason="Because", type="Normal"),
    "jobs": job("a", "true", notes()),
    "leases": of("a", spec={"holderIdentity": "one", "leaseDurationSeconds": 15}),
    "limitranges": of("a", spec={"limits": [{"type": "Container", "default": {"cpu": "1"}}]}),
    "persistentvolumeclaims": of(
        "a", spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    ),
    "pods": pod("a", "true", notes()),
    "resourcequotas": of("a", spec={"hard": {"pods": "5"}}),
    "secrets": of("a", stringData={"k": "v"}),
    "serviceaccounts": of("a"),
}


@pytest.fixture(autouse=True)
def service_account(api: KubernetesApi) -> None:
    """Pods are taken once their account is there."""
    wait_until(lambda: api.get("serviceaccounts", "default").code == 200, what="the service account")


def manifest_of(api: KubernetesApi, resource: str) -> Manifest:
    manifest = dict(VALID[resource])
    if resource == "events":
        manifest["involvedObject"] = {**ABOUT, "namespace": api.namespace}
    if resource == "jobs":
        manifest["spec"] = {**manifest["spec"], "parallelism": 0}
    return manifest


@pytest.mark.parametrize("resource", sorted(VALID))
def test_trying_to_create_answers_with_the_object_and_keeps_none(api: KubernetesApi, resource: str) -> None:
    tried = api.create(resource, manifest_of(api, resource), dryRun="All")
    assert tried.code == 201, tried.body
    metadata = tried.body["metadata"]
    assert metadata["uid"]
    assert metadata["creationTimestamp"]
    assert "resourceVersion" not in metadata
    assert api.get(resource, "a").code == 404
    assert api.create(resource, manifest_of(api, resource)).code == 201


@pytest.mark.parametrize("resource", sorted(VALID))
def test_trying_to_change_shows_the_change_and_keeps_what_was(api: KubernetesApi, resource: str) -> None:
    made = api.create(resource, manifest_of(api, resource)).body
    path = api.path(resource, "a")
    patched = api.call("PATCH", path, MARK, content_type=MERGE, dryRun="All")
    assert (patched.code, patched.body["metadata"]["labels"]["tried"]) == (200, "yes")

    def replaced() -> bool:
        """False after a conflict: controllers write the object too."""
        current = api.get(resource, "a").body
        current["metadata"].setdefault("labels", {})["tried"] = "yes"
        answer = api.call("PUT", path, current, dryRun="All")
        if answer.code == 409:
            return False
        assert (answer.code, answer.body["metadata"]["labels"]["tried"]) == (200, "yes")
        return True

    wait_until(replaced, PATIENCE_S, what="a try without a conflict")
    kept = api.get(resource, "a").body["metadata"]
    assert kept["uid"] == made["metadata"]["uid"]
    assert "tried" not in kept.get("labels", {})


@pytest.mark.parametrize("resource", sorted(VALID))
def test_trying_to_delete_deletes_nothing(api: KubernetesApi, resource: str) -> None:
    api.create(resource, manifest_of(api, resource))
    tried = api.delete(resource, "a", dryRun=["All"], propagationPolicy="Foreground")
    assert tried.code == 200, tried.body
    kept = api.get(resource, "a").body["metadata"]
    assert "deletionTimestamp" not in kept
    assert "foregroundDeletion" not in kept.get("finalizers", [])


def test_a_name_that_is_taken_is_taken_for_a_dry_run_too(api: KubernetesApi) -> None:
    api.create("jobs", manifest_of(api, "jobs"))
    refused = api.create("jobs", job("a", "true", notes()), dryRun="All")
    assert (refused.code, refused.body["reason"]) == (409, "AlreadyExists")
    assert refused.body["message"] == 'jobs.batch "a" already exists'


def test_a_made_up_name_is_shown(api: KubernetesApi) -> None:
    manifest = {**job("", "true", notes()), "metadata": {"generateName": "run-"}}
    names = {api.create("jobs", manifest, dryRun="All").name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("run-") and len(name) == len("run-") + 5 for name in names)
    assert api.list("jobs").body["items"] == []


def test_a_job_on_trial_shows_its_defaults_and_its_selector(api: KubernetesApi) -> None:
    tried = api.create("jobs", job("a", "true", notes()), dryRun="All").body
    assert tried["spec"]["parallelism"] == tried["spec"]["completions"] == 1
    assert tried["metadata"]["uid"] in tried["spec"]["selector"]["matchLabels"].values()
    assert tried["spec"]["template"]["metadata"]["labels"]["job-name"] == "a"
    assert tried["status"] == {}


FAULTY: list[tuple[Manifest, list[str]]] = [
    (job("A_b", "true", notes()), ["metadata.name"]),
    (job("a", "true", notes(), backoffLimit=-1), ["spec.backoffLimit"]),
    (job("a", "true", notes(), pod={"restartPolicy": "Always"}), ["spec.template.spec.restartPolicy"]),
    (job("a", "true", notes(), pod={"containers": []}), ["spec.template.spec.containers"]),
    (
        job("a", "true", notes(), pod={"containers": [{"name": "Not_Valid"}]}),
        ["spec.template.spec.containers[0].name", "spec.template.spec.containers[0].image"],
    ),
    (
        job("a", "true", notes(), pod={"containers": [container("true", volumeMounts=[of("v")])]}),
        ["spec.template.spec.containers[0].volumeMounts[0].name"],
    ),
    ({**job("a", "true", notes()), "spec": {}}, ["spec.template.spec.containers", "spec.template.spec.restartPolicy"]),
]


@pytest.mark.parametrize(("manifest", "fields"), FAULTY)
def test_what_is_wrong_with_a_job_is_said_as_it_would_be_for_good(
    api: KubernetesApi, manifest: Manifest, fields: list[str]
) -> None:
    tried, refused = (api.create("jobs", manifest, **query) for query in ({"dryRun": "All"}, {}))
    assert (tried.code, tried.body["reason"]) == (refused.code, refused.body["reason"]) == (422, "Invalid")
    named = [cause["field"] for cause in tried.body["details"]["causes"]]
    assert named == [cause["field"] for cause in refused.body["details"]["causes"]]
    assert set(fields) <= set(named)
    assert tried.body["message"].startswith(f'Job.batch "{manifest["metadata"]["name"]}" is invalid: ')


def test_a_value_of_the_wrong_type_is_a_bad_request(api: KubernetesApi) -> None:
    tried = api.create("jobs", job("a", "true", notes(), backoffLimit="three"), dryRun="All")
    assert (tried.code, tried.body["reason"]) == (400, "BadRequest")


def test_a_quota_without_room_refuses_a_job_on_trial(api: KubernetesApi) -> None:
    quota = of("q", spec={"hard": {"count/jobs.batch": "1", "resourcequotas": "1"}})
    assert api.create("resourcequotas", quota).code == 201
    wait_until(lambda: bool(api.get("resourcequotas", "q").body["status"]), PATIENCE_S, what="the quota's status")
    another = of("another", spec={"hard": {}})
    wait_until(lambda: api.create("resourcequotas", another, dryRun="All").code == 403, what="the quota's effect")
    assert api.create("jobs", manifest_of(api, "jobs")).code == 201
    refused = api.create("jobs", job("b", "true", notes()), dryRun="All")
    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert refused.body["message"] == (
        'jobs.batch "b" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1, '
        "limited: count/jobs.batch=1"
    )
    (listed,) = api.list("resourcequotas").body["items"]
    assert listed["status"]["hard"] == quota["spec"]["hard"]


def test_a_job_on_trial_gets_neither_pods_nor_events(api: KubernetesApi) -> None:
    api.create("jobs", job("tried", "true", notes()), dryRun="All")
    api.create("jobs", job("made", "true", notes()))
    wait_until(lambda: bool(api.list("pods", labelSelector="job-name=made").body["items"]), PATIENCE_S, what="a pod")
    assert api.list("pods", labelSelector="job-name=tried").body["items"] == []
    told = api.list("events", fieldSelector="involvedObject.name=tried").body["items"]
    assert told == []


def test_a_job_on_trial_belongs_to_a_namespace_that_is_there(api: KubernetesApi) -> None:
    path = "/apis/batch/v1/namespaces/no-such-one/jobs"
    refused = api.call("POST", path, job("a", "true", notes()), dryRun="All")
    assert (refused.code, refused.body["message"]) == (404, 'namespaces "no-such-one" not found')


@pytest.mark.parametrize("selector", ["job-name=a", "job-name in (a, b)", "job-name in (a),job-name!=b", "job-name"])
def test_the_pods_of_jobs_are_found_by_their_names(api: KubernetesApi, selector: str) -> None:
    for name in ("a", "b", "c"):
        api.create("jobs", job(name, "true", notes()))
    wait_until(lambda: len(api.list("pods").body["items"]) == 3, PATIENCE_S, what="three pods")
    wanted = {"job-name=a": "a", "job-name in (a, b)": "ab", "job-name in (a),job-name!=b": "a", "job-name": "abc"}
    found = api.list("pods", labelSelector=selector).body["items"]
    assert sorted(item["metadata"]["labels"]["job-name"] for item in found) == list(wanted[selector])
