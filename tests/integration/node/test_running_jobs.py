"""Jobs on the node: pods are made, counted and replaced, and conditions say how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from lando.local.rules.status import forbidden
from tests.services.local_node import Cluster, Manifest, conditions, phase

ENDINGS = ("SuccessCriteriaMet", "Complete", "FailureTarget", "Failed")


def test_a_job_completes_with_its_pod(cluster: Cluster) -> None:
    made = cluster.job("good")
    job = cluster.finished("good")
    status = job["status"]
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["succeeded"] == 1
    assert (status["ready"], status["terminating"]) == (0, 0)
    assert "active" not in status
    assert "failed" not in status
    assert status["startTime"] <= status["completionTime"]
    (pod,) = cluster.pods_of("good")
    assert pod["metadata"]["name"].startswith("good-")
    labels = pod["metadata"]["labels"]
    assert labels["job-name"] == labels["batch.kubernetes.io/job-name"] == "good"
    assert labels["controller-uid"] == made["metadata"]["uid"]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Job", made["metadata"]["uid"], True)
    assert cluster.wait_event("good", "SuccessfulCreate") == f"Created pod: {pod['metadata']['name']}"
    assert cluster.wait_event("good", "Completed") == "Job completed"


def test_a_finished_pod_is_free_of_the_tracking_finalizer(cluster: Cluster) -> None:
    cluster.job("good")
    cluster.finished("good")
    assert all("finalizers" not in pod["metadata"] for pod in cluster.pods_of("good"))


def test_a_failing_job_ends_at_its_backoff_limit(cluster: Cluster) -> None:
    cluster.job("bad", "exit 3", backoffLimit=2)
    job = cluster.finished("bad")
    assert job["status"]["failed"] == 3
    failed = conditions(job)["Failed"]
    assert (failed["reason"], failed["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert "FailureTarget" in conditions(job)
    assert "completionTime" not in job["status"]
    assert len(cluster.pods_of("bad")) == 3
    assert cluster.wait_event("bad", "BackoffLimitExceeded") == "Job has reached the specified backoff limit"


def test_a_job_past_its_deadline_fails_and_its_pod_is_ended(cluster: Cluster) -> None:
    cluster.job("slow", "exec sleep 60", activeDeadlineSeconds=1)
    job = cluster.finished("slow")
    failed = conditions(job)["Failed"]
    assert (failed["reason"], failed["message"]) == (
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    )
    assert "active" not in job["status"]


def test_a_pod_deleted_by_hand_counts_as_a_failure(cluster: Cluster) -> None:
    cluster.job("poked", "exec sleep 60", backoffLimit=1)
    cluster.wait("jobs", "poked", lambda job: job.get("status", {}).get("ready") == 1)
    (first,) = cluster.pods_of("poked")
    cluster.store.delete("pods", "default", first["metadata"]["name"])
    job = cluster.wait("jobs", "poked", lambda job: job["status"].get("failed") == 1 and job["status"].get("active"))
    assert not conditions(job).keys() & set(ENDINGS)
    (second,) = [pod for pod in cluster.pods_of("poked") if "deletionTimestamp" not in pod["metadata"]]
    cluster.wait("pods", second["metadata"]["name"], lambda pod: phase(pod) == "Running")
    cluster.store.delete("pods", "default", second["metadata"]["name"])
    job = cluster.finished("poked")
    assert job["status"]["failed"] == 2
    assert conditions(job)["Failed"]["reason"] == "BackoffLimitExceeded"


def test_a_pod_deleted_by_force_counts_as_a_failure_too(cluster: Cluster) -> None:
    cluster.job("poked", "exec sleep 60")
    cluster.wait("jobs", "poked", lambda job: job.get("status", {}).get("ready") == 1)
    (pod,) = cluster.pods_of("poked")
    cluster.store.delete("pods", "default", pod["metadata"]["name"], grace_period_s=0)
    assert cluster.finished("poked")["status"]["failed"] == 1


def test_completions_are_reached_with_no_more_pods_than_parallelism(cluster: Cluster) -> None:
    cluster.job("many", "sleep 0.1", completions=4, parallelism=2)
    most = 0

    def look(job: dict[str, Any]) -> bool:
        nonlocal most
        most = max(most, job.get("status", {}).get("active", 0))
        return "Complete" in conditions(job)

    job = cluster.wait("jobs", "many", look)
    assert job["status"]["succeeded"] == 4
    assert len(cluster.pods_of("many")) == 4
    assert most == 2


def test_each_index_of_an_indexed_job_is_done(cluster: Cluster) -> None:
    cluster.job("array", "echo index $JOB_COMPLETION_INDEX", completions=3, parallelism=3, completionMode="Indexed")
    job = cluster.finished("array")
    assert job["status"]["completedIndexes"] == "0-2"
    assert job["status"]["succeeded"] == 3
    logs = sorted(cluster.log(pod["metadata"]["name"]) for pod in cluster.pods_of("array"))
    assert logs == ["index 0\n", "index 1\n", "index 2\n"]


def test_a_suspended_job_starts_nothing_until_it_is_resumed(cluster: Cluster) -> None:
    cluster.job("later", suspend=True)
    job = cluster.wait("jobs", "later", lambda job: "Suspended" in conditions(job))
    assert "startTime" not in job["status"]
    assert cluster.pods_of("later") == []
    cluster.store.patch("jobs", "default", "later", {"spec": {"suspend": False}})
    job = cluster.finished("later")
    assert job["status"]["succeeded"] == 1
    assert cluster.wait_event("later", "Resumed") == "Job resumed"


def test_a_running_job_that_is_suspended_gives_up_its_pod(cluster: Cluster) -> None:
    cluster.job("paused", "exec sleep 60")
    cluster.wait("jobs", "paused", lambda job: job.get("status", {}).get("ready") == 1)
    cluster.store.patch("jobs", "default", "paused", {"spec": {"suspend": True}})
    job = cluster.wait("jobs", "paused", lambda job: "Suspended" in conditions(job) and not job["status"].get("active"))
    assert "Failed" not in conditions(job)


def test_a_finished_job_goes_after_its_time_to_live(cluster: Cluster) -> None:
    cluster.job("brief", ttlSecondsAfterFinished=0)
    job = cluster.wait("jobs", "brief", lambda job: "deletionTimestamp" in job["metadata"])
    assert "Complete" in conditions(job)


def test_a_pod_that_cannot_be_made_is_told_and_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    create, refusals = cluster.store.create, ["once"]

    def refuse_once(resource: str, *arguments: Any, **options: Any) -> Any:
        if resource == "pods" and refusals:
            refusals.clear()
            raise forbidden("pods", "", "", "exceeded quota: pods")
        return create(resource, *arguments, **options)

    monkeypatch.setattr(cluster.store, "create", refuse_once)
    cluster.job("limited")
    assert cluster.wait_event("limited", "FailedCreate") == "Error creating: pods is forbidden: exceeded quota: pods"
    assert cluster.finished("limited")["status"]["succeeded"] == 1


def test_pods_of_a_job_that_is_gone_lose_their_finalizer(cluster: Cluster) -> None:
    cluster.job("orphaning", "exec sleep 60")
    cluster.wait("jobs", "orphaning", lambda job: job.get("status", {}).get("ready") == 1)
    (pod,) = cluster.pods_of("orphaning")
    cluster.store.delete("jobs", "default", "orphaning", propagation="Background")
    cluster.wait("pods", pod["metadata"]["name"], lambda each: "finalizers" not in each["metadata"])
    cluster.store.delete("pods", "default", pod["metadata"]["name"], grace_period_s=1)
    cluster.wait_gone("pods", pod["metadata"]["name"])


def test_claims_are_bound_at_once_whatever_class_they_name(cluster: Cluster) -> None:
    cluster.claim("data", storageClassName="some-class")
    claim = cluster.wait("persistentvolumeclaims", "data", lambda each: each["status"].get("phase") == "Bound")
    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    assert claim["status"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["volumeName"] == f"pvc-{claim['metadata']['uid']}"
    assert cluster.claim_folder("data").is_dir()


def test_a_pod_whose_claim_is_missing_waits_for_it(cluster: Cluster) -> None:
    cluster.pod("early", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    message = cluster.wait_event("early", "FailedScheduling")
    assert message == '0/1 nodes are available: persistentvolumeclaim "data" not found.'
    cluster.claim("data")
    assert phase(cluster.ended("early")) == "Succeeded"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"nodeSelector": {"gpu": "yes"}}, "1 node(s) didn't match Pod's node affinity/selector"),
        ({"memory": "1Ti"}, "1 Insufficient memory"),
        ({"cpu": "99"}, "1 Insufficient cpu"),
    ],
)
def test_a_pod_the_node_could_never_hold_says_so(cluster: Cluster, spec: dict[str, Any], words: str) -> None:
    if "nodeSelector" in spec:
        cluster.pod("huge", **spec)
    else:
        cluster.pod("huge", container={"resources": {"requests": spec}})
    message = f"0/1 nodes are available: {words}."
    pod = cluster.wait("pods", "huge", lambda each: each["status"].get("conditions"))
    (scheduled,) = pod["status"]["conditions"]
    assert (scheduled["type"], scheduled["status"], scheduled["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert scheduled["message"] == message
    assert cluster.wait_event("huge", "FailedScheduling") == message
    assert phase(pod) == "Pending"
    cluster.pod("small")
    cluster.ended("small")


def test_a_pod_that_was_orphaned_is_let_go(cluster: Cluster) -> None:
    cluster.job("orphaning", "exec sleep 60")
    cluster.wait("jobs", "orphaning", lambda job: job.get("status", {}).get("ready") == 1)
    (pod,) = cluster.pods_of("orphaning")
    name = pod["metadata"]["name"]
    assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]

    def orphan(current: Manifest) -> None:
        del current["metadata"]["ownerReferences"]

    cluster.store.delete("jobs", "default", "orphaning", propagation="Orphan")
    cluster.store.modify("pods", "default", name, orphan)
    cluster.wait("pods", name, lambda pod: "finalizers" not in pod["metadata"])
    cluster.store.delete("pods", "default", name, grace_period_s=0)
    cluster.wait_gone("pods", name)
