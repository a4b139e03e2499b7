"""What the job controller makes of Jobs: pods, counts, conditions with their reasons, events."""

from __future__ import annotations

from typing import Any

import pytest
from lando.k8s.observe import owning_job
from tests.contract.known_differences import since
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

Manifest = dict[str, Any]
PATIENCE_S = 40.0
FINAL = ("Complete", "Failed")
ENDLESS = ("sleep 300", notes("Running"))


def conditions(manifest: Manifest) -> dict[str, Manifest]:
    found = manifest.get("status", {}).get("conditions") or []
    return {each["type"]: each for each in found if each["status"] == "True"}


def ended(api: KubernetesApi, name: str = "work") -> Manifest:
    """The Job once it is Complete or Failed."""
    wait_until(lambda: any(final in conditions(api.get("jobs", name).body) for final in FINAL), PATIENCE_S, what="end")
    return dict(api.get("jobs", name).body)


def pods(api: KubernetesApi) -> list[Manifest]:
    return list(api.list("pods").body["items"])


def at_work(api: KubernetesApi, number: int) -> None:
    """Wait until so many pods run."""

    def running() -> bool:
        return [pod["status"]["phase"] for pod in pods(api)] == ["Running"] * number

    wait_until(running, PATIENCE_S, what=f"{number} running pods")


def reasons(api: KubernetesApi, name: str = "work") -> set[tuple[str, str]]:
    about = api.list("events", fieldSelector=f"involvedObject.kind=Job,involvedObject.name={name}").body["items"]
    return {(event["type"], event["reason"]) for event in about}


def test_a_job_whose_program_ends_well_is_complete(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "true", notes()))
    done = ended(api)
    assert conditions(done)["Complete"]["status"] == "True"
    assert done["status"]["succeeded"] == 1
    assert not done["status"].get("active")
    assert not done["status"].get("failed")
    assert done["status"]["startTime"] <= done["status"]["completionTime"]
    wait_until(lambda: ("Normal", "Completed") in reasons(api), what="the event")
    assert ("Normal", "SuccessfulCreate") in reasons(api)


def test_a_job_names_and_owns_its_pods(api: KubernetesApi) -> None:
    made = api.create("jobs", job("work", *ENDLESS)).body
    at_work(api, 1)
    metadata = pods(api)[0]["metadata"]
    assert metadata["name"].startswith("work-")
    assert metadata["generateName"] == "work-"
    assert metadata["labels"]["job-name"] == "work"
    (owner,) = metadata["ownerReferences"]
    assert owner == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "work",
        "uid": made["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_the_reason_of_a_success_is_said(api: KubernetesApi) -> None:
    since(api, "reasons of a Job's success")
    api.create("jobs", job("work", "true", notes()))
    found = conditions(ended(api))
    assert found["SuccessCriteriaMet"]["reason"] == found["Complete"]["reason"] == "CompletionsReached"


def test_a_job_whose_program_fails_once_too_often_has_failed(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "exit 3", notes("Failed:3")))
    done = ended(api)
    failed = conditions(done)["Failed"]
    assert failed["reason"] == "BackoffLimitExceeded"
    assert failed["message"] == "Job has reached the specified backoff limit"
    assert done["status"]["failed"] == 1
    assert "completionTime" not in done["status"]
    assert len(pods(api)) == 1
    wait_until(lambda: ("Warning", "BackoffLimitExceeded") in reasons(api), what="the event")


def test_a_failing_job_says_so_before_it_has_failed(api: KubernetesApi) -> None:
    since(api, "a failing Job's FailureTarget")
    api.create("jobs", job("work", "exit 3", notes("Failed:3")))
    found = conditions(ended(api))
    assert found["FailureTarget"]["reason"] == found["Failed"]["reason"]


def test_failures_of_parallel_pods_are_counted_together(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "exit 1", notes("Failed:1"), parallelism=2, completions=2, backoffLimit=1))
    done = ended(api)
    assert conditions(done)["Failed"]["reason"] == "BackoffLimitExceeded"
    assert done["status"]["failed"] >= 2


def test_a_job_past_its_deadline_has_failed_and_its_pods_go(api: KubernetesApi) -> None:
    api.create("jobs", job("work", *ENDLESS, activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 0}))
    failed = conditions(ended(api))["Failed"]
    assert failed["reason"] == "DeadlineExceeded"
    assert failed["message"] == "Job was active longer than specified deadline"
    wait_until(lambda: not [each for each in pods(api) if each["status"]["phase"] == "Running"], what="the pods' end")
    wait_until(lambda: ("Warning", "DeadlineExceeded") in reasons(api), what="the event")


def test_completions_are_reached_with_no_more_pods_than_parallelism_at_once(api: KubernetesApi) -> None:
    start = api.list("pods").body["metadata"]["resourceVersion"]
    api.create("jobs", job("work", "sleep 0.2", notes(duration_s=0.2), completions=3, parallelism=2))
    assert ended(api)["status"]["succeeded"] == 3
    alive: set[str] = set()
    most = 0
    with api.watch("pods", resourceVersion=start, timeoutSeconds=1) as events:
        for event in events:
            name, phase = event["object"]["metadata"]["name"], event["object"]["status"]["phase"]
            (alive.discard if phase in ("Succeeded", "Failed") else alive.add)(name)
            most = max(most, len(alive))
    assert most == 2


def test_without_completions_one_success_is_enough(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "true", notes(), parallelism=2))
    assert "Complete" in conditions(ended(api))


def test_parallelism_is_followed_while_the_job_is_at_work(api: KubernetesApi) -> None:
    api.create("jobs", job("work", *ENDLESS, parallelism=1, completions=4, pod={"terminationGracePeriodSeconds": 0}))
    at_work(api, 1)
    api.patch("jobs", "work", {"spec": {"parallelism": 3}})
    at_work(api, 3)
    api.patch("jobs", "work", {"spec": {"parallelism": 1}})
    wait_until(lambda: len(pods(api)) == 1, PATIENCE_S, what="one pod left")
    wait_until(lambda: api.get("jobs", "work").body["status"].get("active") == 1, what="the count")
    assert not conditions(api.get("jobs", "work").body)


def test_no_completions_are_wanted_means_complete_at_once(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "true", notes(), completions=0))
    assert "Complete" in conditions(ended(api))
    assert pods(api) == []


def test_a_finished_job_goes_with_its_pods_when_its_time_to_live_is_over(api: KubernetesApi) -> None:
    api.create("jobs", job("work", "true", notes(), ttlSecondsAfterFinished=0))
    wait_until(lambda: api.get("jobs", "work").code == 404, PATIENCE_S, what="the Job's removal")
    wait_until(lambda: not pods(api), PATIENCE_S, what="the pods' removal")


def test_a_pod_that_is_deleted_is_replaced(api: KubernetesApi) -> None:
    api.create("jobs", job("work", *ENDLESS, backoffLimit=6, pod={"terminationGracePeriodSeconds": 0}))
    at_work(api, 1)
    first = pods(api)[0]["metadata"]
    api.delete("pods", first["name"])
    wait_until(
        lambda: first["uid"] not in {each["metadata"]["uid"] for each in pods(api)} and len(pods(api)) == 1,
        PATIENCE_S,
        what="another pod",
    )


def test_a_suspended_job_has_no_pods_until_it_is_resumed(api: KubernetesApi) -> None:
    since(api, "suspended Jobs")
    api.create("jobs", job("work", "true", notes(), suspend=True))
    wait_until(lambda: "Suspended" in conditions(api.get("jobs", "work").body), what="the condition")
    assert pods(api) == []
    assert conditions(api.get("jobs", "work").body)["Suspended"]["reason"] == "JobSuspended"
    api.patch("jobs", "work", {"spec": {"suspend": False}})
    assert "Complete" in conditions(ended(api))
    assert {("Normal", "Suspended"), ("Normal", "Resumed")} <= reasons(api)


def test_a_job_that_is_suspended_loses_its_pods(api: KubernetesApi) -> None:
    since(api, "suspended Jobs")
    api.create("jobs", job("work", *ENDLESS, pod={"terminationGracePeriodSeconds": 0}))
    at_work(api, 1)
    api.patch("jobs", "work", {"spec": {"suspend": True}})
    wait_until(lambda: not pods(api), PATIENCE_S, what="the pods' end")
    assert "startTime" not in api.get("jobs", "work").body["status"]
    assert not conditions(api.get("jobs", "work").body).keys() & set(FINAL)


def test_pods_of_an_indexed_job_know_their_index(api: KubernetesApi) -> None:
    since(api, "Indexed Jobs")
    script = 'test "$JOB_COMPLETION_INDEX" -lt 3'
    api.create("jobs", job("work", script, notes(), completions=3, parallelism=3, completionMode="Indexed"))
    done = ended(api)
    assert done["status"]["completedIndexes"] == "0-2"
    assert done["status"]["succeeded"] == 3
    key = "batch.kubernetes.io/job-completion-index"
    assert {each["metadata"]["annotations"][key] for each in pods(api)} == {"0", "1", "2"}
    assert {each["spec"]["hostname"] for each in pods(api)} == {"work-0", "work-1", "work-2"}


def test_an_indexed_job_needs_completions(api: KubernetesApi) -> None:
    since(api, "Indexed Jobs")
    refused = api.create("jobs", job("work", "true", notes(), completionMode="Indexed", parallelism=2))
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "spec.completions"


def test_a_container_that_restarts_too_often_fails_the_job(api: KubernetesApi) -> None:
    policy = {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 0}
    api.create("jobs", job("work", "exit 1", notes("Failed:1"), pod=policy, backoffLimit=1))
    assert conditions(ended(api))["Failed"]["reason"] == "BackoffLimitExceeded"


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_deleting_a_job_does_with_its_pods_as_asked(api: KubernetesApi, policy: str) -> None:
    made = api.create("jobs", job("work", *ENDLESS, pod={"terminationGracePeriodSeconds": 0})).body
    at_work(api, 1)
    api.delete("jobs", "work", propagationPolicy=policy)
    wait_until(lambda: api.get("jobs", "work").code == 404, PATIENCE_S, what="the Job's removal")
    if policy == "Orphan":
        (left,) = pods(api)
        assert "ownerReferences" not in left["metadata"]
        assert "deletionTimestamp" not in left["metadata"]
        assert owning_job(left) == made["metadata"]["uid"]
    else:
        wait_until(lambda: not pods(api), PATIENCE_S, what="the pods' removal")


def rule(action: str = "FailJob", **more: Any) -> Manifest:
    return {"action": action, **(more or {"onExitCodes": {"operator": "In", "values": [42]}})}


def test_an_exit_code_may_fail_a_job_at_once(api: KubernetesApi) -> None:
    since(api, "pod failure policies")
    policy = {"rules": [rule()]}
    api.create("jobs", job("work", "exit 42", notes("Failed:42"), backoffLimit=6, podFailurePolicy=policy))
    done = ended(api)
    found = conditions(done)["Failed"]
    assert found["reason"] == "PodFailurePolicy"
    assert found["message"].endswith("failed with exit code 42 matching FailJob rule at index 0")
    assert done["status"]["failed"] == 1


@pytest.mark.parametrize(
    ("faulty", "field"),
    [
        (rule("Stop"), "spec.podFailurePolicy.rules[0].action"),
        (rule(onExitCodes={"operator": "In", "values": [0]}), "spec.podFailurePolicy.rules[0].onExitCodes.values[0]"),
        (rule(onExitCodes={"operator": "In", "values": []}), "spec.podFailurePolicy.rules[0].onExitCodes.values"),
        (rule(onExitCodes={"operator": "In", "values": [3, 1]}), "spec.podFailurePolicy.rules[0].onExitCodes.values"),
        (rule(onExitCodes={"operator": "Is", "values": [1]}), "spec.podFailurePolicy.rules[0].onExitCodes.operator"),
        (
            rule(onExitCodes={"operator": "In", "values": [1], "containerName": "other"}),
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName",
        ),
        ({"action": "Ignore"}, "spec.podFailurePolicy.rules[0]"),
    ],
)
def test_rules_of_a_pod_failure_policy_make_sense(api: KubernetesApi, faulty: Manifest, field: str) -> None:
    since(api, "pod failure policies")
    refused = api.create("jobs", job("work", "true", notes(), podFailurePolicy={"rules": [faulty]}), dryRun="All")
    assert refused.code == 422
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == [field]
