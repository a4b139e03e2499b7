"""What is kept of a verdict: enough to follow it, bounded, and no secrets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import Diagnosis, diagnose
from lando.k8s.diagnosis.evidence import MAX_BYTES, evidence
from tests.unit.diagnose.recorded import (
    OF_CLAIM,
    POD,
    START,
    Shown,
    ended,
    event,
    failed,
    of_end,
    pod,
    unscheduled,
    waits,
)

NOW = START + timedelta(seconds=120)


def kept(shown: Shown) -> dict[str, Any]:
    found = diagnose(shown.job, shown.pods, shown.events, now=NOW, patience=timedelta(hours=1), log_tail=shown.log)
    return evidence(found, attempt=2, job=shown.job, pods=shown.pods, events=shown.events, now=NOW)


def test_a_failure_is_kept_with_its_rule_its_states_and_its_log() -> None:
    made = pod("Failed", ended(137, "OOMKilled"), resources={"limits": {"memory": "2Gi"}})
    document = kept(of_end(made, log="line 1\nline 2\n"))

    assert (document["attempt"], document["verdict"], document["judged"]) == (2, "Failed", "2026-03-04T10:02:00Z")
    assert document["cause"]["category"] == "resources"
    assert document["cause"]["exit_code"] == 137
    assert document["rule"] == {"name": "out-of-memory", "saw": "ended container OOMKilled", "fails": "at once"}
    assert document["job"]["conditions"][0]["reason"] == "BackoffLimitExceeded"
    [shown] = document["pods"]
    assert (shown["name"], shown["node"], shown["phase"]) == (POD, "gke-pool-7", "Failed")
    [container] = shown["containers"]
    assert container["limits"] == {"memory": "2Gi"}
    assert container["state"]["terminated"]["exitCode"] == 137
    assert document["log_tail"] == "line 1\nline 2\n"


def test_a_wait_is_kept_with_the_events_of_pod_and_claim_the_newest_first() -> None:
    shown = unscheduled(
        "0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims.",
        event("FailedScheduling", "0/3 nodes are available", seconds=2),
        event("ProvisioningFailed", "no capacity", OF_CLAIM, seconds=5),
        event("BackOff", "of somebody else", {"kind": "Pod", "name": "other", "uid": "other"}, seconds=6),
    )
    document = kept(shown)

    assert document["verdict"] == "Waiting"
    assert [(one["about"], one["reason"]) for one in document["events"]] == [
        ("PersistentVolumeClaim job-data-42-ada", "ProvisioningFailed"),
        (f"Pod {POD}", "FailedScheduling"),
    ]


def test_no_environment_no_arguments_and_no_credentials_are_kept() -> None:
    made = pod("Failed", ended(1, "Error", "GET https://ada:hunter2@example.org/x said 403"))
    made["metadata"]["annotations"] = {"note": "s3cret"}
    made["spec"]["containers"][0]["args"] = ["--password", "s3cret"]
    text = json.dumps(kept(of_end(made, log="Authorization: Bearer abcdef0123456789\n")))

    assert "s3cret" not in text
    assert "hunter2" not in text
    assert "abcdef0123456789" not in text


@pytest.mark.parametrize("letter", ["x", "ü", "\n", "\0"])
def test_the_document_is_bounded_whatever_the_cluster_says(letter: str) -> None:
    long = letter * 200_000
    pods = []
    for number in range(50):
        one = pod("Failed", ended(3, "Error", long), status={"message": long})
        one["metadata"] |= {"uid": f"p{number}", "name": f"{POD}-{number}"}
        one["spec"]["containers"] *= 40
        one["status"]["conditions"] += [{"type": f"c{n}", "message": long} for n in range(50)]
        pods.append(one)
    events = tuple(
        event("Failed", long, {"kind": "Pod", "name": POD, "uid": "p49"}, seconds=number) for number in range(500)
    )
    document = kept(Shown(job=failed(message=long), pods=tuple(pods), events=events, log=long))

    assert len(json.dumps(document, ensure_ascii=False).encode()) <= MAX_BYTES
    assert document["rule"]["name"] == "exit-code"


def test_a_broken_object_breaks_nothing() -> None:
    found = kept(
        Shown(job=failed(), pods=({"status": {"containerStatuses": [{"state": "x"}]}}, pod("Failed", waits(""))))
    )

    assert found["verdict"] == "Failed"


def test_there_is_no_evidence_without_a_cause() -> None:
    found = diagnose({}, [], [], now=NOW, patience=timedelta(hours=1))

    with pytest.raises(ValueError, match="only of a failure or a wait"):
        evidence(Diagnosis(verdict=found.verdict), attempt=1, job={}, pods=[], events=[], now=NOW)
