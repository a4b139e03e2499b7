"""A real disk that a step fills: the embedded cluster gets its space back and goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.local_node import Cluster, phase


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_step_that_fills_the_disk_is_ended_and_its_space_given_back(small_disk: Path) -> None:
    container = {"volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}]}
    cluster = Cluster(small_disk).start()
    try:
        cluster.pod(
            "greedy",
            "cat /dev/zero > /scratch/f; echo filled; exec sleep 67",
            container=container,
            volumes=[{"name": "tmp", "emptyDir": {}}],
        )
        pod = cluster.ended("greedy")
        assert phase(pod) == "Failed"
        # NodeError when the pod's state could not be written just before the eviction came to it.
        assert pod["status"]["reason"] in ("Evicted", "NodeError")
        cluster.pod("next", "echo works")
        assert phase(cluster.ended("next")) == "Succeeded"
        assert cluster.log("next") == "works\n"
    finally:
        cluster.stop()
