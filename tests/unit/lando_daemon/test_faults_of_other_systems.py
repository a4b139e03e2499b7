"""What another system refuses or can't do never hides why a run failed, and never leaves it hanging."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.errors import QuotaExceeded, Rejected, Unavailable
from lando.k8s.patience import Patience
from lando.messages import Command, Condition

STAGE_JOB = "stage-data-42-ada"


def refuse(world: Any, verb: str, kind: str, error: Exception) -> None:
    def before(verb_: str, kind_: str, name: str) -> None:
        if (verb_, kind_) == (verb, kind):
            raise error

    world.cluster.before = before


def start_and_resync(world: Any, waiting: Callable[..., Any], **changes: Any) -> None:
    """Start the daemon and let it look at all runs, before there is one to look at."""
    resynced: list[str] = []
    world.admin.before = lambda method, path: resynced.append(path) if path == "jobs/" else None
    world.job["state"] = "N"
    world.start(**changes)
    waiting(lambda: resynced, "the resync")
    waiting(lambda: len(world.daemon._dispatcher) == 0, "its looks")
    world.job["state"] = "S"


def test_a_step_fails_with_its_cause_though_its_log_can_not_be_read(world: Any, waiting: Callable[..., Any]) -> None:
    start_and_resync(world, waiting)  # its look would come without the watcher's words
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    refuse(world, "log", "Pod", Unavailable("cluster", "the kubelet of the node does not answer", status=500))
    world.step_changed("stage_data", Condition.FAILED, log_tail="what the watcher has read of it")
    world.reach("E/S")
    world.settle()
    (error,) = world.admin.errors
    assert "3" in error["content"]
    assert "what the watcher has read of it" in error["content"]


@pytest.mark.parametrize(
    "refusal",
    [
        QuotaExceeded("cluster", "exceeded quota: configmaps", status=403),
        Rejected("cluster", "admission webhook denied the request", status=403),
    ],
)
def test_a_run_whose_record_can_not_be_made_ends_with_the_reason(world: Any, refusal: Exception) -> None:
    refuse(world, "create", "ConfigMap", refusal)
    world.start()
    world.send(Command.START)
    world.reach("E/")
    world.settle()
    (error,) = world.admin.errors
    assert str(refusal) in error["content"]


def test_the_category_of_a_cause_reaches_our_own_api_and_no_other(world: Any) -> None:
    world.start()
    world.job["generation"] = 1
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=137, reason="OOMKilled")
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()
    assert world.admin.errors[0]["category"] == "resources"
    del world.job["generation"]
    world.job["state"] = "r"
    world.send(Command.RESTART)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()
    assert "category" not in world.admin.errors[1]


def test_a_job_with_an_unreadable_time_is_run_all_the_same(world: Any) -> None:
    world.start()
    world.job["last_updated"] = "yesterday"
    world.send(Command.START)
    world.reach("R/S")


def test_a_daemon_that_may_not_act_asks_nobody(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    asked: list[str] = []
    world.admin.before = lambda method, path: asked.append(path)
    world.daemon._halted.set()
    world.daemon._dispatcher.look(42)
    waiting(lambda: len(world.daemon._dispatcher) == 1, "the look to be put off")
    assert asked == []


def test_health_tells_what_is_waited_for(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    waiting(lambda: world.daemon.waits_for() is None, "being active")
    refuse(world, "list", "Job", Unavailable("cluster", "list Job: Unauthorized", status=401))
    world.send(Command.START)
    assert "Unauthorized" in waiting(world.daemon.waits_for, "the reason of the pause")
    assert world.daemon.wrong() is None
    world.cluster.before = lambda *_: None
    world.reach("R/S")
    waiting(lambda: world.daemon.waits_for() is None, "all is well again")


def test_a_sentence_shown_before_a_restart_of_the_daemon_is_taken_back(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.stop()
    world.start()
    told: list[str | None] = []
    world.source.set_condition = lambda run, step, sentence: told.append(sentence)
    world.step_changed("stage_data", Condition.WAITING)
    waiting(lambda: told == [None], "the sentence to be taken back")


def test_a_run_that_could_not_even_be_ended_is_come_back_to(
    world: Any, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lando.k8s.lando.SUSPECT_AFTER", 0)
    start_and_resync(world, waiting, resync_s=1)
    refuse(world, "list", "PersistentVolumeClaim", Unavailable("cluster", "no right to list them", status=403))
    world.send(Command.START)
    waiting(lambda: world.broker.dead("lando"), "the message with the dead")
    assert world.at == "S/"
    world.cluster.before = lambda *_: None
    world.reach("R/S")


def test_what_keeps_several_runs_from_going_on_ends_none_of_them(
    world: Any, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a webhook of the cluster that is down for an hour, while all else of it answers."""
    monkeypatch.setattr("lando.k8s.lando.SUSPECT_AFTER", 1)
    other = copy.deepcopy(world.job)
    other |= {"id": 43, "output_project": {**other["output_project"], "id": 20, "job": 43}}
    world.admin.jobs[43] = other
    world.start()
    told: list[str | None] = []
    world.source.set_condition = lambda run, step, sentence: told.append(sentence)
    refuse(world, "create", "ConfigMap", Unavailable("cluster", "failed calling webhook", status=500))
    for run_id in (42, 43):
        world.send(Command.START, run_id=run_id)
    waiting(lambda: len(told) > 3, "sentences")
    assert {job["state"] for job in world.admin.jobs.values()} == {"S"}
    assert all(sentence and sentence.endswith("failed calling webhook") for sentence in told)
    world.cluster.before = lambda *_: None
    waiting(lambda: {job["state"] for job in world.admin.jobs.values()} == {"R"}, "both to go on")
    assert world.broker.dead("lando") == []
    assert world.admin.errors == []


def let_its_pod_wait(world: Any) -> None:
    """No node has room for it, and that since it was made, months ago."""
    with world.cluster.changed:
        pod = world.cluster.pod(STAGE_JOB)
        pod["spec"].pop("nodeName", None)
        said = {"status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
        condition = {"type": "PodScheduled", **said, "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
        pod["status"] = {"phase": "Pending", "conditions": [condition]}


def test_what_waited_while_nobody_was_there_has_all_its_patience(world: Any, waiting: Callable[..., Any]) -> None:
    world.start(patience_s=600)
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.stop()
    let_its_pod_wait(world)
    world.start()
    told: list[str | None] = []
    world.source.set_condition = lambda run, step, sentence: told.append(sentence)
    world.step_changed("stage_data", Condition.WAITING)
    waiting(lambda: told, "the sentence")
    world.settle()
    assert world.at == "R/S"
    assert world.cluster.has_job(STAGE_JOB, attempt=1)


def test_patience_begins_anew_after_a_sleep_and_after_an_outage() -> None:
    now, monotonic = datetime(2026, 3, 4, tzinfo=UTC), 100.0
    patience = Patience(monotonic=lambda: monotonic)
    began = patience.since(now)
    assert began == now
    now, monotonic = now + timedelta(minutes=5), monotonic + 300
    assert patience.since(now) == began
    now += timedelta(hours=8)  # the machine slept: its monotonic clock stood still
    assert patience.since(now) == now
    woken, now, monotonic = now, now + timedelta(minutes=5), monotonic + 300
    assert patience.since(now) == woken
    patience.begin_anew()
    assert patience.since(now) == now


def test_an_outage_of_the_cluster_does_not_use_up_patience(world: Any, waiting: Callable[..., Any]) -> None:
    world.start(patience_s=600)
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    let_its_pod_wait(world)
    world.daemon._patience._since = datetime(2026, 3, 4, tzinfo=UTC)  # the daemon has been there all the time
    refuse(world, "list", "Pod", Unavailable("cluster", "away"))
    world.daemon.probe = world.daemon._outage._probe = lambda: world.cluster.list("Pod")
    world.step_changed("stage_data", Condition.WAITING)
    waiting(lambda: world.daemon.waits_for(), "the pause")
    world.cluster.before = lambda *_: None
    waiting(lambda: world.daemon.waits_for() is None, "the end of the pause")
    world.settle()
    assert world.at == "R/S"
    assert world.cluster.has_job(STAGE_JOB, attempt=1)


def test_a_failure_that_was_told_costs_one_read_of_the_cluster_at_each_look(
    world: Any, waiting: Callable[..., Any]
) -> None:
    start_and_resync(world, waiting)
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()
    world.cluster.calls.clear()
    world.daemon._dispatcher.look(42)
    waiting(lambda: world.cluster.calls, "the look")
    waiting(lambda: len(world.daemon._dispatcher) == 0, "its end")
    assert world.cluster.calls == [("get", "ConfigMap", "lando-run-42")]
    assert len(world.admin.errors) == 1


def test_what_a_failure_was_read_from_is_kept_with_its_attempt(world: Any) -> None:
    world.start(infrastructure_retries=1)
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=137, reason="Evicted")
    world.step_changed("stage_data", Condition.FAILED)
    world.settle()
    world.cluster.finish(STAGE_JOB, exit_code=3)
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()

    first, second = (world.archive.evidence[42, "stage_data", attempt] for attempt in (1, 2))
    assert (first["verdict"], first["rule"]["name"]) == ("Failed", "evicted")
    assert (second["verdict"], second["rule"]["name"]) == ("Failed", "exit-code")
    assert second["pods"][0]["containers"][0]["state"]["terminated"]["exitCode"] == 3


def test_what_a_wait_was_read_from_is_kept_with_the_words_of_its_claim(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    with world.cluster.changed:
        pod = world.cluster.pod(STAGE_JOB)
        del pod["spec"]["nodeName"]
        pod["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "job-data-42-ada"}}]
        said = {
            "status": "False",
            "reason": "Unschedulable",
            "message": "pod has unbound immediate PersistentVolumeClaims",
            "lastTransitionTime": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        }
        pod["status"] = {"phase": "Pending", "conditions": [{"type": "PodScheduled", **said}]}
        claim = {"kind": "PersistentVolumeClaim", "name": "job-data-42-ada", "uid": "c"}
        event = {"involvedObject": claim, "reason": "ProvisioningFailed", "message": "no capacity left"}
        world.cluster.objects["Event", "e"] = {"kind": "Event", "metadata": {"name": "e", "uid": "e"}, **event}
    world.step_changed("stage_data", Condition.WAITING)

    waiting(lambda: world.archive.evidence, "the evidence")
    kept = world.archive.evidence[42, "stage_data", 1]
    assert (kept["verdict"], kept["rule"]["name"]) == ("Waiting", "claim-not-provisioned")
    assert [one["message"] for one in kept["events"]] == ["no capacity left"]
