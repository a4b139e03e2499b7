"""Diagnosis of what clusters really show: the same rule speaks on the embedded one and on a real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import Diagnosis, diagnose
from tests.contract.known_differences import since
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import container, job, notes

Manifest = dict[str, Any]
PATIENCE_S = 30.0
TWO_GIB = {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}}


@pytest.fixture(autouse=True)
def service_account(api: KubernetesApi) -> None:
    """Pods are taken once their account is there."""
    wait_until(lambda: api.get("serviceaccounts", "default").code == 200, what="the service account")


def judged(api: KubernetesApi, *, late: bool) -> Diagnosis:
    """What is found of the Job ``work`` now, or when patience has ended."""
    pods = api.list("pods", labelSelector="job-name=work").body["items"]
    return diagnose(
        api.get("jobs", "work").body,
        pods,
        api.list("events").body["items"],
        now=datetime.now(UTC) + timedelta(minutes=20 if late else 0),
        patience=timedelta(minutes=10),
    )


def spoke(api: KubernetesApi, rule: str, *, late: bool = True) -> Diagnosis:
    """The diagnosis as soon as this rule speaks."""
    found: list[Diagnosis] = []

    def speaks() -> bool:
        found[:] = [judged(api, late=late)]
        return found[0].finding is not None and found[0].finding.rule == rule

    wait_until(speaks, PATIENCE_S, what=f"the rule {rule}")
    return found[0]


def make(api: KubernetesApi, script: str, played: dict[str, str], **more: Any) -> None:
    created = api.create("jobs", job("work", script, played, **more))
    assert created.code == 201, created.body


def test_an_exit_code(api: KubernetesApi) -> None:
    make(api, "exit 3", notes("Failed:3"))

    cause = spoke(api, "exit-code", late=False).cause
    assert cause is not None
    assert cause.exit_code == 3


def test_a_step_that_says_itself_why_it_failed(api: KubernetesApi) -> None:
    message = '{"cause": {"category": "user", "sentence": "No such sample."}}'
    make(
        api,
        f"echo '{message}' > ${{LANDO_TERMINATION_LOG:-/dev/termination-log}}; exit 1",
        notes("Failed:1", message=message),
    )

    cause = spoke(api, "told-by-the-step", late=False).cause
    assert cause is not None
    assert cause.sentence == "No such sample."


def test_memory_that_ran_out_and_how_much_was_told_ahead(api: KubernetesApi) -> None:
    """The message is there before the kill, as a step's program leaves it."""
    message = '{"memory": {"peak": 60817408, "largest": "sh", "largest_bytes": 58720256}}'
    script = (
        f"echo '{message}' > ${{LANDO_TERMINATION_LOG:-/dev/termination-log}}; "
        'x=0123456789; while [ ${#x} -lt 150000000 ]; do x="$x$x"; done; sleep 300'
    )
    limited = container(script, resources={"limits": {"memory": "64Mi"}})
    make(api, script, notes("OOMKilled", message=message), pod={"containers": [limited]})

    cause = spoke(api, "out-of-memory", late=False).cause
    assert cause is not None
    assert "its limit of 64Mi; the most that was measured before is 58Mi, of which sh held 56Mi." in cause.sentence


def test_a_deadline(api: KubernetesApi) -> None:
    make(api, "sleep 300", notes("Running"), activeDeadlineSeconds=1)

    cause = spoke(api, "deadline", late=False).cause
    assert cause is not None
    assert "1 s" in cause.sentence


def test_a_quota(api: KubernetesApi) -> None:
    hard = {"requests.memory": "1Gi"}
    api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    wait_until(
        lambda: api.get("resourcequotas", "q").body["status"].get("hard") == hard, PATIENCE_S, what="the quota's status"
    )
    make(
        api,
        "true",
        notes(),
        pod={"containers": [container("true", resources=TWO_GIB)]},
    )

    cause = spoke(api, "quota").cause
    assert cause is not None
    assert "requested: requests.memory=2Gi" in cause.sentence


def test_a_limit_range(api: KubernetesApi) -> None:
    limit = {"type": "Container", "max": {"memory": "1Gi"}}
    api.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
    made = job("work", "true", notes(), pod={"containers": [container("true", resources=TWO_GIB)]})

    def refused() -> bool:
        """A limit range counts only once the API server has taken note of it."""
        api.delete("jobs", "work", propagationPolicy="Background")
        wait_until(lambda: api.get("jobs", "work").code == 404, what="the former Job's end")
        assert api.create("jobs", made).code == 201
        wait_until(lambda: _has_pod_or_refusal(api), PATIENCE_S, what="a pod or a refusal")
        finding = judged(api, late=True).finding
        return finding is not None and finding.rule == "limit-range"

    wait_until(refused, PATIENCE_S, what="the refusal")


def _has_pod_or_refusal(api: KubernetesApi) -> bool:
    if api.list("pods", labelSelector="job-name=work").body["items"]:
        return True
    uid = api.get("jobs", "work").body["metadata"]["uid"]
    events = api.list("events").body["items"]
    return any(event["involvedObject"].get("uid") == uid and event["reason"] == "FailedCreate" for event in events)


def test_a_pod_deleted_by_hand(api: KubernetesApi) -> None:
    since(api, "pods that are deleted count as failed")
    make(api, "sleep 300", notes("Running"))
    pods: list[Manifest] = []

    def running() -> bool:
        pods[:] = api.list("pods", labelSelector="job-name=work").body["items"]
        return [pod["status"].get("phase") for pod in pods] == ["Running"]

    wait_until(running, PATIENCE_S, what="a running pod")
    api.delete("pods", pods[0]["metadata"]["name"], gracePeriodSeconds=0)

    wait_until(
        lambda: (
            (finding := judged(api, late=False).finding) is not None and finding.rule in ("pod-gone", "pod-deleted")
        ),
        PATIENCE_S,
        what="the failure",
    )
