"""A Job that has failed: the cause in words, and whose move it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.k8s.diagnosis import Verdict
from lando.runs import Category

NAME = "run-workflow-42-ada"
POD = f"{NAME}-x7k2p"


def test_a_complete_job_needs_no_cause(job: Any, pod: Any, judged: Any) -> None:
    found = judged(job({"type": "SuccessCriteriaMet"}, {"type": "Complete"}), pod("Succeeded"))

    assert (found.verdict, found.cause, found.recheck_at) == (Verdict.COMPLETE, None, None)


def test_complete_wins_over_failed(job: Any, judged: Any) -> None:
    assert judged(job({"type": "Failed"}, {"type": "Complete"})).verdict is Verdict.COMPLETE


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_condition_that_is_not_true_says_nothing(job: Any, pod: Any, judged: Any, status: str) -> None:
    made = job({"type": "Failed", "status": status}, {"type": "Complete", "status": status})

    assert judged(made, pod()).verdict is Verdict.RUNNING


def test_an_exit_code_is_named_and_the_log_kept(failed_job: Any, pod: Any, ended: Any, judged: Any) -> None:
    found = judged(failed_job, pod("Failed", ended(3)), log="line 1\nno such sample")

    assert found.verdict is Verdict.FAILED
    assert found.cause.category is Category.USER
    assert found.cause.sentence == f"The program of container {NAME} ended with exit code 3."
    assert found.cause.exit_code == 3
    assert found.cause.log_tail == "line 1\nno such sample"


def test_what_the_step_says_itself_comes_before_a_bare_exit_code(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    told = {"category": "user", "sentence": "The input a.fastq answers 404.", "advice": "Check its address."}
    cause = judged(failed_job, pod("Failed", ended(1, message=json.dumps({"cause": told})))).cause

    assert (cause.category, cause.sentence, cause.advice) == (
        Category.USER,
        "The input a.fastq answers 404.",
        "Check its address.",
    )
    assert cause.exit_code == 1


@pytest.mark.parametrize(
    "message",
    [
        "plain words",
        "{broken",
        "[]",
        '{"cause": "text"}',
        '{"cause": {"sentence": " "}}',
        '{"cause": {"sentence": 5}}',
        '{"project_id": "p"}',
    ],
)
def test_a_termination_message_of_another_form_is_no_cause(
    failed_job: Any, pod: Any, ended: Any, judged: Any, message: str
) -> None:
    assert "exit code 1" in judged(failed_job, pod("Failed", ended(1, message=message))).cause.sentence


def test_an_unknown_category_in_a_termination_message_counts_as_users(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    message = json.dumps({"cause": {"category": "weather", "sentence": "It rains."}})
    cause = judged(failed_job, pod("Failed", ended(1, message=message))).cause

    assert (cause.category, cause.sentence) == (Category.USER, "It rains.")


def test_running_out_of_memory_comes_before_what_the_step_said(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    message = json.dumps({"cause": {"category": "user", "sentence": "Interrupted."}})

    assert judged(failed_job, pod("Failed", ended(137, "OOMKilled", message))).cause.category is Category.RESOURCES


def test_memory_that_ran_out_is_told_with_the_limit_the_peak_and_what_to_raise(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    message = json.dumps({"memory": {"peak": 1052266987, "largest": "sort", "largest_bytes": 765460480}}).ljust(256)
    killed = pod("Failed", ended(137, "OOMKilled", message), resources={"limits": {"memory": "1Gi"}})
    killed["metadata"]["labels"] = {"bespin-job": "true", "bespin-job-id": "42", "bespin-job-step": "run_workflow"}
    cause = judged(failed_job, killed).cause

    assert cause.sentence == (
        "Container run-workflow-42-ada was ended for using more memory than its limit of 1Gi; the most that "
        "was measured before is 1004Mi, of which sort held 730Mi."
    )
    assert cause.advice == "Raise steps.run_workflow.limits.memory, or make the step need less."


@pytest.mark.parametrize(
    "told", [{"peak": "much"}, {"peak": -1}, {"peak": 10**400}, {"largest": "sort", "largest_bytes": 1}, [1], None]
)
def test_a_peak_that_is_none_is_left_out(failed_job: Any, pod: Any, ended: Any, judged: Any, told: Any) -> None:
    killed = pod(
        "Failed", ended(137, "OOMKilled", json.dumps({"memory": told})), resources={"limits": {"memory": "1Gi"}}
    )

    assert judged(failed_job, killed).cause.sentence.endswith("than its limit of 1Gi.")


def test_a_disruption_that_was_called_off_is_none(failed_job: Any, pod: Any, ended: Any, judged: Any) -> None:
    entry = {"type": "DisruptionTarget", "status": "False", "reason": "PreemptionByScheduler"}

    assert judged(failed_job, pod("Failed", ended(3), conditions=[entry])).cause.category is Category.USER


def test_a_jobs_deadline_is_named(job: Any, judged: Any) -> None:
    failed = job(
        {"type": "Failed", "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"},
        activeDeadlineSeconds=3600,
    )
    cause = judged(failed).cause

    assert cause.category is Category.RESOURCES
    assert cause.sentence == "The step ran longer than its deadline of 3600 s."
    assert "deadline_s" in cause.advice


def test_a_deadline_does_not_hide_what_kept_the_step_from_starting(
    job: Any, pod: Any, waiting: Any, judged: Any
) -> None:
    failed = job({"type": "Failed", "reason": "DeadlineExceeded"}, activeDeadlineSeconds=60)
    removed = {"deletionTimestamp": "2026-03-04T10:01:00Z"}  # as the Job's controller does at its deadline
    cause = judged(failed, pod("Pending", waiting("ImagePullBackOff", "no such host"), metadata=removed)).cause

    assert cause.category is Category.IMAGE
    assert "deadline of 60 s passed before it could start. The image tool:1 can't be pulled" in cause.sentence


def test_a_deadline_of_a_step_at_work_is_a_deadline(job: Any, pod: Any, judged: Any) -> None:
    failed = job({"type": "Failed", "reason": "DeadlineExceeded"}, activeDeadlineSeconds=60)
    made = pod("Running", {"running": {}}, metadata={"deletionTimestamp": "2026-03-04T10:01:00Z"})

    assert judged(failed, made).cause.sentence == "The step ran longer than its deadline of 60 s."


@pytest.mark.parametrize("code", [137, 143])
def test_a_pod_deleted_by_hand_is_infrastructure(failed_job: Any, pod: Any, ended: Any, judged: Any, code: int) -> None:
    made = pod("Failed", ended(code), metadata={"deletionTimestamp": "2026-03-04T10:00:30Z"})
    cause = judged(failed_job, made).cause

    assert cause.category is Category.INFRASTRUCTURE
    assert "was deleted from outside while its step ran" in cause.sentence


def test_a_pod_deleted_by_hand_is_infrastructure_even_if_its_program_came_to_a_good_end(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    made = pod("Succeeded", ended(0), metadata={"deletionTimestamp": "2026-03-04T10:00:30Z"})

    assert judged(failed_job, made).cause.category is Category.INFRASTRUCTURE


def test_a_pod_deleted_after_its_program_failed_keeps_the_programs_failure(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    made = pod("Failed", ended(3), metadata={"deletionTimestamp": "2026-03-04T10:00:30Z"})

    assert judged(failed_job, made).cause.exit_code == 3


def test_a_failed_job_whose_pod_is_gone_says_so(failed_job: Any, judged: Any) -> None:
    cause = judged(failed_job).cause

    assert cause.category is Category.INFRASTRUCTURE
    assert f"The pod of Job {NAME} is gone" in cause.sentence


def test_the_pod_that_failed_is_blamed_and_not_those_deleted_with_it(
    failed_job: Any, pod: Any, ended: Any, judged: Any
) -> None:
    culprit = pod("Failed", ended(7), created=1)
    bystander = pod("Failed", ended(143), created=2, metadata={"uid": "b", "deletionTimestamp": "2026-03-04T10:01:00Z"})

    assert judged(failed_job, bystander, culprit).cause.exit_code == 7


def test_of_several_attempts_the_last_is_told(failed_job: Any, pod: Any, ended: Any, judged: Any) -> None:
    assert judged(failed_job, pod("Failed", ended(1)), pod("Failed", ended(2), created=30)).cause.exit_code == 2


def test_a_job_that_failed_without_reason_still_gets_a_sentence(job: Any, pod: Any, judged: Any) -> None:
    failed = job({"type": "Failed", "reason": "PodFailurePolicy", "message": "exit code 42 matched FailJob rule"})

    assert "exit code 42 matched FailJob rule" in judged(failed, pod("Failed")).cause.sentence
    assert judged(job({"type": "Failed"}), pod("Failed")).cause.sentence.endswith("the cluster gives no reason.")


def test_an_init_container_that_failed_is_named(failed_job: Any, pod: Any, ended: Any, judged: Any) -> None:
    made = pod("Failed", {"waiting": {"reason": "PodInitializing"}})
    made["spec"]["initContainers"] = [{"name": "prepare", "image": "tool:1"}]
    made["status"]["initContainerStatuses"] = [{"name": "prepare", "state": ended(5)}]

    assert "container prepare ended with exit code 5" in judged(failed_job, made).cause.sentence


@pytest.mark.parametrize("broken", [{}, {"metadata": None, "status": []}, {"status": {"conditions": "x"}}])
def test_odd_objects_are_no_reason_to_break(broken: Any, judged: Any) -> None:
    assert judged(broken, broken, events=[broken]).verdict in (Verdict.RUNNING, Verdict.WAITING)


@pytest.mark.parametrize(
    ("said", "orderly"),
    [
        ("Pod was terminated in response to imminent node shutdown.", True),
        ("Pod was terminated because its node stopped without warning.", False),
    ],
)
def test_only_a_node_s_orderly_stop_is_no_retry(
    failed_job: Any, pod: Any, ended: Any, judged: Any, said: str, orderly: bool
) -> None:
    lost = pod("Failed", ended(143))
    lost["status"] |= {"reason": "Terminated", "message": said}
    cause = judged(failed_job, lost).cause
    assert (cause.category, cause.interrupted) == (Category.INFRASTRUCTURE, orderly)
