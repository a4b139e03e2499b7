"""What a Job needs next, by its manifest and its pods: cases that take long or rare moments to happen for real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.local.controllers.job_decisions import INDEX, TRACKING, decide_job, format_indexes, parse_indexes
from lando.local.rules.lifecycle import timestamp

Manifest = dict[str, Any]
NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return timestamp(NOW - timedelta(seconds=seconds))


def job(status: Manifest | None = None, *, policy: str = "Never", **spec: Any) -> Manifest:
    return {
        "metadata": {"name": "j", "namespace": "default", "uid": "job-1"},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "template": {"spec": {"restartPolicy": policy, "containers": []}},
            **spec,
        },
        "status": status or {},
    }


def pod(
    uid: str, phase: str, *, tracked: bool = True, deleted: bool = False, ended: float | None = None, **status: Any
) -> Manifest:
    metadata: Manifest = {"name": uid, "uid": uid, "creationTimestamp": ago(100)}
    if tracked:
        metadata["finalizers"] = [TRACKING]
    if deleted:
        metadata["deletionTimestamp"] = ago(0)
    if ended is not None:
        status["containerStatuses"] = [{"state": {"terminated": {"finishedAt": ago(ended)}}}]
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, **status}}


def kinds(status: Manifest) -> list[str]:
    return [each["type"] for each in status.get("conditions", [])]


def test_a_new_job_gets_its_start_time_and_pods() -> None:
    decision = decide_job(job(parallelism=3, completions=5), [], NOW)
    assert decision.create == [None] * 3
    assert decision.status["startTime"] == ago(0)


def test_an_ended_pod_is_noted_before_its_finalizer_goes_and_counted_after() -> None:
    noted = decide_job(job(), [pod("a", "Succeeded")], NOW)
    assert noted.status["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert "succeeded" not in noted.status
    assert [each["metadata"]["name"] for each in noted.release] == ["a"]
    assert "Complete" not in kinds(noted.status)
    again = decide_job(job(noted.status), [pod("a", "Succeeded")], NOW)
    assert again.status == noted.status
    counted = decide_job(job(noted.status), [pod("a", "Succeeded", tracked=False)], NOW)
    assert counted.status["succeeded"] == 1
    assert counted.status["uncountedTerminatedPods"] == {}
    assert kinds(counted.status) == ["SuccessCriteriaMet", "Complete"]


def test_a_noted_pod_that_vanished_is_counted_still() -> None:
    status = {"startTime": ago(9), "uncountedTerminatedPods": {"failed": ["a"]}, "failed": 1}
    assert decide_job(job(status), [], NOW).status["failed"] == 2


def test_a_pod_is_never_counted_twice() -> None:
    status = {"startTime": ago(9), "failed": 1}
    assert decide_job(job(status), [pod("a", "Failed", tracked=False)], NOW).status["failed"] == 1


def test_failures_are_waited_for_ever_longer() -> None:
    once = decide_job(job({"startTime": ago(9), "failed": 1}), [pod("a", "Failed", tracked=False, ended=4)], NOW)
    assert once.create == []
    assert once.again_s == pytest.approx(6)
    pods = [pod("a", "Failed", tracked=False, ended=60), pod("b", "Failed", tracked=False, ended=4)]
    assert decide_job(job({"startTime": ago(90), "failed": 2}), pods, NOW).again_s == pytest.approx(16)
    later = [pod("a", "Failed", tracked=False, ended=61)]
    assert decide_job(job({"startTime": ago(90), "failed": 1}), later, NOW).create == [None]


def test_a_success_ends_the_row_of_failures() -> None:
    pods = [pod("a", "Failed", tracked=False, ended=60), pod("b", "Succeeded", tracked=False, ended=4)]
    decision = decide_job(job({"startTime": ago(90), "failed": 1, "succeeded": 1}, completions=2), pods, NOW)
    assert decision.create == [None]


def test_the_failed_condition_waits_for_pods_that_are_ending() -> None:
    status = {"startTime": ago(10)}
    limited = job(status, activeDeadlineSeconds=5)
    first = decide_job(limited, [pod("a", "Running")], NOW)
    assert kinds(first.status) == ["FailureTarget"]
    assert [each["metadata"]["name"] for each in first.delete] == ["a"]
    noted = decide_job(job(first.status, activeDeadlineSeconds=5), [pod("a", "Running", deleted=True)], NOW)
    ending = decide_job(
        job(noted.status, activeDeadlineSeconds=5), [pod("a", "Running", deleted=True, tracked=False)], NOW
    )
    assert kinds(ending.status) == ["FailureTarget"]
    assert ending.status["terminating"] == 1
    ended = decide_job(job(ending.status, activeDeadlineSeconds=5), [], NOW)
    assert kinds(ended.status) == ["FailureTarget", "Failed"]
    assert ended.events == [("Warning", "DeadlineExceeded", "Job was active longer than specified deadline")]


def test_a_deadline_to_come_is_looked_at_again_in_time() -> None:
    decision = decide_job(job({"startTime": ago(10)}, activeDeadlineSeconds=25), [pod("a", "Running")], NOW)
    assert decision.again_s == pytest.approx(15)


def test_restarts_in_place_count_towards_the_limit() -> None:
    restarting = pod("a", "Running", containerStatuses=[{"restartCount": 2}])
    status = {"startTime": ago(10)}
    reached = decide_job(job(status, policy="OnFailure", backoffLimit=2), [restarting], NOW)
    assert kinds(reached.status) == ["FailureTarget"]
    below = decide_job(job(status, policy="OnFailure", backoffLimit=3), [restarting], NOW)
    assert kinds(below.status) == []


def test_a_terminating_pod_is_replaced_at_once_unless_only_failed_ones_are() -> None:
    ending, status = pod("a", "Running", deleted=True), {"startTime": ago(1)}
    assert decide_job(job(status), [ending], NOW).create == [None]
    patient = decide_job(job(status, podReplacementPolicy="Failed"), [ending], NOW)
    assert patient.create == []
    assert patient.status["uncountedTerminatedPods"] == {}


def test_a_work_queue_is_complete_when_one_succeeded_and_none_is_at_work() -> None:
    queue = job({"startTime": ago(9), "succeeded": 1}, parallelism=2)
    del queue["spec"]["completions"]
    going = decide_job(queue, [pod("b", "Running")], NOW)
    assert (going.create, going.delete, kinds(going.status)) == ([], [], [])
    assert "Complete" in kinds(decide_job(queue, [], NOW).status)


def test_too_many_pods_are_reduced_the_newest_first() -> None:
    old, new = pod("old", "Running"), pod("new", "Pending")
    new["metadata"]["creationTimestamp"] = ago(1)
    decision = decide_job(job({"startTime": ago(9)}, completions=4), [old, new], NOW)
    assert [each["metadata"]["name"] for each in decision.delete] == ["new"]


@pytest.mark.parametrize(("spec", "freed"), [({"suspend": True}, True), ({"activeDeadlineSeconds": 5}, False)])
def test_pods_that_are_no_longer_wanted_are_not_counted_those_of_a_failing_job_are(spec: Manifest, freed: bool) -> None:
    decision = decide_job(job({"startTime": ago(9)}, **spec), [pod("p", "Running")], NOW)
    assert [each["metadata"]["name"] for each in decision.delete] == ["p"]
    assert bool(decision.release) is freed


def test_missing_indexes_are_made_and_done_ones_are_not() -> None:
    busy = pod("b", "Running")
    busy["metadata"]["annotations"] = {INDEX: "1"}
    status = {"startTime": ago(9), "completedIndexes": "0,3", "succeeded": 2}
    decision = decide_job(job(status, completionMode="Indexed", completions=6, parallelism=3), [busy], NOW)
    assert decision.create == [2, 4]


def test_a_job_that_is_being_deleted_makes_no_more_pods() -> None:
    going = job()
    going["metadata"]["deletionTimestamp"] = ago(0)
    decision = decide_job(going, [pod("a", "Failed")], NOW)
    assert decision.create == []
    assert len(decision.release) == 1


def test_a_finished_job_is_deleted_when_its_time_to_live_is_over() -> None:
    status = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": ago(30)}]}
    assert decide_job(job(status), [], NOW).again_s is None
    waiting = decide_job(job(status, ttlSecondsAfterFinished=40), [], NOW)
    assert not waiting.delete_job
    assert waiting.again_s == pytest.approx(10)
    assert decide_job(job(status, ttlSecondsAfterFinished=30), [], NOW).delete_job


def test_a_finished_job_changes_no_more_and_frees_late_pods() -> None:
    status = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": ago(3)}], "failed": 1}
    decision = decide_job(job(status), [pod("late", "Running")], NOW)
    assert decision.status == status
    assert (decision.create, len(decision.release)) == ([], 1)


@given(st.sets(st.integers(min_value=0, max_value=60)))
def test_indexes_survive_being_written(indexes: set[int]) -> None:
    assert parse_indexes(format_indexes(indexes)) == indexes


@given(
    fates=st.lists(st.sampled_from(["Succeeded", "Failed", "deleted"]), min_size=1, max_size=12),
    completions=st.integers(min_value=1, max_value=4),
    limit=st.integers(min_value=0, max_value=3),
    crash=st.integers(min_value=0, max_value=40),
)
def test_a_job_always_comes_to_the_right_end(fates: list[str], completions: int, limit: int, crash: int) -> None:
    """Whatever becomes of its pods, and when an effect is lost to a crash: each pod counts once."""
    current = job(completions=completions, backoffLimit=limit)
    pods: dict[str, Manifest] = {}
    succeeded = failed = made = 0
    moment = NOW
    for turn in range(80):
        moment += timedelta(hours=1)
        decision = decide_job(current, list(pods.values()), moment)
        current = {**current, "status": decision.status}
        if {"Complete", "Failed"} & set(kinds(decision.status)):
            break
        if turn == crash:
            continue
        for each in decision.release:
            each["metadata"].pop("finalizers", None)
        for each in decision.delete:
            pods.pop(each["metadata"]["uid"], None)
        for _ in decision.create:
            uid, fate = f"p{made}", fates[made % len(fates)]
            made += 1
            pods[uid] = pod(uid, "Running" if fate == "deleted" else fate, deleted=fate == "deleted")
        for uid, each in list(pods.items()):
            if "deletionTimestamp" in each["metadata"] and not each["metadata"].get("finalizers"):
                del pods[uid]
    else:
        raise AssertionError("the Job never ended")
    for number in range(made):
        succeeded += fates[number % len(fates)] == "Succeeded"
        failed += fates[number % len(fates)] != "Succeeded"
    status = current["status"]
    assert (status.get("succeeded", 0), status.get("failed", 0)) == (succeeded, failed)
    assert ("Complete" in kinds(status)) == (succeeded >= completions)
    assert ("Failed" in kinds(status)) == (failed > limit)


def failing(*rules: Manifest, **spec: Any) -> Manifest:
    return job(podFailurePolicy={"rules": list(rules)}, podReplacementPolicy="Failed", **spec)


def failed(uid: str, exit_code: int, **status: Any) -> Manifest:
    ended = {"terminated": {"finishedAt": ago(60), "exitCode": exit_code}}
    made = pod(uid, "Failed", **status)
    made["metadata"]["namespace"] = "default"
    made["status"]["containerStatuses"] = [{"name": "main", "state": ended}]
    return made


HOPELESS: Manifest = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
DISRUPTED: Manifest = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def test_an_exit_code_that_is_hopeless_fails_the_job_at_once() -> None:
    decision = decide_job(failing(HOPELESS), [failed("a", 42)], NOW)
    (found,) = decision.status["conditions"]
    assert (found["type"], found["reason"]) == ("FailureTarget", "PodFailurePolicy")
    assert found["message"] == (
        "Container main for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    )
    assert decision.create == []
    assert decide_job(failing(HOPELESS), [failed("a", 41)], NOW).create == [None]


def test_a_disrupted_pod_is_replaced_without_being_counted() -> None:
    wanted = failing(DISRUPTED, HOPELESS, backoffLimit=0)
    disrupted = failed("a", 42, conditions=[{"type": "DisruptionTarget", "status": "True"}])
    decision = decide_job(wanted, [disrupted], NOW)
    assert decision.status["uncountedTerminatedPods"] == {}
    assert kinds(decision.status) == []
    assert [each["metadata"]["name"] for each in decision.release] == ["a"]
    assert decision.create == [None]


def test_the_first_rule_that_fits_decides() -> None:
    counted: Manifest = {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [1]}}
    decision = decide_job(failing(counted, HOPELESS), [failed("a", 42)], NOW)
    assert decision.status["uncountedTerminatedPods"] == {"failed": ["a"]}
    assert kinds(decision.status) == []


def test_a_rule_about_another_container_does_not_fit() -> None:
    elsewhere = {**HOPELESS, "onExitCodes": {**HOPELESS["onExitCodes"], "containerName": "side"}}
    assert kinds(decide_job(failing(elsewhere), [failed("a", 42)], NOW).status) == []
