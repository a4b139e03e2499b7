"""How long a run waits between steps: from a Job's Complete condition to the next step's Job, as a watcher sees both.

Beside it stands the time of the calls that no hand-off can do without, made one after the other over a warm
session in the same run: read the job, write its step, create a ConfigMap and a Job. The ratio is what the engine adds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import requests
from lando import labels
from lando.config import ClusterSettings
from lando.k8s.cluster import KubernetesCluster
from tests.services.stack import Stack
from tests.services.user import User

from bench.site import Client

STEPS = ("stage_data", "run_workflow", "organize_output", "save_output")


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of ``values`` (seconds), in milliseconds."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}


def settings_of(stack: Stack) -> ClusterSettings:
    """How the measured cluster is reached."""
    place = stack.cluster
    token = Path(place["token_file"]).read_text().strip()
    return ClusterSettings(namespace=place["namespace"], host=place["url"], token=token, ssl_ca_cert=place["ca_file"])


def cluster_of(stack: Stack) -> KubernetesCluster:
    """A client of the measured cluster."""
    return KubernetesCluster(settings_of(stack))


class _JobWatch:
    """When each step's Job appeared and when it was complete, by one watch of all."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self.appeared: dict[tuple[int, str], float] = {}
        self.completed: dict[tuple[int, str], float] = {}
        self._cluster = cluster
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._version = cluster.list_page("Job", labels.BESPIN_SELECTOR).resource_version
        self._thread.start()

    def _run(self) -> None:
        for event in self._cluster.watch("Job", labels.BESPIN_SELECTOR, self._version, timeout_s=600):
            now = time.perf_counter()
            document: dict[str, Any] = event["object"]
            key = labels.step_key(document["metadata"].get("labels", {}))
            if key is None:
                continue
            place = (key.run_id, key.step)
            self.appeared.setdefault(place, now)
            conditions = document.get("status", {}).get("conditions", [])
            if any(one["type"] == "Complete" and one["status"] == "True" for one in conditions):
                self.completed.setdefault(place, now)

    def handoffs(self) -> list[float]:
        """Seconds from each step's completion to its follower's Job."""
        return [
            self.appeared[run, after] - when
            for (run, step), when in self.completed.items()
            if step != STEPS[-1] and (run, after := STEPS[STEPS.index(step) + 1]) in self.appeared
        ]


def measure(stack: Stack, user: User, client: Client, jobs: int) -> dict[str, Any]:
    """Run ``jobs`` one after the other; time their hand-offs and as many rounds of the raw calls."""
    cluster = cluster_of(stack)
    watch = _JobWatch(cluster)
    raw = []
    for _ in range(jobs):
        job = client.create_job()
        client.start(job)
        user.wait(job, lambda document: document["state"] == "F")
        raw += [_raw_calls(stack, cluster, job) for _ in range(len(STEPS) - 1)]
    waited = watch.handoffs()
    handoff, calls = percentiles(waited), percentiles(raw)
    return {
        "hand_offs": len(waited),
        "hand_off": handoff,
        "raw_calls": calls,
        "ratio_p50": handoff["p50_ms"] / calls["p50_ms"],
        "ratio_p99": handoff["p99_ms"] / calls["p99_ms"],
    }


_session = requests.Session()


def _raw_calls(stack: Stack, cluster: KubernetesCluster, job: int) -> float:
    url = f"{stack.url}/api/v2/admin/jobs/{job}/"
    headers = {"Authorization": f"Token {stack.signin.daemon}"}
    name = f"bench-{job}-{time.perf_counter_ns()}"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}
    container = {"name": "a", "image": "lando-steps:local", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    # Suspended, so that the measuring does not start pods of its own.
    spec = {"suspend": True, "template": template}
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
    began = time.perf_counter()
    _session.get(url, headers=headers, timeout=30).raise_for_status()
    _session.put(url, headers=headers, json={"step": ""}, timeout=30).raise_for_status()
    cluster.create(config)
    cluster.create(manifest)
    took = time.perf_counter() - began
    cluster.delete("Job", name)
    cluster.delete("ConfigMap", name)
    return took
