"""What the watcher says of a Job, and how often."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.errors import NotFound, Rejected, Unavailable
from lando.k8s import watcher as watcher_module
from lando.k8s.reflector import ChangeType
from lando.messages import Command, codec
from lando.runs import CAUSE_TEXT_LIMIT


def ended(code: int, message: str | None = None) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message}}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def test_a_complete_job_is_told_once_with_its_termination_message(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job("Complete"))
    scene.sees(pod("Succeeded", ended(0, '{"project_id": "p", "readme_file_id": "r"}')))

    assert scene.looks() == [
        {
            "run": 42,
            "kind": "cwl",
            "step": "run_workflow",
            "job": "run-workflow-42-ada",
            "uid": "job-uid",
            "condition": "Complete",
            "termination_message": {"project_id": "p", "readme_file_id": "r"},
        }
    ]
    assert scene.looks() == []
    assert scene.cluster.asked == []  # nothing had to be read


def test_a_message_goes_to_the_configured_queue_with_the_forms_properties(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job("Complete"))
    scene.sees(pod("Succeeded", ended(0)))
    scene.looks()

    ((queue, body, content_type, message_id),) = scene.publisher.published
    assert (queue, content_type) == ("lando", "application/json")
    assert message_id == json.loads(body)["id"]


def test_a_failed_job_is_told_with_cause_exit_code_and_log(scene: Any, job: Any, pod: Any) -> None:
    scene.cluster.logs["p1"] = "tool 2 of 3\nno such sample\0\n"
    scene.sees(job("Failed"))
    scene.sees(pod("Failed", ended(3)))

    (said,) = scene.looks()
    assert (said["condition"], said["category"], said["exit_code"]) == ("Failed", "user", 3)
    assert said["cause"].startswith("The program of container main ended with exit code 3.")
    assert said["log_tail"] == "tool 2 of 3\nno such sample\N{REPLACEMENT CHARACTER}\n"
    assert scene.looks() == []


def test_a_message_stays_within_its_bound_however_much_was_logged(scene: Any, job: Any, pod: Any) -> None:
    scene.cluster.logs["p1"] = "ü" * 1_000_000
    scene.sees(job("Failed"))
    scene.sees(pod("Failed", ended(3, json.dumps({"cause": {"category": "user", "sentence": "s" * 4000}}))))
    scene.looks()

    ((_, body, _, _),) = scene.publisher.published
    assert len(body) < CAUSE_TEXT_LIMIT + 8 * 1024


def test_pods_are_read_anew_when_their_stream_is_behind(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job("Failed"))
    scene.sees(pod("Running"))
    scene.cluster.pods = [pod("Failed", ended(7))]

    (said,) = scene.looks()
    assert said["exit_code"] == 7
    assert scene.cluster.asked == ["list Pod controller-uid=job-uid", "log p1/main"]


def test_the_last_state_of_a_pod_that_is_gone_still_tells_why(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job())
    scene.sees(pod("Failed", ended(9)), ChangeType.DELETED)
    scene.sees(job("Failed"))
    scene.cluster.logs["p1"] = [NotFound("cluster", "no pod")]

    (said,) = scene.looks()
    assert said["exit_code"] == 9
    assert "log_tail" not in said


def test_a_pod_that_is_gone_holds_nothing_up(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job())
    gone = pod("Running")
    gone["metadata"]["deletionTimestamp"] = "2026-03-04T10:00:00Z"
    scene.sees(gone, ChangeType.DELETED)
    scene.sees(pod("Running", name="p2"))
    scene.passes(100_000)

    assert scene.looks() == []


def test_the_order_of_the_streams_does_not_matter(scene: Any, job: Any, pod: Any) -> None:
    assert scene.sees(pod("Failed", ended(3))) is None  # the Job is not known yet
    assert scene.looks() == []
    assert scene.sees(job("Failed")) == "job-uid"

    assert scene.looks()[0]["exit_code"] == 3


@pytest.mark.parametrize("error", [NotFound("cluster", "x"), Rejected("cluster", "container is waiting to start")])
def test_a_log_that_does_not_exist_is_simply_missing(scene: Any, job: Any, pod: Any, error: Any) -> None:
    scene.cluster.logs["p1"] = [error]
    scene.sees(job("Failed"))
    scene.sees(pod("Failed", ended(3)))

    (said,) = scene.looks()
    assert "log_tail" not in said
    assert scene.cluster.asked == ["log p1/main"]


def test_a_node_that_cannot_be_asked_for_its_log_does_not_hold_the_outcome_back(
    scene: Any, job: Any, pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "RETRY_S", (0.0, 0.0))
    scene.cluster.logs["p1"] = [Unavailable("cluster", "node is gone")]
    scene.sees(job("Failed"))
    scene.sees(pod("Failed", ended(3)))

    assert scene.looks()[0]["exit_code"] == 3
    assert scene.cluster.asked == ["log p1/main"] * watcher_module.LOG_TRIES


def test_what_the_broker_did_not_confirm_is_said_again(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job("Complete"))
    scene.sees(pod("Succeeded", ended(0)))
    scene.publisher.errors = [Unavailable("broker", "away")]

    with pytest.raises(Unavailable):
        scene.looks()
    assert [said["condition"] for said in scene.looks()] == ["Complete"]


def test_an_attempt_is_known_by_its_uid_and_not_its_name(scene: Any, job: Any, pod: Any) -> None:
    for uid, name in (("first", "p1"), ("second", "p2")):
        scene.sees(job("Failed", uid=uid))
        scene.sees(pod("Failed", ended(3), owner=uid, name=name))

    assert [said["uid"] for uid in ("first", "second") for said in scene.looks(uid)] == ["first", "second"]


def test_a_job_deleted_before_its_end_is_gone(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job())
    scene.sees(pod())
    assert scene.looks() == []
    scene.sees(job(), ChangeType.DELETED)

    (said,) = scene.looks()
    assert (said["condition"], said["category"]) == ("Gone", "infrastructure")
    assert "deleted before it had ended" in said["cause"]
    assert scene.looks() == []
    assert len(scene.watcher.sightings) == 0


def test_a_job_cleaned_up_after_its_end_is_not_gone(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job("Complete"))
    scene.sees(pod("Succeeded", ended(0)))
    scene.looks()
    scene.sees(job("Complete"), ChangeType.DELETED)

    assert scene.looks() == []
    assert len(scene.watcher.sightings) == 0


def test_a_job_that_ended_and_went_before_it_was_told_is_told_with_its_end(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job())
    scene.sees(pod("Failed", ended(3)))
    scene.sees(job("Failed"), ChangeType.DELETED)

    assert [said["condition"] for said in scene.looks()] == ["Failed"]


def test_a_gone_job_is_not_forgotten_before_the_broker_has_it(scene: Any, job: Any) -> None:
    scene.sees(job())
    scene.sees(job(), ChangeType.DELETED)
    scene.publisher.errors = [Unavailable("broker", "away")]

    with pytest.raises(Unavailable):
        scene.looks()
    assert [said["condition"] for said in scene.looks()] == ["Gone"]


def test_a_wait_is_told_when_its_sentence_changes_and_when_it_is_over(scene: Any, job: Any, pod: Any) -> None:
    scene.passes(60)
    scene.sees(job())
    scene.sees(pod("Pending", waits("CreateContainerConfigError", 'secret "a" not found')))
    (first,) = scene.looks()
    assert (first["condition"], first["category"]) == ("Waiting", "infrastructure")
    assert 'secret "a" not found' in first["cause"]
    assert scene.looks() == []

    scene.passes(60)
    scene.sees(pod("Pending", waits("CreateContainerConfigError", 'secret "b" not found')))
    assert 'secret "b" not found' in scene.looks()[0]["cause"]

    scene.sees(pod("Running"))
    (over,) = scene.looks()
    assert over["condition"] == "Waiting"
    assert "cause" not in over
    assert scene.looks() == []


def test_changing_sentences_are_not_told_faster_than_anyone_reads(scene: Any, job: Any, pod: Any) -> None:
    scene.passes(60)
    scene.sees(job())
    for n in range(5):
        scene.sees(pod("Pending", waits("CreateContainerError", f"try {n}")))
        said = scene.looks()
        assert len(said) == (1 if n == 0 else 0)
    assert scene.watcher.backlog() == 1  # to be looked at again in time
    scene.passes(watcher_module.WAIT_INTERVAL_S)
    assert "try 4" in scene.looks()[0]["cause"]


def test_a_wait_beyond_patience_is_a_failure(scene: Any, job: Any, pod: Any) -> None:
    scene.passes(60)
    scene.sees(job())
    scene.sees(pod("Pending", waits("CreateContainerConfigError", "no secret")))
    scene.looks()
    assert scene.watcher.backlog() == 1  # for when patience ends, without any event
    scene.passes(541)

    (said,) = scene.looks()
    assert said["condition"] == "Failed"
    assert scene.looks() == []


def test_a_warning_about_a_job_or_its_pod_makes_it_worth_a_look(scene: Any, job: Any, pod: Any) -> None:
    def warning(about: str, n: int) -> dict[str, Any]:
        return {"kind": "Event", "metadata": {"uid": f"e{n}", "name": "e"}, "involvedObject": {"uid": about}}

    scene.sees(job())
    scene.sees(pod())
    assert scene.sees(warning("job-uid", 1)) == "job-uid"
    assert scene.sees(warning("uid-p1", 2)) == "job-uid"
    assert scene.sees(warning("somebody-else", 3)) is None
    assert len(scene.watcher.sightings.of("job-uid").events) == 2
    scene.sees(warning("uid-p1", 2), ChangeType.DELETED)
    assert len(scene.watcher.sightings.of("job-uid").events) == 1


def test_a_quota_is_told_by_the_jobs_warning(scene: Any, job: Any) -> None:
    scene.passes(60)
    scene.sees(job())
    scene.sees(
        {
            "kind": "Event",
            "metadata": {"uid": "e", "name": "e"},
            "involvedObject": {"uid": "job-uid"},
            "reason": "FailedCreate",
            "message": 'Error creating: pods "x" is forbidden: exceeded quota: q',
            "firstTimestamp": "2026-03-04T10:00:01Z",
        }
    )

    (said,) = scene.looks()
    assert (said["condition"], said["category"]) == ("Waiting", "resources")


def test_a_step_type_nobody_knows_is_logged_once_and_left_alone(
    scene: Any, job: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scene.sees(job("Failed", step="make_tea"))
    assert scene.looks() + scene.looks() == []
    assert caplog.text.count("make_tea") == 1
    scene.sees(job("Failed", step="make_tea"), ChangeType.DELETED)
    assert scene.looks() == []
    assert len(scene.watcher.sightings) == 0


def test_jobs_without_our_labels_are_left_alone(scene: Any, job: Any) -> None:
    scene.sees(job("Failed", labels={"bespin-job": "true"}))
    assert scene.looks() == []


def test_runs_of_other_kinds_are_told_with_their_kind(scene: Any, job: Any) -> None:
    own = {"lando-run-id": "7", "lando-run-kind": "phases", "lando-run-step": "phase-2"}
    scene.sees(job("Complete", labels=own))

    (said,) = scene.looks()
    assert (said["run"], said["kind"], said["step"]) == (7, "phases", "phase-2")


def test_a_termination_message_that_is_no_json_never_stands_in_the_way(scene: Any, job: Any, pod: Any) -> None:
    for text in ('{"a": NaN}', "[" * 3000, "{" * 3000, '{"a": "\ud800"}'):
        made = job("Complete", uid=text[:9])
        scene.sees(made)
        scene.sees(pod("Succeeded", ended(0, text), owner=text[:9]))
        assert [said["condition"] for said in scene.looks(text[:9])] == ["Complete"]


# -- the legacy form -------------------------------------------------------------------------------------------------


def _legacy(scene: Any) -> list[Any]:
    return [codec.decode(body) for _, body, _, _ in scene.publisher.published]


def test_in_legacy_form_an_outcome_is_told_and_noted_on_the_job(scenes: Any, job: Any, pod: Any) -> None:
    scene = scenes("pickle")
    scene.cluster.logs["p1"] = "boom"
    scene.sees(job("Failed"))
    scene.sees(pod("Failed", ended(3)))
    scene.watcher.look("job-uid")
    scene.watcher.look("job-uid")

    (message,) = _legacy(scene)
    assert (message.command, message.run_id, message.evidence.step) == (Command.STEP_CHANGED, 42, "run_workflow")
    assert message.evidence.log_tail.startswith("The program of container main ended with exit code 3.")
    assert message.evidence.log_tail.endswith("boom")
    ((_, _, content_type, message_id),) = scene.publisher.published
    assert (content_type, message_id) == (None, None)
    assert scene.cluster.patches == [
        ("run-workflow-42-ada", {"metadata": {"uid": "job-uid", "annotations": {"lando.reported": "Failed"}}})
    ]


def test_in_legacy_form_what_an_earlier_watcher_noted_is_not_told_again(scenes: Any, job: Any) -> None:
    scene = scenes("pickle")
    scene.sees(job("Failed", annotations={"lando.reported": "Failed"}))
    scene.watcher.look("job-uid")

    assert scene.publisher.published == []


def test_in_json_form_an_outcome_is_told_again_after_a_restart(scene: Any, job: Any) -> None:
    scene.sees(job("Failed", annotations={"lando.reported": "Failed"}))

    assert [said["condition"] for said in scene.looks()] == ["Failed"]
    assert scene.cluster.patches == []


def test_in_legacy_form_waits_and_deletions_are_kept_silent(scenes: Any, job: Any, pod: Any) -> None:
    scene = scenes("pickle")
    scene.passes(60)
    scene.sees(job())
    scene.sees(pod("Pending", waits("CreateContainerConfigError", "no secret")))
    scene.watcher.look("job-uid")
    scene.sees(job(), ChangeType.DELETED)
    scene.watcher.look("job-uid")

    assert scene.publisher.published == []
    assert len(scene.watcher.sightings) == 0


@pytest.mark.parametrize("error", [Unavailable("cluster", "forbidden"), NotFound("cluster", "gone")])
def test_an_account_that_may_not_annotate_still_tells(scenes: Any, job: Any, error: Any) -> None:
    scene = scenes("pickle")
    scene.cluster.patch_error = error
    scene.sees(job("Failed"))
    scene.watcher.look("job-uid")
    scene.watcher.look("job-uid")

    assert len(scene.publisher.published) == 1


def test_a_wait_for_a_volume_is_told_in_the_words_of_its_claim(scene: Any, job: Any, pod: Any) -> None:
    stuck = pod("Pending")
    stuck["spec"].pop("nodeName", None)
    stuck["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "job-data-42-ada"}}]
    stuck["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}
    ]
    event = {
        "kind": "Event",
        "metadata": {"uid": "e1", "name": "e"},
        "involvedObject": {"kind": "PersistentVolumeClaim", "name": "job-data-42-ada", "uid": "c1"},
        "type": "Warning",
        "reason": "ProvisioningFailed",
        "message": "no capacity left",
    }
    scene.passes(60)
    assert scene.sees(event) is None  # its pod's own events make it worth a look
    scene.sees(job())
    scene.sees(stuck)

    (said,) = scene.looks()
    assert "The cluster can't provide volume job-data-42-ada: no capacity left." in said["cause"]
