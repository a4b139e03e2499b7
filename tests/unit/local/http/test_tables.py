"""What ``kubectl get`` shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from lando.local.http.tables import duration, table, wanted

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
METADATA = {"name": "it", "creationTimestamp": "2030-01-01T11:55:00Z"}
CONTAINERS = [{"name": "a"}, {"name": "b"}]


def row(kind: str, manifest: dict[str, Any], **metadata: Any) -> list[Any]:
    cells: list[Any] = table(kind, [{"metadata": {**METADATA, **metadata}, **manifest}], {}, NOW)["rows"][0]["cells"]
    return cells


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (150, "2m30s"),
        (600, "10m"),
        (3 * 3600 + 60, "3h1m"),
        (86400, "24h"),
        (4 * 86400, "4d"),
    ],
)
def test_lengths_of_time(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_pod_shows_what_holds_or_ended_it() -> None:
    statuses = [
        {"ready": True, "restartCount": 1, "state": {"running": {}}},
        {"ready": False, "restartCount": 2, "state": {"waiting": {"reason": "ErrImagePull"}}},
    ]
    pod = {"spec": {"containers": CONTAINERS}, "status": {"phase": "Pending", "containerStatuses": statuses}}
    assert row("Pod", pod) == ["it", "1/2", "ErrImagePull", "3", "5m"]
    assert row("Pod", pod, deletionTimestamp="2030-01-01T12:00:30Z")[2] == "Terminating"
    assert (
        row("Pod", {"spec": {"containers": CONTAINERS}, "status": {"phase": "Failed", "reason": "Evicted"}})[2]
        == "Evicted"
    )


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, ["it", "Running", "0/1", "", "5m"]),
        ({"startTime": "2030-01-01T11:59:00Z"}, ["it", "Running", "0/1", "60s", "5m"]),
        (
            {
                "startTime": "2030-01-01T11:55:00Z",
                "completionTime": "2030-01-01T11:55:07Z",
                "succeeded": 1,
                "conditions": [
                    {"type": "Complete", "status": "True", "lastTransitionTime": "2030-01-01T11:55:07Z"},
                ],
            },
            ["it", "Complete", "1/1", "7s", "5m"],
        ),
        (
            {
                "startTime": "2030-01-01T11:55:00Z",
                "conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2030-01-01T11:55:09Z"}],
            },
            ["it", "Failed", "0/1", "9s", "5m"],
        ),
    ],
)
def test_a_job_shows_how_it_stands_and_how_long_it_took(status: dict[str, Any], shown: list[str]) -> None:
    assert row("Job", {"spec": {"completions": 1}, "status": status}) == shown


def test_claims_events_and_data() -> None:
    claim = {
        "spec": {"volumeName": "v", "storageClassName": "local"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"]},
    }
    assert row("PersistentVolumeClaim", claim) == ["it", "Bound", "v", "1Gi", "RWX", "local", "5m"]
    event = {"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Warning", "reason": "Failed", "message": "no"}
    assert row("Event", event) == ["5m", "Warning", "Failed", "pod/p", "no"]
    assert row("ConfigMap", {"data": {"a": ""}, "binaryData": {"b": ""}}) == ["it", "2", "5m"]
    assert row("ServiceAccount", {}) == ["it", "5m"]


def test_only_who_asks_gets_a_table() -> None:
    assert wanted("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert not wanted("application/json")
    assert not wanted("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert not wanted("")
