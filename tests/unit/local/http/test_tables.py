"""What ``kubectl get`` shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from lando.local.http.tables import EventTables, Include, duration, table, wanted
from lando.local.store.watching import Event, bookmark

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
METADATA = {"name": "it", "creationTimestamp": "2030-01-01T11:55:00Z"}
CONTAINERS = [{"name": "a"}, {"name": "b"}]


def row(kind: str, manifest: dict[str, Any], **metadata: Any) -> list[Any]:
    """The cells of the columns that are shown without ``-o wide``."""
    shown = table(kind, [{"metadata": {**METADATA, **metadata}, **manifest}], {}, NOW)
    cells = zip(shown["columnDefinitions"], shown["rows"][0]["cells"], strict=True)
    return [cell for column, cell in cells if column["priority"] == 0]


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
    assert row("ServiceAccount", {}) == ["it", "0", "5m"]
    assert row("ResourceQuota", {}) == ["it", "5m"]


def test_only_who_asks_gets_a_table() -> None:
    assert wanted("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert not wanted("application/json")
    assert not wanted("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert not wanted("")


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ([{"terminated": {"exitCode": 0}}, {"running": {}}], "Init:1/2"),
        ([{"terminated": {"exitCode": 3, "reason": "Error"}}], "Init:Error"),
        ([{"terminated": {"exitCode": 137, "signal": 9}}], "Init:Signal:9"),
        ([{"waiting": {"reason": "ErrImagePull"}}], "Init:ErrImagePull"),
        ([{"waiting": {"reason": "PodInitializing"}}], "Init:0/2"),
        ([{"terminated": {"exitCode": 0}}], "Pending"),
    ],
)
def test_a_pod_shows_how_far_its_init_containers_are(states: list[dict[str, Any]], shown: str) -> None:
    spec = {"containers": CONTAINERS, "initContainers": CONTAINERS}
    status = {"phase": "Pending", "initContainerStatuses": [{"state": state} for state in states]}
    assert row("Pod", {"spec": spec, "status": status})[2] == shown


def test_restarts_say_when_the_last_was() -> None:
    last = {"terminated": {"finishedAt": "2030-01-01T11:59:00Z"}}
    states = [{"restartCount": 2, "state": {"running": {}}, "lastState": last}]
    pod = {"spec": {"containers": CONTAINERS}, "status": {"phase": "Running", "containerStatuses": states}}
    assert row("Pod", pod)[3] == "2 (60s ago)"


def test_wide_columns_are_there_and_marked() -> None:
    pod = {"spec": {"containers": CONTAINERS, "nodeName": "n"}, "status": {"podIP": "127.0.0.1"}}
    shown = table("Pod", [{"metadata": METADATA, **pod}], {}, NOW)
    wide = [column["name"] for column in shown["columnDefinitions"] if column["priority"] == 1]
    assert wide == ["IP", "Node", "Nominated Node", "Readiness Gates"]
    assert shown["rows"][0]["cells"][5:] == ["127.0.0.1", "n", "<none>", "<none>"]


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
def test_rows_carry_as_much_of_the_object_as_was_asked_for(include: Include) -> None:
    manifest = {"kind": "ConfigMap", "metadata": METADATA, "data": {"a": "b"}}
    row = table("ConfigMap", [manifest], {}, NOW, include=include)["rows"][0]
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": METADATA}
    assert row.get("object") == {"None": None, "Metadata": partial, "Object": manifest}[include]


def test_the_tables_of_a_watch_name_their_columns_once() -> None:
    tables = EventTables("ConfigMap", "None")
    raw = json.dumps({"kind": "ConfigMap", "metadata": {**METADATA, "resourceVersion": "7"}}).encode()
    first, second, mark = (
        json.loads(tables.line(event))
        for event in (Event("ADDED", raw), Event("DELETED", raw), bookmark("ConfigMap", "v1", 9))
    )
    assert first["type"] == "ADDED"
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["object"]["metadata"]["resourceVersion"] == "7"
    assert (second["type"], second["object"]["columnDefinitions"]) == ("DELETED", None)
    assert second["object"]["rows"][0]["cells"][:2] == ["it", "0"]
    assert mark["object"]["metadata"]["resourceVersion"] == "9"
