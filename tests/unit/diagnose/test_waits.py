"""A Job that has not ended: at work, waiting for what may pass, or stuck for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import Verdict
from lando.runs import Category

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
CREATING = {"waiting": {"reason": "ContainerCreating"}}


def test_a_pod_at_work_is_running(job: Any, pod: Any, judged: Any) -> None:
    found = judged(job(), pod("Running", {"running": {"startedAt": "2026-03-04T10:00:05Z"}}), after=100_000)

    assert (found.verdict, found.recheck_at) == (Verdict.RUNNING, None)


def test_a_container_being_created_is_running(job: Any, pod: Any, judged: Any) -> None:
    assert judged(job(), pod("Pending", CREATING)).verdict is Verdict.RUNNING


def test_a_pod_that_failed_waits_for_the_jobs_own_word(job: Any, pod: Any, ended: Any, judged: Any) -> None:
    assert judged(job(), pod("Failed", ended(3)), after=55).verdict is Verdict.RUNNING


def test_a_job_that_never_says_how_it_ended_is_waited_for_then_lost(
    job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    made = pod("Succeeded", ended(0))

    early, late = judged(job(), made, after=60), judged(job(), made, after=1000)

    assert early.verdict is Verdict.WAITING
    assert late.verdict is Verdict.FAILED
    assert late.cause.category is Category.INFRASTRUCTURE
    assert "does not say how Job run-workflow-42-ada has" in late.cause.sentence


def test_a_job_that_makes_its_next_pod_by_itself_is_given_time(job: Any, pod: Any, ended: Any, judged: Any) -> None:
    assert judged(job(backoffLimit=6), pod("Failed", ended(1)), after=1000).verdict is Verdict.RUNNING


def test_an_image_that_cannot_be_pulled_is_waited_for_then_failed(
    job: Any, pod: Any, waiting: Any, event: Any, judged: Any
) -> None:
    made = pod("Pending", waiting("ImagePullBackOff", 'Back-off pulling image "tool:1"'))
    words = 'Failed to pull image "tool:1": rpc error: code = Unknown desc = dial tcp: lookup registry: no such host'
    events = [event("Failed", words, at=3), event("Failed", "Error: ErrImagePull", at=4)]

    early, late = judged(job(), made, events=events, after=60), judged(job(), made, events=events, after=602)

    assert early.verdict is Verdict.WAITING
    assert early.cause.category is Category.IMAGE
    assert early.cause.sentence.startswith("The image tool:1 can't be pulled, as its registry can't be reached: ")
    assert early.cause.sentence.endswith(": dial tcp: lookup registry: no such host.")
    assert early.recheck_at == START + timedelta(seconds=601)
    assert late.verdict is Verdict.FAILED
    assert late.cause.sentence == early.cause.sentence


def test_try_and_back_off_tell_the_same_sentence(job: Any, pod: Any, waiting: Any, event: Any, judged: Any) -> None:
    events = [event("Failed", 'Failed to pull image "tool:1": x509: certificate signed by unknown authority')]
    tried = judged(job(), pod("Pending", waiting("ErrImagePull", "x509: cert...")), events=events)
    backed_off = judged(job(), pod("Pending", waiting("ImagePullBackOff", "Back-off")), events=events)

    assert tried.cause.sentence == backed_off.cause.sentence


def test_the_back_off_of_newer_clusters_carries_the_registrys_words(
    job: Any, pod: Any, waiting: Any, judged: Any
) -> None:
    message = 'Back-off pulling image "tool:1": ErrImagePull: rpc error: code = Unknown desc = TLS handshake timeout'

    assert (
        "can't be reached: TLS handshake timeout."
        in judged(job(), pod("Pending", waiting("ImagePullBackOff", message))).cause.sentence
    )


def test_a_crash_loop_is_left_to_the_jobs_own_limit(job: Any, pod: Any, waiting: Any, ended: Any, judged: Any) -> None:
    made = pod("Running", waiting("CrashLoopBackOff", "back-off 5m0s"), last_state=ended(3))
    found = judged(job(), made, after=100_000)

    assert (found.verdict, found.cause.exit_code, found.recheck_at) == (Verdict.WAITING, 3, None)


def _unscheduled(pod: Any, message: str, reason: str = "Unschedulable") -> Any:
    entry = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-03-04T10:00:02Z",
    }
    return pod("Pending", conditions=[entry], node=None)


def test_an_unschedulable_pod_waits_in_the_schedulers_words(job: Any, pod: Any, judged: Any) -> None:
    made = _unscheduled(pod, "0/3 nodes are available: 1 node(s) had untolerated taint, 2 Insufficient memory.")
    early, late = judged(job(), made, after=60), judged(job(), made, after=603)

    assert early.verdict is Verdict.WAITING
    assert early.cause.category is Category.RESOURCES
    assert "0/3 nodes are available: 1 node(s) had untolerated taint, 2 Insufficient memory." in early.cause.sentence
    assert early.recheck_at == START + timedelta(seconds=602)
    assert late.verdict is Verdict.FAILED


def test_a_moment_without_a_node_is_not_worth_a_word(job: Any, pod: Any, judged: Any) -> None:
    found = judged(job(), _unscheduled(pod, "0/3 nodes are available: 3 Insufficient cpu."), after=5)

    assert (found.verdict, found.recheck_at) == (Verdict.RUNNING, START + timedelta(seconds=12))


def test_a_pod_held_back_on_purpose_waits_without_end(job: Any, pod: Any, judged: Any) -> None:
    found = judged(job(), _unscheduled(pod, "waiting for gates", "SchedulingGated"), after=100_000)

    assert (found.verdict, found.recheck_at) == (Verdict.WAITING, None)


def test_a_suspended_job_waits_without_end(job: Any, judged: Any) -> None:
    found = judged(job(suspend=True), after=100_000)

    assert found.verdict is Verdict.WAITING
    assert "suspended" in found.cause.sentence


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])
def test_a_pod_that_cannot_be_set_up_says_why(job: Any, pod: Any, event: Any, judged: Any, reason: str) -> None:
    events = [event(reason, 'MountVolume.SetUp failed for volume "c" : configmap "stage-data-42-ada" not found')]
    early, late = (judged(job(), pod("Pending", CREATING), events=events, after=t) for t in (60, 602))

    assert (early.verdict, late.verdict) == (Verdict.WAITING, Verdict.FAILED)
    assert early.cause.category is Category.INFRASTRUCTURE
    assert 'configmap "stage-data-42-ada" not found' in early.cause.sentence


def test_trouble_that_is_over_is_not_told(job: Any, pod: Any, event: Any, judged: Any) -> None:
    events = [event("FailedMount", "timed out waiting for the condition")]

    assert judged(job(), pod("Running", {"running": {}}), events=events).verdict is Verdict.RUNNING


def test_events_of_other_objects_are_not_taken_for_ones_own(job: Any, pod: Any, event: Any, judged: Any) -> None:
    events = [event("FailedMount", "of another pod", about="other-uid")]

    assert judged(job(), pod("Pending", CREATING), events=events).verdict is Verdict.RUNNING


QUOTA = (
    'Error creating: pods "run-workflow-42-ada-abc" is forbidden: exceeded quota: compute, '
    "requested: requests.memory=2Gi, used: requests.memory=7Gi, limited: requests.memory=8Gi"
)


def test_a_job_without_pods_is_noticed_and_then_failed(job: Any, judged: Any) -> None:
    assert judged(job(), after=1).verdict is Verdict.RUNNING
    assert judged(job(), after=11).verdict is Verdict.WAITING
    late = judged(job(), after=600)
    assert (late.verdict, late.cause.category) == (Verdict.FAILED, Category.INFRASTRUCTURE)
    assert "has made no pod" in late.cause.sentence


def test_a_pod_that_no_scheduler_looks_at_is_failed_in_the_end(job: Any, pod: Any, judged: Any) -> None:
    late = judged(job(), pod("Pending", node=None), after=601)

    assert (late.verdict, late.cause.category) == (Verdict.FAILED, Category.INFRASTRUCTURE)


def test_a_pod_whose_node_never_confirms_its_deletion_is_failed_in_the_end(job: Any, pod: Any, judged: Any) -> None:
    made = pod("Running", {"running": {}}, metadata={"deletionTimestamp": "2026-03-04T10:05:00Z"})

    assert judged(job(), made, after=301).verdict is Verdict.RUNNING
    late = judged(job(), made, after=900)
    assert (late.verdict, late.cause.category) == (Verdict.FAILED, Category.INFRASTRUCTURE)
    assert "node-7 does not confirm it" in late.cause.sentence


def test_a_job_being_deleted_is_left_alone(job: Any, judged: Any) -> None:
    made = job()
    made["metadata"]["deletionTimestamp"] = "2026-03-04T10:00:30Z"

    assert judged(made, after=100_000).verdict is Verdict.RUNNING


def test_a_job_about_to_fail_waits_for_its_pods_but_not_for_ever(job: Any, pod: Any, ended: Any, judged: Any) -> None:
    made = job({"type": "FailureTarget", "lastTransitionTime": "2026-03-04T10:01:00Z"})

    assert judged(made, pod("Failed", ended(3)), after=61).verdict is Verdict.RUNNING
    late = judged(made, pod("Failed", ended(3)), after=661)
    assert (late.verdict, late.cause.exit_code) == (Verdict.FAILED, 3)


def test_a_job_about_to_complete_is_running(job: Any, judged: Any) -> None:
    assert judged(job({"type": "SuccessCriteriaMet"}), after=100_000).verdict is Verdict.RUNNING


@pytest.mark.parametrize("count", ["active", "failed", "terminating"])
def test_a_job_whose_pod_has_just_gone_is_not_taken_for_one_that_never_had_any(
    job: Any, judged: Any, count: str
) -> None:
    made = job()
    made["status"][count] = 1

    assert judged(made, after=100_000).verdict is Verdict.RUNNING


def test_one_pod_at_work_is_enough(job: Any, pod: Any, judged: Any) -> None:
    stuck = _unscheduled(pod, "0/3 nodes are available: 3 Insufficient cpu.")
    stuck["metadata"].update(uid="stuck", creationTimestamp="2026-03-04T10:00:09Z")

    assert judged(job(), pod("Running", {"running": {}}), stuck, after=100_000).verdict is Verdict.RUNNING
    assert judged(job(), pod("Succeeded"), stuck, after=100_000).verdict is Verdict.FAILED


def test_the_sentence_stays_the_same_at_each_try(job: Any, pod: Any, event: Any, judged: Any) -> None:
    def refused(name: str) -> str:
        message = f'Error creating: pods "{name}" is forbidden: exceeded quota: q, requested: pods=1, limited: pods=0'
        found = judged(job(), events=[event("FailedCreate", message, about="job-uid")])
        return str(found.cause.sentence)

    def without_network(sandbox: str) -> str:
        message = f'rpc error: code = Unknown desc = failed to setup network for sandbox "{sandbox}": no addresses'
        found = judged(job(), pod("Pending", CREATING), events=[event("FailedCreatePodSandBox", message)])
        return str(found.cause.sentence)

    assert refused("stage-data-1-xg5dx") == refused("stage-data-1-zrm45")
    assert without_network("0d2f" * 16) == without_network("9b1d" * 16)
