"""What a phased run costs: calls to the cluster for each Job, and the wait from a Job's end to its dependent's making.

Runs of different sizes are measured by one watch of all Jobs; the Jobs want no completions, so that they are complete
as soon as the cluster looks at them, and only the running of the model is timed. Beside the wait stands the one call
that it can't do without, the creation of a Job, made over a warm session in the same cluster.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from statistics import median
from typing import Any

from lando.config import ClusterSettings
from lando.direct.events import Event, Outcome
from lando.direct.preflight import check
from lando.direct.runner import run
from lando.k8s.cluster import KubernetesCluster, Manifest
from lando.phases.files import Bundle
from lando.phases.model import Model
from lando.phases.reading import read

from bench.handoff import percentiles

CHAINS = 5
SIZES = (50, 500)
ROUNDS = 50


def manifest(name: str) -> Manifest:
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    spec = {"completions": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def model_of(jobs: int, namespace: str) -> Model:
    """Chains of Jobs side by side, each Job after the one before it."""
    entries: list[Manifest] = []
    files = {}
    for number in range(jobs):
        name, before = f"of-{jobs}-{number}", number - CHAINS
        files[f"{name}.json"] = json.dumps(manifest(name))
        needs = [f"of-{jobs}-{before}"] if before >= 0 else []
        entries.append({"name": name, "job_path": f"{name}.json", "depends_on": needs})
    document = {
        "jobernetes_config": {"kubernetes_namespace": namespace},
        "jobernetes": [{"phase_name": "all", "jobs": entries}],
    }
    model, findings = read(Bundle({"model.json": json.dumps(document), **files}), "model.json")
    if model is None:
        raise ValueError(f"the model to measure is wrong: {findings}")
    return model


class _Quiet:
    def tell(self, event: Event) -> None:
        pass


class _Watch:
    """When each Job appeared and was complete, by one watch of all."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self.appeared: dict[str, float] = {}
        self.completed: dict[str, float] = {}
        version = cluster.list_page("Job", "jobernetes_job_name").resource_version
        self._events = cluster.watch("Job", "jobernetes_job_name", version, timeout_s=600)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for event in self._events:
            now = time.perf_counter()
            document: dict[str, Any] = event["object"]
            name = document["metadata"].get("name", "")
            self.appeared.setdefault(name, now)
            conditions = document.get("status", {}).get("conditions", [])
            if any(one["type"] == "Complete" and one["status"] == "True" for one in conditions):
                self.completed.setdefault(name, now)

    def close(self) -> None:
        self._events.close()
        self._thread.join(10)

    def waits(self, model: Model) -> list[float]:
        """Seconds from the end of what each Job had to wait for to its own making."""
        return [
            self.appeared[entry.name] - max(self.completed[name] for name in entry.depends_on)
            for phase in model.phases
            for entry in phase.entries
            if entry.depends_on
        ]


def measure(settings: ClusterSettings) -> dict[str, Any]:
    """Run a model of each size; the ratios are those of the largest to the smallest."""
    runs = {jobs: _run(settings, jobs) for jobs in SIZES}
    few, many = (runs[jobs] for jobs in SIZES)
    return {
        "runs": runs,
        "growth_of_calls": sum(many["calls_per_job"].values()) / sum(few["calls_per_job"].values()),
        "growth_of_work": many["cpu_ms_per_job"] / few["cpu_ms_per_job"],
    }


def _run(settings: ClusterSettings, jobs: int) -> dict[str, Any]:
    calls: Counter[str] = Counter()
    checking: Counter[str] = Counter()
    model = model_of(jobs, settings.namespace)
    counted = checking

    def count(verb: str, kind: str) -> None:
        counted[f"{verb} {kind}"] += 1

    with KubernetesCluster(settings, on_call=count) as cluster:
        if errors := [finding for finding in check(model, cluster) if finding.is_error]:
            raise ValueError(f"the cluster refuses the model to measure: {errors}")
        counted = calls
        with KubernetesCluster(settings) as other:
            created = _creations(other)
            watch = _Watch(other)
            began, worked = time.perf_counter(), time.process_time()
            outcome = run(model, cluster, listener=_Quiet(), stop=threading.Event())
            took, worked = time.perf_counter() - began, time.process_time() - worked
            watch.close()
            for job in model.jobs():
                other.delete("Job", job.name)
        if outcome is not Outcome.COMPLETE:
            raise ValueError(f"the run of {jobs} Jobs ended as {outcome.name}")
    wait = percentiles(watch.waits(model))
    return {
        "calls_per_job": {what: round(number / jobs, 3) for what, number in sorted(calls.items())},
        "checks_per_job": {what: round(number / jobs, 3) for what, number in sorted(checking.items())},
        "wait": wait,
        "create_ms": created * 1000,
        "ratio_to_create": wait["p50_ms"] / (created * 1000),
        "jobs_per_second": jobs / took,
        "cpu_ms_per_job": worked * 1000 / jobs,
    }


def _creations(cluster: KubernetesCluster) -> float:
    """Median seconds of making a Job."""
    times = []
    for number in range(ROUNDS):
        one = manifest(f"alone-{number}")
        began = time.perf_counter()
        cluster.create(one)
        times.append(time.perf_counter() - began)
        cluster.delete("Job", one["metadata"]["name"])
    return median(times)


def as_text(figures: dict[str, Any]) -> list[str]:
    """The figures for a reader."""
    lines = ["A phased run against the cluster alone"]
    for jobs, of in figures["runs"].items():
        calls, checks = sum(of["calls_per_job"].values()), sum(of["checks_per_job"].values())
        lines.append(
            f"  {jobs:>5} Jobs   {calls:.2f} calls per Job, {calls + checks:.2f} with the checks before; "
            f"{of['jobs_per_second']:.0f} Jobs per second, {of['cpu_ms_per_job']:.1f} ms of a core for each"
        )
        lines.append(
            f"               from a Job's end to the next one: p50 {of['wait']['p50_ms']:.1f} ms, "
            f"p99 {of['wait']['p99_ms']:.1f} ms; ratio to the making of a Job {of['ratio_to_create']:.2f}"
        )
    lines.append(
        f"  {SIZES[1]} to {SIZES[0]} Jobs: ratio of calls per Job {figures['growth_of_calls']:.2f}, "
        f"of a core's time per Job {figures['growth_of_work']:.2f}"
    )
    return lines
