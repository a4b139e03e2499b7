from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lando.errors import Conflict, QuotaExceeded, Unavailable
from lando.messages import Command, Condition, Message, codec
from lando.queues import ladder

STEPS = {"S": "stage_data", "R": "run_workflow", "o": "organize_output", "O": "save_output"}
JOBS = {
    "S": "stage-data-42-ada",
    "R": "run-workflow-42-ada",
    "o": "organize-output-42-ada",
    "O": "save-output-42-ada",
}


def go_to(world: Any, letter: str) -> None:
    """Start the run and bring it to the step of ``letter``."""
    world.send(Command.START)
    for at, step in STEPS.items():
        if at == letter:
            break
        world.complete(at, step)
    world.reach(f"R/{letter}")
    world.settle()


def test_a_repeated_start_leaves_one_set_of_objects(world: Any) -> None:
    world.start()
    for _ in range(3):
        world.send(Command.START)
    world.reach("R/S")
    world.settle()
    assert world.cluster.names("Job") == ["stage-data-42-ada"]
    assert [call for call in world.cluster.calls if call[:2] == ("create", "Job")] == [
        ("create", "Job", "stage-data-42-ada")
    ]


def test_an_api_that_takes_its_time_makes_nothing_be_done_twice(world: Any, waiting: Callable[..., Any]) -> None:
    """While a change is on its way, and while its answer is, everything is said again and looked at again."""

    def done() -> tuple[list[Any], list[Any]]:
        world.start()
        world.send(Command.START)
        world.run_to_the_end()
        world.reach("F/")
        world.settle()
        world.stop()
        return world.admin.writes, [call for call in world.cluster.calls if call[0] in ("create", "delete")]

    undisturbed = done()
    world.__init__()
    repeated = 0

    def meanwhile(*_: Any) -> None:
        nonlocal repeated
        for step in STEPS.values():
            world.step_changed(step)
        world.send(Command.START)
        world.daemon._dispatcher.look(42)
        waiting(lambda: len(world.daemon._dispatcher) > 0, "something that waits for this request")
        repeated += 1

    world.admin.before = lambda method, path: meanwhile() if method == "PUT" else None
    world.admin.after_put = meanwhile
    slow = done()
    assert repeated > len(undisturbed[0])
    assert slow[0] == undisturbed[0]
    assert sorted(slow[1]) == sorted(undisturbed[1])


def test_a_late_error_report_changes_nothing(world: Any) -> None:
    world.start()
    go_to(world, "R")
    world.step_changed("stage_data", Condition.FAILED, cause="late")
    world.settle()
    assert world.at == "R/R"
    assert world.admin.errors == []


def test_a_report_about_a_finished_run_changes_nothing(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    world.step_changed("stage_data", Condition.FAILED, cause="late")
    world.settle()
    assert world.at == "F/"
    assert world.admin.errors == []


@pytest.mark.parametrize("letter", list(STEPS))
def test_a_failed_step_tells_its_cause_and_log_and_keeps_its_objects(world: Any, letter: str) -> None:
    world.start()
    go_to(world, letter)
    world.cluster.finish(JOBS[letter], exit_code=3)
    world.step_changed(STEPS[letter], Condition.FAILED)
    world.reach(f"E/{letter}")
    world.settle()
    (error,) = world.admin.errors
    assert error["job_step"] == letter
    assert "3" in error["content"]
    assert "log of" in error["content"]
    assert JOBS[letter] in world.cluster.names("Job")


@pytest.mark.parametrize("letter", list(STEPS))
def test_a_restarted_step_is_a_new_attempt_of_that_step_alone(world: Any, letter: str) -> None:
    world.start()
    go_to(world, letter)
    world.cluster.finish(JOBS[letter], exit_code=3)
    world.step_changed(STEPS[letter], Condition.FAILED)
    world.reach(f"E/{letter}")
    world.job["state"] = "r"
    world.send(Command.RESTART)
    world.reach(f"R/{letter}")
    world.settle()
    assert world.cluster.has_job(JOBS[letter], attempt=2)
    assert world.cluster.names("Job") == [JOBS[letter]]
    for at in list(STEPS)[list(STEPS).index(letter) : -1]:
        world.complete(at, STEPS[at])
    world.complete("O", "save_output", {"project_id": "p-1", "readme_file_id": "r-1"})
    world.reach("F/")


def test_a_cancel_removes_everything_before_it_says_canceled(world: Any) -> None:
    world.start()
    go_to(world, "R")
    left: list[str] = []
    world.admin.after_put = lambda job: left.extend(
        world.cluster.names("Job", "PersistentVolumeClaim") if job["state"] == "C" else []
    )
    world.job["state"] = "c"
    world.send(Command.CANCEL)
    world.reach("C/")
    world.settle()
    assert left == []
    assert world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim", "Pod") == []
    assert world.admin.writes[-1] == ("PUT jobs", {"state": "C", "step": ""})


def test_a_canceled_run_restarted_by_a_direct_message_starts_from_the_beginning(world: Any) -> None:
    world.start()
    go_to(world, "R")
    world.job["state"] = "c"
    world.send(Command.CANCEL)
    world.reach("C/")
    world.send(Command.RESTART)
    world.reach("R/S")
    world.settle()
    world.run_to_the_end()
    world.reach("F/")


@pytest.mark.parametrize(
    "headers", [{ladder.FAILURES: 1}, ladder.again({ladder.LAST_REASON: "no"})], ids=["the ladder", "the dead letters"]
)
def test_a_cancel_that_comes_late_from_elsewhere_leaves_the_restarted_run_alone(
    world: Any, headers: dict[str, Any]
) -> None:
    """A legacy cancel, which does not say of which life of the run it is."""
    cancel = codec.encode(Message(command=Command.CANCEL, run_id=42), "pickle")
    world.start()
    go_to(world, "R")
    world.broker.publish("lando", cancel, content_type=None, message_id=None, headers=headers)
    world.settle()
    assert world.at == "R/R"
    assert world.cluster.has_job(JOBS["R"], attempt=1)
    world.job["state"] = "c"  # the API says that it is wanted
    world.broker.publish("lando", cancel, content_type=None, message_id=None, headers=headers)
    world.reach("C/")


def test_a_cancel_that_somebody_publishes_directly_counts_though_the_api_does_not_know(world: Any) -> None:
    world.start()
    go_to(world, "R")
    world.broker.publisher().publish("lando", codec.encode(Message(command=Command.CANCEL, run_id=42), "pickle"))
    world.reach("C/")


def test_a_restart_waits_for_the_pods_of_the_former_attempt(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    go_to(world, "R")
    world.cluster.pods_linger = True
    pod = world.cluster.pod(JOBS["R"])
    world.cluster.delete("Job", JOBS["R"])
    assert ("Pod", pod["metadata"]["name"]) in world.cluster.objects
    world.step_changed("run_workflow", Condition.GONE)
    waiting(lambda: ("watch", "Pod", "") in world.cluster.calls, "the daemon to wait for the pod")
    assert not world.cluster.has_job(JOBS["R"])
    world.cluster.end_pods()
    waiting(lambda: world.cluster.has_job(JOBS["R"], attempt=2), "the second attempt")


def test_a_run_that_waits_for_the_pods_of_a_former_attempt_says_so(
    world: Any, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lando.k8s.perform.GONE_WAIT_S", 0.01)
    monkeypatch.setattr("lando.k8s.lando.LOOK_AGAIN_S", 0.01)
    world.start()
    go_to(world, "R")
    told: list[str | None] = []
    world.source.set_condition = lambda run, step, sentence: told.append(sentence)
    world.cluster.pods_linger = True
    pod = world.cluster.pod(JOBS["R"])["metadata"]["name"]
    world.cluster.delete("Job", JOBS["R"])
    world.daemon._dispatcher.look(42)
    waiting(lambda: told, "a sentence")
    assert told[0] is not None
    assert told[0].startswith(f"Pod {pod} of a former attempt is still going; ")
    world.cluster.end_pods()
    waiting(lambda: world.cluster.has_job(JOBS["R"], attempt=2), "the second attempt")
    assert len([one for one in told if one == told[0]]) == 1


def test_what_the_cluster_lost_is_done_again_up_to_the_limit(world: Any, waiting: Callable[..., Any]) -> None:
    world.start(infrastructure_retries=2)
    go_to(world, "R")
    for attempt in (1, 2, 3):
        waiting(lambda attempt=attempt: world.cluster.has_job(JOBS["R"], attempt=attempt), f"attempt {attempt}")
        world.settle()
        world.cluster.finish(JOBS["R"], exit_code=137, reason="Evicted")
        world.step_changed("run_workflow", Condition.FAILED)
    world.reach("E/R")
    assert len(world.admin.errors) == 1


@pytest.mark.parametrize("letter", ["", *STEPS])
def test_a_daemon_killed_between_any_two_effects_goes_on_where_it_was(
    world: Any, waiting: Callable[..., Any], letter: str
) -> None:
    """At each effect in turn the daemon loses its peers for ever; the next daemon finishes the run."""

    class KilledError(Exception):
        pass

    effects = 0
    dead = False

    def cluster_call(verb: str, kind: str, name: str) -> None:
        nonlocal effects
        if dead:
            raise KilledError
        if verb in ("create", "patch", "delete"):
            effects += 1
            kill_if_due()

    def api_call(method: str, path: str) -> None:
        nonlocal effects
        if dead:
            raise KilledError
        if method != "GET":
            effects += 1
            kill_if_due()

    def kill_if_due() -> None:
        nonlocal dead
        if effects == kill_at:
            dead = True
            raise KilledError

    for kill_at in range(1, 9):
        world.__init__()
        world.start()
        if letter:
            go_to(world, letter)
            world.cluster.finish(JOBS[letter], message={"project_id": "p", "readme_file_id": "r"})
        effects, dead = 0, False
        world.cluster.before, world.admin.before = cluster_call, api_call
        if letter:
            world.step_changed(STEPS[letter])
        else:
            world.send(Command.START)
        world.settle()
        world.stop()
        world.cluster.before, world.admin.before = lambda *_: None, lambda *_: None
        world.start()
        letters = list(STEPS)
        for at in letters[letters.index(letter) + 1 if letter else 0 :]:
            world.complete(at, STEPS[at], {"project_id": "p", "readme_file_id": "r"})
        world.reach("F/")
        waiting(
            lambda: world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim") == [],
            f"a clean cluster after a kill at effect {kill_at}",
        )
        created = [name for verb, kind, name in world.cluster.calls if (verb, kind) == ("create", "Job")]
        assert len(set(created)) == 4
        world.stop()


def test_an_outage_costs_no_attempt_and_the_daemon_goes_on_by_itself(world: Any) -> None:
    world.start()
    go_to(world, "S")
    away = {"left": 3}

    def before(method: str, path: str) -> None:
        if away["left"]:
            away["left"] -= 1
            raise Unavailable("Bespin API", "no answer")

    world.admin.before = before
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    assert world.broker.dead("lando") == []
    assert world.admin.errors == []
    assert world.cluster.has_job(JOBS["R"], attempt=1)


def test_a_run_that_alone_can_not_be_handled_ends_in_error_and_its_message_with_the_dead(world: Any) -> None:
    def before(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "PersistentVolumeClaim"):
            raise RuntimeError("a bug")

    world.cluster.before = before
    world.start()
    world.send(Command.START)
    world.reach("E/V")
    world.settle()
    assert "internal error" in world.admin.errors[0]["content"]
    assert len(world.broker.dead("lando")) == 1


def test_a_run_that_can_not_even_be_observed_ends_in_error(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def diagnose(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    world.start()
    go_to(world, "S")
    monkeypatch.setattr("lando.k8s.observe.diagnose", diagnose)
    world.step_changed("stage_data", Condition.WAITING)
    world.reach("E/S")
    world.settle()
    assert "internal error" in world.admin.errors[0]["content"]
    assert len(world.broker.dead("lando")) == 1


def test_a_run_without_messages_whose_looks_fail_ends_in_error(
    world: Any, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "PersistentVolumeClaim"):
            raise RuntimeError("a bug")

    world.cluster.before = before
    world.start(resync_s=0.01)
    waiting(lambda: world.cluster.calls.count(("create", "PersistentVolumeClaim", "job-data-42-ada")) > 10, "looks")
    assert world.at == "R/V"  # many in a short time are no reason
    monkeypatch.setattr("lando.k8s.lando.HOPELESS_S", 0.0)
    world.reach("E/V")
    world.settle()
    assert [error["content"].count("internal error") for error in world.admin.errors] == [1]


def test_an_unknown_run_is_put_aside_and_nothing_is_deleted(world: Any) -> None:
    world.start()
    world.send(Command.CANCEL, run_id=99)
    world.settle()
    assert len(world.broker.dead("lando")) == 1
    assert [call for call in world.cluster.calls if call[0] == "delete"] == []


def test_an_unreadable_message_is_put_aside_and_the_next_is_handled(world: Any) -> None:
    world.start()
    world.broker.publisher().publish("lando", b"\x80\x02cos\ngetcwd\n)R.").result(5)
    world.send(Command.START)
    world.reach("R/S")
    world.settle()  # the first resync may have begun the run before its message came
    assert len(world.broker.dead("lando")) == 1


def test_a_run_changed_by_somebody_else_meanwhile_is_looked_at_again(world: Any) -> None:
    world.start()
    go_to(world, "S")

    def cancel_meanwhile(job: dict[str, Any]) -> None:
        world.admin.after_put = lambda job: None
        job["state"] = "c"

    world.admin.after_put = cancel_meanwhile
    world.complete("S", "stage_data")
    world.settle()
    assert not world.cluster.has_job(JOBS["R"])
    world.send(Command.CANCEL)
    world.reach("C/")
    world.settle()
    assert world.cluster.names("Job", "PersistentVolumeClaim", "ConfigMap") == []


def test_a_quota_is_waited_for_and_is_a_failure_after_patience(world: Any) -> None:
    def before(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "Job"):
            raise QuotaExceeded("cluster", "exceeded quota: pods", status=403)

    world.cluster.before = before
    world.start(patience_s=0)
    world.send(Command.START)
    world.settle()
    world.step_changed("stage_data", Condition.WAITING)
    world.reach("E/S")
    world.settle()
    assert "quota" in world.admin.errors[0]["content"]


def test_a_command_begins_the_patience_with_a_quota_anew(world: Any) -> None:
    def before(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "Job"):
            raise QuotaExceeded("cluster", "exceeded quota: pods", status=403)

    world.cluster.before = before
    world.start(patience_s=0)
    world.send(Command.START)
    world.settle()
    world.step_changed("stage_data", Condition.WAITING)
    world.reach("E/S")
    world.settle()
    world.job["state"] = "r"
    world.send(Command.RESTART)
    world.settle()
    assert world.at == "R/S"


def test_a_quota_wait_is_over_though_its_job_was_not_noted_before_a_crash(world: Any) -> None:
    """Else the run's next wait for a quota would have no patience left."""

    def full(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "Job"):
            raise QuotaExceeded("cluster", "exceeded quota: pods", status=403)

    def lost(verb: str, kind: str, name: str) -> None:
        if verb == "patch":
            world.cluster.before = lambda *call: None
            raise Unavailable("cluster", "the connection was reset")

    world.cluster.before = full
    world.start()
    world.send(Command.START)
    world.settle()
    assert "quota-since" in world.cluster.get("ConfigMap", "lando-run-42")["data"]
    world.cluster.before = lost
    world.step_changed("stage_data", Condition.WAITING)
    world.settle()
    assert world.cluster.has_job(JOBS["S"])
    assert "quota-since" not in world.cluster.get("ConfigMap", "lando-run-42")["data"]


def test_objects_that_are_there_already_are_adopted(world: Any) -> None:
    world.start()
    go_to(world, "S")
    seen: list[str] = []

    def before(verb: str, kind: str, name: str) -> None:
        if (verb, kind, name) == ("create", "Job", JOBS["R"]) and not seen:
            seen.append(name)
            world.cluster.before = lambda *_: None
            labels = {"bespin-job": "true", "bespin-job-id": "42", "bespin-job-step": "run_workflow"}
            world.cluster.create(
                {
                    "kind": "Job",
                    "metadata": {"name": name, "labels": labels, "annotations": {"lando.attempt": "1"}},
                    "spec": {"template": {"spec": {"containers": [{"name": name}]}}},
                }
            )
            world.cluster.before = before

    world.cluster.before = before
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    assert seen
    assert world.broker.dead("lando") == []
    world.complete("R", "run_workflow")
    world.reach("R/o")


def test_a_missing_part_of_the_job_is_named_in_its_error(world: Any) -> None:
    world.job["job_settings"]["job_runtime_k8s"]["steps"].pop()
    world.job["output_project"] = None
    world.start()
    world.send(Command.START)
    world.reach("E/")
    world.settle()
    (error,) = world.admin.errors
    assert "runtime step save_output" in error["content"]
    assert "output project" in error["content"]
    assert error["job_step"] == "V"


def test_a_path_that_leaves_the_volume_is_refused_before_any_pod_starts(world: Any) -> None:
    world.admin.stage_groups[23]["url_files"] = [{"url": "https://h/x", "destination_path": "../x", "size": 1}]
    world.start()
    world.send(Command.START)
    world.reach("E/V")
    world.settle()
    assert "'../x'" in world.admin.errors[0]["content"]
    assert world.cluster.names("Pod", "Job") == []


def test_an_archive_that_fails_fails_no_run(world: Any) -> None:
    world.archive.error = Unavailable("archive", "full")
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")


def test_a_resync_at_start_finds_an_interrupted_run_without_any_message(world: Any) -> None:
    world.start()
    go_to(world, "S")
    world.stop()
    world.cluster.finish(JOBS["S"])
    world.start()
    world.reach("R/R")


def test_the_sweeper_removes_what_an_ended_run_left(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    go_to(world, "R")
    world.stop()
    world.job.update(state="C", step="")
    world.cluster.finish(JOBS["R"])
    world.start()
    waiting(lambda: world.cluster.names("Job", "PersistentVolumeClaim", "ConfigMap") == [], "a clean cluster")
    assert world.at == "C/"


def test_a_conflict_of_the_api_is_no_failure(world: Any) -> None:
    world.start()
    go_to(world, "S")
    conflicts = iter([True, True])

    def before(method: str, path: str) -> None:
        if method == "PUT" and next(conflicts, False):
            raise Conflict("Bespin API", "changed", status=412)

    world.admin.before = before
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    assert world.broker.dead("lando") == []


def test_a_stopped_daemon_hands_back_what_it_has_not_begun(world: Any) -> None:
    world.start()
    go_to(world, "S")
    world.stop()
    world.send(Command.CANCEL)
    assert world.broker.depth("lando") == 1


def test_lists_older_than_the_record_are_no_proof_that_a_job_is_gone(world: Any) -> None:
    """While another lando ends its last work: it makes the Job and records it between our two reads."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    job = ("Job", JOBS["S"])
    unseen: list[Any] = []

    def see_late(verb: str, kind: str, _: str) -> None:
        if (verb, kind) == ("list", "Job"):
            if unseen:
                world.cluster.objects.setdefault(job, unseen[0])
            else:
                unseen.append(world.cluster.objects.pop(job))

    world.cluster.before = see_late
    world.step_changed("stage_data", Condition.WAITING)
    world.settle()
    assert unseen == [world.cluster.objects[job]]
    assert not [call for call in world.cluster.calls if call[:2] == ("delete", "Job")]
    world.run_to_the_end()
    world.reach("F/")


def test_a_run_that_went_on_meanwhile_has_lost_no_job(world: Any) -> None:
    """While another lando ends its last work: it writes the next step and removes the Job of the former one."""
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    reads = 0

    def go_on(method: str, path: str) -> None:
        nonlocal reads
        reads += method == "GET" and path.endswith("/42/")
        if reads == 2:
            world.admin.jobs[42]["step"] = "R"

    world.cluster.objects.pop(("Job", JOBS["S"]))
    world.admin.before = go_on
    world.step_changed("stage_data", Condition.GONE)
    world.reach("R/R")
    world.settle()
    assert [call for call in world.cluster.calls if call[:2] == ("create", "Job")] == [
        ("create", "Job", JOBS["S"]),
        ("create", "Job", JOBS["R"]),
    ]
