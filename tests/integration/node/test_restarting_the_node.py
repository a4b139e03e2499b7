"""What an earlier life of the node left behind, whether it ended in order or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from lando.local.node.process_table import all_processes, marked
from tests.services.local_node import Cluster, conditions, phase, state
from tests.services.providing import wait_until

LIFE = """
    import sys, time
    from pathlib import Path
    from tests.services.local_node import Cluster
    cluster = Cluster(Path(sys.argv[1]), sys.argv[2]).start()
    cluster.job("work", "echo begun; sleep 63")
    cluster.wait("jobs", "work", lambda job: job.get("status", {}).get("ready") == 1)
    cluster.wait_log(cluster.pods_of("work")[0]["metadata"]["name"], "begun")
    print("running", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("sandbox", ["substitute", pytest.param("bwrap", marks=pytest.mark.service("bubblewrap"))])
def test_after_a_crash_nothing_runs_twice(tmp_path: Path, sandbox: str, request: pytest.FixtureRequest) -> None:
    """Given a node that is killed with a pod at work, its next life ends the pod's processes and fails the pod."""
    if sandbox == "bwrap":
        request.getfixturevalue("bubblewrap")
    root = Path(__file__).parents[3]
    life = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LIFE), str(tmp_path), sandbox],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    )
    assert life.stdout is not None
    with life:
        assert life.stdout.readline() == "running\n"
        life.send_signal(signal.SIGKILL)
    cluster = Cluster(tmp_path, "substitute")
    try:
        (pod,) = cluster.pods_of("work")
        uid = pod["metadata"]["uid"]
        assert phase(pod) == "Running"
        if sandbox == "bwrap":
            wait_until(lambda: marked(uid, all_processes()) == [], what="the end of what dies with the node")
        else:
            assert marked(uid, all_processes())
        cluster.start()
        wait_until(lambda: marked(uid, all_processes()) == [], what="the end of what was left running")
        failed = cluster.finished("work")
        assert failed["status"]["failed"] == 1
        (pod,) = cluster.pods_of("work")
        assert (phase(pod), pod["status"]["reason"]) == ("Failed", "Terminated")
        assert conditions(pod)["DisruptionTarget"]["reason"] == "TerminationByKubelet"
        assert state(pod)["terminated"]["exitCode"] == 137
        assert cluster.log(pod["metadata"]["name"]) == "begun\n"
    finally:
        cluster.stop()


def test_stopping_the_node_ends_its_pods_as_disrupted(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path).start()
    cluster.pod("busy", "exec sleep 62")
    pod = cluster.running("busy")
    cluster.node.stop(5)
    pod = cluster.store.get("pods", "default", "busy")
    assert (phase(pod), pod["status"]["reason"]) == ("Failed", "Terminated")
    assert conditions(pod)["DisruptionTarget"]["reason"] == "TerminationByKubelet"
    assert state(pod)["terminated"]["exitCode"] == 143
    assert marked(pod["metadata"]["uid"], all_processes()) == []
    cluster.store.close()


def test_a_pod_that_had_not_begun_runs_in_the_next_life(tmp_path: Path) -> None:
    first = Cluster(tmp_path).start()
    first.pod("held", "echo $K", container={"envFrom": [{"configMapRef": {"name": "late"}}]})
    first.wait_event("held", "Failed")
    first.stop()
    second = Cluster(tmp_path)
    assert phase(second.store.get("pods", "default", "held")) == "Pending"
    second.create("configmaps", "late", data={"K": "now"})
    second.start()
    try:
        assert phase(second.ended("held")) == "Succeeded"
        assert second.log("held") == "now\n"
    finally:
        second.stop()


def test_the_folder_of_a_claim_that_is_gone_is_removed_at_start(tmp_path: Path) -> None:
    (tmp_path / "volumes" / "of-a-forgotten-claim" / "sub").mkdir(parents=True)
    cluster = Cluster(tmp_path).start()
    try:
        cluster.claim("kept")
        cluster.wait("persistentvolumeclaims", "kept", lambda each: each["status"].get("phase") == "Bound")
        folders = [path.name for path in (tmp_path / "volumes").iterdir()]
        assert folders == [cluster.claim_folder("kept").name]
    finally:
        cluster.stop()
