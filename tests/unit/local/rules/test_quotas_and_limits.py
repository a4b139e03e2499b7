"""What objects use of a quota, and what a LimitRange makes of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from lando.local.rules import limit_ranges, quotas
from lando.local.rules.quantities import format_quantity, parse_quantity

Made = dict[str, Any]


def pod(*resources: Made, init: Made | None = None, phase: str = "Pending", **spec: Any) -> Made:
    containers = [{"name": f"c{at}", "resources": each} for at, each in enumerate(resources)]
    made: Made = {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}
    if init is not None:
        made["spec"]["initContainers"] = [{"name": "i", "resources": init}]
    return made


def quota(hard: Made, used: Made | None = None, **spec: Any) -> Made:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}


@pytest.mark.parametrize(
    ("text", "binary", "written"),
    [
        ("1500m", False, "1500m"),
        ("0.5", False, "500m"),
        ("1000", False, "1k"),
        ("3", False, "3"),
        ("2048Mi", True, "2Gi"),
        ("1000", True, "1000"),
        ("1e3", False, "1k"),
        ("0.0001", False, "100u"),
        ("1n", False, "1n"),
        ("0", True, "0"),
    ],
)
def test_a_quantity_is_written_with_the_largest_unit_that_fits(text: str, binary: bool, written: str) -> None:
    assert format_quantity(parse_quantity(text), binary=binary) == written


def test_a_pod_uses_what_its_containers_ask_for_together_or_the_larger_init_container() -> None:
    asking = pod(
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        {"requests": {"cpu": "1"}},
        init={"requests": {"cpu": "4", "memory": "1Mi"}},
    )
    used = quotas.usage_of("pods", "", asking)
    assert used["requests.cpu"] == used["cpu"] == 4
    assert used["requests.memory"] == 2**30
    assert used["limits.memory"] == 2**31
    assert used["pods"] == used["count/pods"] == 1


def test_a_pod_that_has_ended_counts_as_an_object_only() -> None:
    ended = pod({"requests": {"cpu": "1"}}, phase="Succeeded")
    assert quotas.usage_of("pods", "", ended) == {"count/pods": Decimal(1)}


def test_a_claim_counts_in_its_storage_class_too() -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}
    used = quotas.usage_of("persistentvolumeclaims", "", {"spec": spec})
    assert used["requests.storage"] == used["fast.storageclass.storage.k8s.io/requests.storage"] == 2**31
    assert used["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == used["persistentvolumeclaims"] == 1


@pytest.mark.parametrize(
    ("spec", "concerned"),
    [
        ({}, True),
        ({"scopes": ["Terminating"]}, True),
        ({"scopes": ["NotTerminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort", "Terminating"]}, True),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, True),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["low"]}]
                }
            },
            False,
        ),
    ],
)
def test_scopes_choose_pods(spec: Made, concerned: bool) -> None:
    one = pod(activeDeadlineSeconds=5, priorityClassName="high")
    one["status"]["qosClass"] = "Burstable"
    assert quotas.concerns(quota({}, **spec), "pods", one) is concerned


def test_a_quota_with_scopes_is_about_pods_only() -> None:
    assert not quotas.concerns(quota({}, scopes=["NotTerminating"]), "configmaps", {"metadata": {}})


def test_what_is_over_the_limit_is_said_in_order() -> None:
    limits = quota({"pods": "2", "requests.cpu": "1", "memory": "1Gi"}, {"pods": "2", "requests.cpu": "500m"})
    wanted = quotas.usage_of("pods", "", pod({"requests": {"cpu": "600m", "memory": "1Mi"}}))
    assert quotas.exceeded(limits, wanted) == (
        "exceeded quota: q, requested: pods=1,requests.cpu=600m, used: pods=2,requests.cpu=500m, "
        "limited: pods=2,requests.cpu=1"
    )


def test_what_a_quota_limits_has_to_be_stated_by_each_container() -> None:
    one = pod({"requests": {"cpu": "1"}}, {"limits": {"memory": "1Mi"}})
    limited = ["limits.memory", "cpu", "pods", "requests.storage"]
    assert quotas.missing_from(one, limited) == "cpu for: c1; limits.memory for: c0"


def test_a_limit_range_fills_up_and_says_so() -> None:
    item = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}, "defaultRequest": {"cpu": "100m"}}
    limits = {"spec": {"limits": [item]}}
    limit_ranges.default(limits)
    assert item["default"] == {"cpu": "2"}
    assert item["defaultRequest"] == {"cpu": "100m", "memory": "1Mi"}
    one = pod({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, init={})
    limit_ranges.fill_up(one, [limits])
    assert one["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1"},
        "requests": {"cpu": "1", "memory": "1Mi"},
    }
    assert one["metadata"]["annotations"][limit_ranges.ANNOTATION] == (
        "LimitRanger plugin set: memory request for container c0; cpu, memory request for init container i; "
        "cpu limit for init container i"
    )


@pytest.mark.parametrize(
    ("item", "resources", "sentence"),
    [
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        (
            {"min": {"cpu": "1"}},
            {"requests": {"cpu": "500m"}},
            "minimum cpu usage per Container is 1, but request is 500m",
        ),
        ({"max": {"memory": "1Gi"}}, {}, "maximum memory usage per Container is 1Gi.  No limit is specified"),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        ({"max": {"cpu": "4"}, "min": {"cpu": "1"}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}, None),
    ],
)
def test_a_limit_that_is_broken_is_said(item: Made, resources: Made, sentence: str | None) -> None:
    limits = {"spec": {"limits": [{"type": "Container", **item}]}}
    assert limit_ranges.refusals("pods", pod(resources), [limits]) == ([] if sentence is None else [sentence])
