"""Pods that use more disk than they may, and a disk that runs full."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lando.local.node.evictions import FLOOR_BYTES, FLOOR_SHARE, Space, broken_limit, tree_size
from lando.local.node.pod_folder import PodFolder
from tests.services.local_node import Cluster, Manifest, conditions, phase, state
from tests.services.providing import wait_until

GIB = 2**30
FILL = "head -c 3000000 /dev/zero > {place}; echo filled; sleep 67"


def scratch(**source: Any) -> dict[str, Any]:
    return {
        "container": {"volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}]},
        "volumes": [{"name": "tmp", "emptyDir": source}],
    }


def limited(limit: str) -> dict[str, Any]:
    return {"resources": {"limits": {"ephemeral-storage": limit}}}


def evicted(cluster: Cluster, name: str) -> Manifest:
    cluster.wait_log(name, "filled")
    cluster.node.kubelet.evictions.check_limits()
    pod = cluster.ended(name)
    assert (phase(pod), pod["status"]["reason"]) == ("Failed", "Evicted")
    assert cluster.wait_event(name, "Evicted") == pod["status"]["message"]
    return pod


def test_an_empty_dir_over_its_size_limit_evicts_its_pod(sandboxed: Cluster) -> None:
    sandboxed.pod("big", FILL.format(place="/scratch/f"), **scratch(sizeLimit="1Mi"))
    pod = evicted(sandboxed, "big")
    assert pod["status"]["message"] == 'Usage of EmptyDir volume "tmp" exceeds the limit "1Mi". '
    assert state(pod)["terminated"]["exitCode"] in (137, 143)
    assert "DisruptionTarget" not in conditions(pod), "it is the pod's own doing"


def test_a_pod_over_its_containers_storage_limits_is_evicted(sandboxed: Cluster) -> None:
    container = {**scratch()["container"], **limited("2Mi")}
    sandboxed.pod("big", FILL.format(place="/scratch/f"), **{**scratch(), "container": container})
    message = evicted(sandboxed, "big")["status"]["message"]
    assert message == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "


def test_a_pod_within_its_limits_is_left_alone(cluster: Cluster) -> None:
    container = {**scratch()["container"], **limited("8Mi")}
    cluster.pod("fits", FILL.format(place="/scratch/f"), **{**scratch(sizeLimit="4Mi"), "container": container})
    cluster.wait_log("fits", "filled")
    cluster.node.kubelet.evictions.check_limits()
    pod = cluster.store.get("pods", "default", "fits")
    assert phase(pod) == "Running"
    assert not cluster.store.list("events", "default", field_selector="reason=Evicted").items


def test_what_a_container_writes_to_its_working_directory_counts_for_it(tmp_path: Path) -> None:
    """One container is over its limit, the pod is not."""
    folder = PodFolder(tmp_path, "uid")
    for name in ("a", "b"):
        folder.work(name).mkdir(parents=True)
    (folder.work("a") / "f").write_bytes(b"x" * 2**21)
    pod = {"spec": {"containers": [{"name": "a", **limited("1Mi")}, {"name": "b", **limited("5Mi")}]}}
    assert broken_limit(pod, folder) == 'Container a exceeded its local ephemeral storage limit "1Mi". '


def test_the_size_of_a_tree_is_what_it_takes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f").write_bytes(b"x" * 10_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", GIB)
    (tmp_path / "elsewhere").symlink_to("/usr")
    assert 10_000 <= tree_size(tmp_path) < 100_000
    assert tree_size(tmp_path / "nowhere") == 0


def test_on_a_full_disk_the_pod_that_holds_most_goes_and_new_ones_wait(cluster: Cluster) -> None:
    cluster.claim("data")
    claim = {"name": "tmp", "persistentVolumeClaim": {"claimName": "data"}}
    cluster.pod("small", "exec sleep 67")
    cluster.pod("big", FILL.format(place="/scratch/f"), **{**scratch(), "volumes": [claim]})
    cluster.running("small")
    cluster.wait_log("big", "filled")
    evictions = cluster.node.kubelet.evictions

    evictions.space = lambda _folder: Space(total=100 * GIB, free=FLOOR_BYTES - 1)
    evictions.check_disk()
    pod = cluster.ended("big")
    assert (phase(pod), pod["status"]["reason"]) == ("Failed", "Evicted")
    assert pod["status"]["message"].startswith("The node was low on resource: ephemeral-storage. ")
    assert conditions(pod)["DisruptionTarget"]["reason"] == "TerminationByKubelet"

    cluster.pod("later")
    refused = cluster.wait_event("later", "FailedScheduling")
    assert refused == "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }."

    evictions.space = lambda _folder: Space(total=100 * GIB, free=2 * FLOOR_BYTES)
    evictions.check_disk()
    assert phase(cluster.ended("later")) == "Succeeded"


def test_one_pod_goes_at_a_time(cluster: Cluster) -> None:
    cluster.pod("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    cluster.pod("other", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    for name in ("deaf", "other"):
        cluster.running(name)
        cluster.wait_log(name, "ready")
    evictions = cluster.node.kubelet.evictions
    evictions.space = lambda _folder: Space(total=100 * GIB, free=0)
    evictions.check_disk()
    evictions.check_disk()
    assert len(cluster.store.list("events", "default", field_selector="reason=Evicted").items) == 1


def _given(space: Space, _folder: Path) -> Space:
    return space


def test_a_little_room_is_not_enough_for_new_pods_after_a_full_disk(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    evictions = cluster.node.kubelet.evictions
    for free, full in ((1.1, False), (0.9, True), (1.1, True), (1.6, False), (1.1, False)):
        space = Space(total=100 * GIB, free=int(FLOOR_BYTES * free))
        monkeypatch.setattr(evictions, "space", partial(_given, space))
        evictions.check_disk()
        assert evictions.under_pressure is full


def test_a_small_disk_counts_as_full_by_its_share(cluster: Cluster) -> None:
    evictions = cluster.node.kubelet.evictions
    evictions.space = lambda _folder: Space(total=GIB, free=int(GIB * FLOOR_SHARE) + 1)
    evictions.check_disk()
    assert not evictions.under_pressure


def test_an_ended_pod_keeps_its_log_and_gives_its_disk_back(cluster: Cluster) -> None:
    cluster.pod("brief", "echo kept; touch /scratch/f mine", **scratch())
    uid = cluster.ended("brief")["metadata"]["uid"]
    folder = PodFolder(cluster.home / "pods", uid)
    wait_until(lambda: not folder.volumes.exists() and not folder.work("main").exists(), what="the pod's disk")
    assert cluster.log("brief") == "kept\n"
