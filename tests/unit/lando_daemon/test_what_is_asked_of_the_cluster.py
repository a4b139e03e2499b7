"""A look at a run costs a bounded number of requests, however many of its steps wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from lando.decide import ObjectRef, Plan, PlannedStep
from lando.k8s import observe
from lando.k8s.cluster import Manifest
from tests.services.store_cluster import StoreCluster

NOW = datetime(2026, 3, 4, 15, tzinfo=UTC)


class Counted(StoreCluster):
    def __init__(self) -> None:
        super().__init__()
        self.listed: list[tuple[str, str]] = []

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        self.listed.append((kind, field_selector))
        return super().list(kind, label_selector, field_selector)


def look(steps: int) -> tuple[Counted, observe.Observation]:
    """At a run whose Jobs are suspended, as an event says of each."""
    cluster = Counted()
    names = [f"job-{number}" for number in range(steps)]
    for name in names:
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "tool:1"}]}
        labels = {"lando-run-id": "7", "lando-run-kind": "phases", "lando-run-step": name}
        job = {"metadata": {"name": name, "labels": labels}, "spec": {"suspend": True, "template": {"spec": pod}}}
        cluster.create({"apiVersion": "batch/v1", "kind": "Job", **job})
    plan = Plan(
        steps=tuple(PlannedStep(name=name, job=ObjectRef("Job", name)) for name in names),
        record=ObjectRef("ConfigMap", "lando-run-7"),
    )
    cluster.listed.clear()
    with ThreadPoolExecutor(4) as pool:
        reading = observe.read(cluster, "lando-run-id=7", plan.record, pool)
        seen = observe.observe(cluster, plan, reading, now=NOW, patience=timedelta(hours=1))
    return cluster, seen


@pytest.mark.parametrize(("steps", "requests"), [(3, 3), (200, observe.EVENTS_ASKED + 1)])
def test_why_steps_wait_is_asked_for_in_a_bounded_number_of_requests(steps: int, requests: int) -> None:
    cluster, seen = look(steps)

    assert [kind for kind, _ in cluster.listed].count("Event") == requests
    assert len(seen.evidence) == steps
    assert {tuple(one["message"] for one in found["events"]) for found in seen.evidence.values()} == {
        ("Job suspended",)
    }
