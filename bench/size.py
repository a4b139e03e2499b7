"""What size costs: the embedded cluster with many Jobs kept, and a watcher's view of many.

The same calls are timed with few Jobs and with many; the ratio says whether it grows slow.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from lando import labels
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.reflector import Change, Reflector
from tests.services.stack import Stack

from bench.handoff import cluster_of
from bench.throughput import memory

FEW = 100
ROUNDS = 30
SYNC_S = 120.0


def job(number: int) -> dict[str, Any]:
    """A Job as large as a step's, suspended so that nothing runs."""
    name = f"run-workflow-{number}-ada"
    marks = {"bespin-job": "true", "bespin-job-id": str(number), "bespin-job-step": "run_workflow"}
    container = {
        "name": name,
        "image": "lando-steps:local",
        "command": ["python", "-m", "lando.steps.run_workflow", "--outdir", "/bespin/output-data/results/"],
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        "volumeMounts": [{"name": "job-data", "mountPath": "/bespin/job-data"}],
    }
    volume = {"name": "job-data", "persistentVolumeClaim": {"claimName": f"job-data-{number}-ada"}}
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": marks},
        "spec": {"suspend": True, "backoffLimit": 0, "template": {"metadata": {"labels": marks}, "spec": pod}},
    }


def measure(stack: Stack, jobs: int) -> dict[str, Any]:
    """Fill the cluster of ``stack`` to ``jobs`` Jobs; time calls and take the memory at few and at all."""
    cluster = cluster_of(stack)
    try:
        for number in range(FEW):
            cluster.create(job(number))
        few, few_memory = _calls(cluster, FEW), memory(stack.pid("cluster"))
        for number in range(FEW, jobs):
            cluster.create(job(number))
        many, many_memory = _calls(cluster, jobs), memory(stack.pid("cluster"))
        return {
            "jobs": jobs,
            "calls": {
                name: {"few_ms": few[name] * 1000, "many_ms": many[name] * 1000, "ratio": many[name] / few[name]}
                for name in few
            },
            "cluster_memory_mib": {"few": few_memory["now"], "many": many_memory["now"]},
            "view": _view(cluster, jobs),
        }
    finally:
        cluster.close()


def _calls(cluster: KubernetesCluster, jobs: int) -> dict[str, float]:
    middle = jobs // 2
    manifest = job(10**9)

    def one_run() -> None:
        cluster.list("Job", labels.selector({"bespin-job": "true", "bespin-job-id": str(middle)}))

    def make_and_remove() -> None:
        cluster.create(manifest)
        cluster.delete("Job", manifest["metadata"]["name"])

    return {
        "get a Job": _timed(lambda: cluster.get("Job", f"run-workflow-{middle}-ada")),
        "list the Jobs of one run": _timed(one_run),
        "create and delete a Job": _timed(make_and_remove),
    }


def _timed(call: Callable[[], object]) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


def _view(cluster: KubernetesCluster, jobs: int) -> dict[str, float]:
    """What a reflector adds to this process when it holds all Jobs, and how long its first list takes."""
    told: list[str] = []

    def note(change: Change) -> None:
        told.append(change.uid)

    gc.collect()
    before = _resident()
    reflector = Reflector(cluster, "Job", note, label_selector=labels.BESPIN_SELECTOR)
    thread = threading.Thread(target=reflector.run)
    began = time.perf_counter()
    thread.start()
    try:
        if not reflector.synced.wait(SYNC_S):
            raise TimeoutError(f"the first list of {jobs} Jobs took more than {SYNC_S:g} s")
        took = time.perf_counter() - began
        gc.collect()
        return {"first_list_s": took, "memory_mib": round(_resident() - before, 1)}
    finally:
        reflector.stop()
        thread.join()


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
