"""Pods as local processes: what runs, and what their status then says."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from lando.local.controllers.scheduler import NodeCapacity
from lando.local.node.process_table import all_processes, marked
from lando.local.rules.status import ApiError
from tests.services.local_node import PATIENCE_S, Cluster, Manifest, conditions, phase, state, waiting_for
from tests.services.providing import wait_until


def test_a_pod_that_ends_well_succeeds_with_times_and_reason(cluster: Cluster) -> None:
    cluster.pod("good", "echo hello")
    pod = cluster.ended("good")
    assert phase(pod) == "Succeeded"
    ended = state(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert pod["status"]["podIP"] == "127.0.0.1"
    assert pod["spec"]["nodeName"] == "lando-local"
    assert cluster.log("good") == "hello\n"


def test_a_pod_that_ends_badly_fails_with_its_exit_code(cluster: Cluster) -> None:
    cluster.pod("bad", "echo out; echo err >&2; exit 3")
    pod = cluster.ended("bad")
    assert phase(pod) == "Failed"
    assert state(pod)["terminated"]["exitCode"] == 3
    assert state(pod)["terminated"]["reason"] == "Error"
    assert cluster.log("bad") == "out\nerr\n"


def test_a_running_pod_says_so_and_is_ready(cluster: Cluster) -> None:
    cluster.pod("busy", "echo up; sleep 60")
    pod = cluster.running("busy")
    assert "startedAt" in state(pod)["running"]
    assert {"Ready", "ContainersReady", "Initialized", "PodScheduled"} <= conditions(pod).keys()


def test_a_signal_that_ends_a_program_is_told_as_128_and_its_number(cluster: Cluster) -> None:
    cluster.pod("shot", "kill -SEGV $$$$")
    assert state(cluster.ended("shot"))["terminated"]["exitCode"] == 139


def test_the_termination_message_is_what_the_program_left(sandboxed: Cluster) -> None:
    sandboxed.pod("teller", 'echo \'{"cause": "me"}\' > "$LANDO_TERMINATION_LOG"; exit 1')
    assert json.loads(state(sandboxed.ended("teller"))["terminated"]["message"]) == {"cause": "me"}


def test_a_program_may_write_its_message_to_the_path_itself(sandboxed: Cluster) -> None:
    sandboxed.pod("teller", "echo direct > /dev/termination-log")
    assert state(sandboxed.ended("teller"))["terminated"]["message"] == "direct\n"
    assert not Path("/dev/termination-log").exists()


def test_a_long_termination_message_keeps_its_last_4096_bytes(cluster: Cluster) -> None:
    cluster.pod("teller", '(head -c 5000 /dev/zero | tr "\\0" a; echo) > "$LANDO_TERMINATION_LOG"')
    assert state(cluster.ended("teller"))["terminated"]["message"] == "a" * 4095 + "\n"


def test_without_a_message_the_end_of_the_log_is_taken_when_asked_for(cluster: Cluster) -> None:
    cluster.pod("loud", "echo why; exit 1", container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    assert state(cluster.ended("loud"))["terminated"]["message"] == "why\n"


def test_init_containers_run_first_and_in_order(cluster: Cluster) -> None:
    volume = {"volumes": [{"name": "v", "emptyDir": {}}]}
    mounts = [{"name": "v", "mountPath": "/shared"}]

    def init(name: str) -> Manifest:
        script = f"echo {name} >> /shared/f"
        return {"name": name, "image": "i", "command": ["sh", "-c", script], "volumeMounts": mounts}

    cluster.pod(
        "ordered",
        "cat /shared/f",
        container={"volumeMounts": mounts},
        initContainers=[init("one"), init("two")],
        **volume,
    )
    pod = cluster.ended("ordered")
    assert cluster.log("ordered") == "one\ntwo\n"
    assert [each["ready"] for each in pod["status"]["initContainerStatuses"]] == [True, True]


def test_a_failing_init_container_fails_the_pod_before_it_begins(cluster: Cluster) -> None:
    cluster.pod("early", "echo never", initContainers=[{"name": "i", "image": "x", "command": ["sh", "-c", "exit 4"]}])
    pod = cluster.ended("early")
    assert phase(pod) == "Failed"
    assert state(pod, "i")["terminated"]["exitCode"] == 4
    assert state(pod)["waiting"]["reason"] == "PodInitializing"


def test_containers_run_side_by_side(cluster: Cluster) -> None:
    """Each waits for the other; one after the other they would hang."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    script = "touch /v/{me}; until [ -e /v/{other} ]; do sleep 0.01; done"
    other = {
        "name": "b",
        "image": "x",
        "command": ["sh", "-c", script.format(me="b", other="a")],
        "volumeMounts": mounts,
    }
    first = {**other, "name": "a", "command": ["sh", "-c", script.format(me="a", other="b")]}
    cluster.create(
        "pods",
        "pair",
        spec={"restartPolicy": "Never", "containers": [first, other], "volumes": [{"name": "v", "emptyDir": {}}]},
    )
    assert phase(cluster.ended("pair")) == "Succeeded"


def test_a_program_that_is_not_there_is_a_start_error_naming_it(sandboxed: Cluster) -> None:
    sandboxed.pod("lost", container={"command": ["no-such-program"]})
    ended = state(sandboxed.ended("lost"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


def test_an_unknown_image_without_a_command_cannot_be_pulled(cluster: Cluster) -> None:
    cluster.create(
        "pods", "bare", spec={"restartPolicy": "Never", "containers": [{"name": "main", "image": "acme/tool:9"}]}
    )
    message = cluster.wait_event("bare", "Failed")
    assert "acme/tool:9" in message
    assert str(cluster.home / "images.yaml") in message
    cluster.wait("pods", "bare", waiting_for("ImagePullBackOff"))


def test_an_image_of_the_table_runs_its_command(cluster: Cluster) -> None:
    (cluster.home / "images.yaml").write_text(
        'images: [{pattern: "acme/*", command: [sh, -c, "echo $WHO $0"], env: {WHO: me}}]', encoding="utf-8"
    )
    container = {"name": "main", "image": "acme/tool:9", "args": ["here"]}
    cluster.create("pods", "listed", spec={"restartPolicy": "Never", "containers": [container]})
    cluster.ended("listed")
    assert cluster.log("listed") == "me here\n"


def test_a_missing_config_map_key_holds_the_container_until_it_comes(cluster: Cluster) -> None:
    source = {"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}
    cluster.pod("picky", "echo $MODE", container={"env": [{"name": "MODE", **source}]})
    held = cluster.wait("pods", "picky", waiting_for("CreateContainerConfigError"))
    assert state(held)["waiting"]["message"] == 'configmap "settings" not found'
    assert cluster.wait_event("picky", "Failed") == 'Error: configmap "settings" not found'
    cluster.create("configmaps", "settings", data={"mode": "fast"})
    cluster.ended("picky")
    assert cluster.log("picky") == "fast\n"


def test_a_missing_volume_source_is_a_failed_mount_until_it_comes(cluster: Cluster) -> None:
    cluster.pod(
        "mounting",
        "cat /c/k",
        container={"volumeMounts": [{"name": "c", "mountPath": "/c"}]},
        volumes=[{"name": "c", "secret": {"secretName": "later"}}],
    )
    message = cluster.wait_event("mounting", "FailedMount")
    assert message == 'MountVolume.SetUp failed for volume "c" : secret "later" not found'
    assert waiting_for("ContainerCreating")(cluster.store.get("pods", "default", "mounting"))
    cluster.create("secrets", "later", stringData={"k": "here"})
    cluster.ended("mounting")
    assert cluster.log("mounting") == "here"


def test_host_paths_are_refused(cluster: Cluster) -> None:
    cluster.pod("nosy", volumes=[{"name": "h", "hostPath": {"path": "/etc"}}])
    assert "hostPath are not offered" in cluster.wait_event("nosy", "FailedMount")


def test_a_container_over_its_memory_limit_is_oom_killed(cluster: Cluster) -> None:
    script = "exec python3 -c 'x = bytearray(200 * 2**20); import time; time.sleep(60)'"
    cluster.pod("greedy", script, container={"resources": {"limits": {"memory": "100Mi"}}})
    ended = state(cluster.ended("greedy"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_on_failure_a_container_is_restarted_in_place(cluster: Cluster) -> None:
    script = "echo try; [ -e /v/2 ] && exit 0; [ -e /v/1 ] && touch /v/2; touch /v/1; exit 1"
    cluster.pod(
        "stubborn",
        script,
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        restartPolicy="OnFailure",
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    pod = cluster.ended("stubborn")
    assert phase(pod) == "Succeeded"
    reported = pod["status"]["containerStatuses"][0]
    assert reported["restartCount"] == 2
    assert reported["lastState"]["terminated"]["exitCode"] == 1
    assert cluster.log("stubborn", previous=True) == "try\n"


def test_a_pod_past_its_own_deadline_fails(cluster: Cluster) -> None:
    cluster.pod("slow", "exec sleep 60", activeDeadlineSeconds=1)
    pod = cluster.ended("slow")
    assert (phase(pod), pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_deleting_a_pod_lets_its_program_finish_in_its_own_way(sandboxed: Cluster) -> None:
    sandboxed.claim("c")
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    script = "trap 'echo cleared > /v/f; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    sandboxed.pod("polite", script, container=mounts, volumes=volumes)
    sandboxed.running("polite")
    sandboxed.wait_log("polite", "ready")
    sandboxed.store.delete("pods", "default", "polite")
    sandboxed.wait_gone("pods", "polite")
    assert (sandboxed.claim_folder("c") / "f").read_text(encoding="utf-8") == "cleared\n"


def test_a_program_that_ignores_the_signal_is_killed_after_the_grace_period(sandboxed: Cluster) -> None:
    sandboxed.pod("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    sandboxed.running("deaf")
    sandboxed.wait_log("deaf", "ready")
    sandboxed.store.delete("pods", "default", "deaf", grace_period_s=1)
    sandboxed.wait_gone("pods", "deaf")


def test_what_a_program_leaves_behind_ends_with_it(sandboxed: Cluster) -> None:
    """A process in a session of its own would outlive its parent, and hold the log open."""
    sandboxed.pod("parent", "setsid sleep 61 & until pgrep -s 0 sleep || pgrep -f 'sleep 61'; do :; done; echo done")
    pod = sandboxed.ended("parent")
    assert phase(pod) == "Succeeded"
    assert sandboxed.log("parent").endswith("done\n")
    wait_until(lambda: marked(pod["metadata"]["uid"], all_processes()) == [], what="the end of all its processes")


def test_the_folder_of_a_deleted_pod_goes(cluster: Cluster) -> None:
    cluster.pod("brief")
    uid = cluster.ended("brief")["metadata"]["uid"]
    folder = cluster.home / "pods" / uid
    assert folder.is_dir()
    cluster.store.delete("pods", "default", "brief")
    wait_until(lambda: not folder.exists(), PATIENCE_S, what="the end of its folder")


def test_a_log_is_followed_until_the_container_ends(cluster: Cluster) -> None:
    cluster.pod("talker", "echo one; sleep 0.2; echo two; printf three")
    cluster.running("talker")
    assert cluster.log("talker", follow=True) == "one\ntwo\nthree"


def test_the_log_of_a_container_that_waits_is_refused_with_its_reason(cluster: Cluster) -> None:
    cluster.pod("held", container={"envFrom": [{"secretRef": {"name": "none"}}]})
    cluster.wait("pods", "held", waiting_for("CreateContainerConfigError"))
    with pytest.raises(ApiError) as refused:
        cluster.log("held")
    assert (refused.value.code, str(refused.value)) == (
        400,
        'container "main" in pod "held" is waiting to start: CreateContainerConfigError',
    )


def test_secrets_of_this_process_do_not_reach_containers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDO_TOKEN", "s3cret")
    cluster.pod("curious", "env")
    cluster.ended("curious")
    assert "s3cret" not in cluster.log("curious")


def test_pods_wait_their_turn_for_free_capacity(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, capacity=NodeCapacity(cpus=Decimal(1), memory=Decimal(2**30))).start()
    try:
        one_cpu = {"resources": {"requests": {"cpu": "1"}}}
        cluster.pod("first", "sleep 0.3", container=one_cpu)
        cluster.running("first")
        cluster.pod("second", container=one_cpu)
        message = cluster.wait_event("second", "FailedScheduling")
        assert message == "0/1 nodes are available: 1 Insufficient cpu."
        second = cluster.ended("second")
        first = cluster.store.get("pods", "default", "first")
        assert phase(first) == "Succeeded"
        assert state(first)["terminated"]["finishedAt"] <= state(second)["terminated"]["startedAt"]
    finally:
        cluster.stop()


def test_a_small_pod_is_not_held_back_by_a_big_one_that_waits(tmp_path: Path) -> None:
    """The small one may be what the pod at work waits for."""
    cluster = Cluster(tmp_path, capacity=NodeCapacity(cpus=Decimal(2), memory=Decimal(2**30))).start()
    try:
        cluster.pod("at-work", "exec sleep 60", container={"resources": {"requests": {"cpu": "1"}}})
        cluster.running("at-work")
        cluster.pod("big", container={"resources": {"requests": {"cpu": "2"}}})
        cluster.wait_event("big", "FailedScheduling")
        cluster.pod("small", container={"resources": {"requests": {"cpu": "1"}}})
        assert phase(cluster.ended("small")) == "Succeeded"
        assert phase(cluster.store.get("pods", "default", "big")) == "Pending"
    finally:
        cluster.stop()


def test_a_folder_of_the_path_that_cannot_be_looked_into_is_passed_over(cluster: Cluster) -> None:
    """As with another user's folder; a name too long for the system fails alike, also for the superuser."""
    path = f"/{'x' * 300}:/usr/bin:/bin"
    cluster.pod("going", "exit 0", container={"env": [{"name": "PATH", "value": path}]})
    assert phase(cluster.ended("going")) == "Succeeded"
