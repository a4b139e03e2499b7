"""Programs that don't behave: they multiply, hide, grow, shout or don't listen."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lando.k8s.diagnosis import diagnose
from lando.local.node.process_table import all_processes, marked
from lando.local.node.process_tree import ProcessTree, Snapshots
from tests.services.local_node import Cluster, Manifest, phase, state
from tests.services.providing import wait_until


def python(script: str, **container: object) -> Manifest:
    """A container that runs a Python script."""
    return {"image": "lando:1", "command": ["python", "-c", textwrap.dedent(script)], **container}


def assert_nothing_is_left(pod: Manifest) -> None:
    uid = pod["metadata"]["uid"]
    wait_until(lambda: marked(uid, all_processes()) == [], what="the end of all its processes")


DAEMON = """
    import os, pathlib, sys, time
    # Twice forked, in a session of its own, deaf to SIGTERM, and an orphan.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("daemon", flush=True)
            time.sleep(64)
        os._exit(0)
    os.wait()
"""


def test_a_daemon_ends_with_the_program_that_left_it_behind(sandboxed: Cluster) -> None:
    sandboxed.pod("parent", container=python(DAEMON))
    pod = sandboxed.ended("parent")
    assert phase(pod) == "Succeeded"
    assert_nothing_is_left(pod)


def test_a_daemon_ends_with_its_pod_s_deletion(sandboxed: Cluster) -> None:
    sandboxed.pod("parent", container=python(DAEMON + "\n    time.sleep(64)"))
    pod = sandboxed.running("parent")
    sandboxed.wait_log("parent", "daemon")
    sandboxed.store.delete("pods", "default", "parent", grace_period_s=1)
    sandboxed.wait_gone("pods", "parent")
    assert_nothing_is_left(pod)


FOREST = """
    import os, time
    # {generations} generations of two children each, every one in a group of its own.
    for _ in range({generations}):
        if os.fork() == 0:
            os.{leave}()
        else:
            os.fork()
    print("grown", flush=True)
    time.sleep(64)
"""


@pytest.mark.parametrize("leave", ["getpid", "setpgrp", "setsid"])
def test_a_program_that_starts_others_without_end_is_ended_whole(tmp_path: Path, leave: str) -> None:
    """A forest of 3^5 processes stands for one that would go on; all in one group, or each in its own."""
    cluster = Cluster(tmp_path, pids_limit=100).start()
    try:
        cluster.pod("bomb", container=python(FOREST.format(generations=5, leave=leave)))
        pod = cluster.ended("bomb")
        ended = state(pod)["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "PidsLimit")
        assert ended["message"].endswith("this node allows 100.")
        assert_nothing_is_left(pod)
    finally:
        cluster.stop()


def test_threads_count_as_processes_do(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, pids_limit=50).start()
    try:
        script = """
            import threading, time
            for _ in range(80):
                threading.Thread(target=time.sleep, args=(64,), daemon=True).start()
            time.sleep(64)
        """
        cluster.pod("threads", container=python(script))
        assert state(cluster.ended("threads"))["terminated"]["reason"] == "PidsLimit"
    finally:
        cluster.stop()


def test_memory_that_processes_share_counts_once(cluster: Cluster) -> None:
    """Four processes see the same 60 MiB: 240 MiB by their own count, and far less than the limit in truth."""
    script = """
        import os, time
        shared = bytearray(60 * 2**20)
        os.fork()
        os.fork()
        time.sleep(1.5)
        print(len(shared))
    """
    limit = {"limits": {"memory": "150Mi"}}
    cluster.pod("sharing", container=python(script, resources=limit))
    assert phase(cluster.ended("sharing")) == "Succeeded"


def test_a_daemon_s_memory_is_its_container_s(cluster: Cluster) -> None:
    script = DAEMON.replace('print("daemon", flush=True)', "x = bytearray(200 * 2**20)") + "\n    time.sleep(64)"
    cluster.pod("hidden", container=python(script, resources={"limits": {"memory": "150Mi"}}))
    assert state(cluster.ended("hidden"))["terminated"]["reason"] == "OOMKilled"


@pytest.mark.parametrize(
    "sandboxed",
    [("substitute", "home"), pytest.param(("bwrap", "home"), marks=pytest.mark.service("bubblewrap"))],
    indirect=True,
)
def test_a_step_s_program_that_is_killed_for_its_memory_has_told_how_much_it_took(sandboxed: Cluster) -> None:
    """It holds 60 MiB until that is measured, and then wants more than it may."""
    script = """
        import json, os, sys, time
        from lando.steps.program import run_program

        def peak():
            with open(os.environ["LANDO_TERMINATION_LOG"]) as file:
                return json.loads(file.read() or '{"memory": {"peak": 0}}')["memory"]["peak"]

        def work(argv):
            held = [bytearray(60 * 2**20)]
            while peak() < 60 * 2**20:
                time.sleep(0.02)
            held.append(bytearray(200 * 2**20))
            time.sleep(64)

        sys.exit(run_program("hog", "hog", work, []))
    """
    sandboxed.pod("hog", container=python(script, resources={"limits": {"memory": "150Mi"}}))
    pod = sandboxed.ended("hog")
    assert state(pod)["terminated"]["reason"] == "OOMKilled"
    job = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}
    cause = diagnose(job, [pod], [], now=datetime.now(UTC), patience=timedelta(0)).cause
    assert cause is not None
    assert re.search(
        r"limit of 150Mi; the most that was measured before is \d+Mi, of which python\S* held \d+Mi\.", cause.sentence
    )


def test_a_program_finds_a_tame_world(sandboxed: Cluster) -> None:
    """No input, no descriptors of the node's, no core dumps, the usual umask; the stack comes first."""
    niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
    # The node tames a program that runs already; both are set a moment later, one after the other.
    script = f"""
        until [ "$(cat /proc/self/oom_score_adj) $(nice)" = "500 {niceness}" ]; do sleep 0.05; done
        echo "core $(ulimit -c)"
        echo "umask $(umask)"
        echo "input $(cat | wc -c)"
        echo "descriptors $(ls /proc/self/fd | wc -l)"
    """
    before = os.umask(0o077)
    try:
        sandboxed.pod("tame", script)
        sandboxed.ended("tame")
    finally:
        os.umask(before)
    told = dict(line.split(" ", 1) for line in sandboxed.log("tame").splitlines())
    assert told["core"] == "0"
    assert told["umask"] == "0022"
    assert told["input"] == "0"
    assert told["descriptors"] == "4", "ls itself opens the folder, and nothing else is open"


def test_a_program_may_close_its_output_and_go_on(sandboxed: Cluster) -> None:
    sandboxed.pod("silent", "echo before; exec >&- 2>&-; sleep 0.3; exit 7")
    assert state(sandboxed.ended("silent"))["terminated"]["exitCode"] == 7
    assert sandboxed.log("silent") == "before\n"


def test_output_that_is_no_text_and_has_no_lines_is_kept_as_it_is(cluster: Cluster) -> None:
    script = """
        import sys
        sys.stdout.buffer.write(bytes(range(256)) * 4096)
    """
    cluster.pod("binary", container=python(script))
    cluster.ended("binary")
    written = b"".join(cluster.node.kubelet.read("default", "binary", "main"))
    assert written == bytes(range(256)) * 4096


HOPPING = """
    import os, time
    print("hopping", flush=True)
    if os.fork() == 0:
        # Never the same process for longer than a millisecond.
        for _ in range(20_000):
            if os.fork():
                os._exit(0)
            time.sleep(0.001)
"""


def test_a_program_that_is_never_the_same_process_for_long_is_ended_all_the_same(cluster: Cluster) -> None:
    cluster.pod("hopper", container=python(HOPPING))
    pod = cluster.ended("hopper")
    assert_nothing_is_left(pod)


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that is nobody's container."""
    process = subprocess.Popen(["sleep", "66"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def test_a_process_that_took_over_a_number_is_spared(sleeper: int) -> None:
    """A container's first process has ended, and its number is another's by now."""
    tree = ProcessTree(sleeper, started=1, marker="no/such/0", snapshots=Snapshots())
    assert tree.kill()
    os.kill(sleeper, 0)
    assert [each.pid for each in all_processes() if each.pid == sleeper and not each.zombie] == [sleeper]
