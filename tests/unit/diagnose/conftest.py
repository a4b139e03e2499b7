"""Jobs, pods and events as a cluster reports them, with only what a case is about changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import Diagnosis, diagnose

CREATED = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
NAME = "run-workflow-42-ada"

Made = dict[str, Any]


def stamp(seconds: float = 0) -> str:
    return (CREATED + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_job(*conditions: Made, **spec: Any) -> Made:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "uid": "job-uid", "creationTimestamp": stamp()},
        "spec": {"backoffLimit": 0, "completions": 1, "parallelism": 1, **spec},
        "status": {"startTime": stamp(), "conditions": [{"status": "True", **entry} for entry in conditions]},
    }


def make_pod(
    phase: str = "Running",
    state: Made | None = None,
    *,
    conditions: list[Made] | None = None,
    metadata: Made | None = None,
    node: str | None = "node-7",
    resources: Made | None = None,
    created: float = 1,
    last_state: Made | None = None,
    **status: Any,
) -> Made:
    statuses = []
    if state is not None:
        statuses = [{"name": NAME, "image": "tool:1", "restartCount": 0, "state": state, "lastState": last_state or {}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-x7k2p",
            "uid": "pod-uid",
            "creationTimestamp": stamp(created),
            "ownerReferences": [{"kind": "Job", "name": NAME, "uid": "job-uid", "controller": True}],
            **(metadata or {}),
        },
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": NAME, "image": "tool:1", "command": ["calrissian"], "resources": resources or {}}],
        },
        "status": {
            "phase": phase,
            "conditions": [{"type": "PodScheduled", "status": "True"}, *(conditions or [])] if node else conditions,
            "containerStatuses": statuses,
            **({"startTime": stamp(created)} if node else {}),
            **status,
        },
    }


def make_event(reason: str, message: str, about: str = "pod-uid", at: float = 2) -> Made:
    return {
        "kind": "Event",
        "metadata": {"name": f"e.{reason}.{at}", "uid": f"e{reason}{at}"},
        "involvedObject": {"uid": about},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "count": 1,
    }


@pytest.fixture
def job() -> Callable[..., Made]:
    return make_job


@pytest.fixture
def failed_job() -> Made:
    return make_job(
        {
            "type": "Failed",
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "lastTransitionTime": stamp(60),
        }
    )


@pytest.fixture
def pod() -> Callable[..., Made]:
    return make_pod


@pytest.fixture
def event() -> Callable[..., Made]:
    return make_event


@pytest.fixture
def ended() -> Callable[..., Made]:
    """The state of a container that has ended."""

    def make(exit_code: int, reason: str = "Error", message: str | None = None) -> Made:
        end = {"exitCode": exit_code, "reason": reason, "startedAt": stamp(5), "finishedAt": stamp(50)}
        return {"terminated": {**end, **({"message": message} if message else {})}}

    return make


@pytest.fixture
def waiting() -> Callable[..., Made]:
    """The state of a container that is not started."""
    return lambda reason, message="": {"waiting": {"reason": reason, "message": message}}


@pytest.fixture
def judged() -> Callable[..., Diagnosis]:
    """Diagnosis ``after`` so many seconds from the Job's creation, with ten minutes of patience."""

    def judge(job: Made, *pods: Made, events: list[Made] | None = None, after: float = 60, log: str = "") -> Diagnosis:
        return diagnose(
            job,
            pods,
            events or [],
            now=CREATED + timedelta(seconds=after),
            patience=timedelta(seconds=600),
            log_tail=log,
        )

    return judge
