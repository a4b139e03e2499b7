"""What pods are filled up with, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore


def create(store: ObjectStore, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "x", **(container or {})}]
    return store.create("pods", "ns", {"metadata": {"generateName": "p-"}, "spec": {"containers": containers, **spec}})


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(store: ObjectStore, image: str, policy: str) -> None:
    assert create(store, {"image": image})["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": 1}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_requests_and_limits(
    store: ObjectStore, resources: dict[str, Any], quality: str
) -> None:
    assert create(store, {"resources": resources})["status"] == {"phase": "Pending", "qosClass": quality}


def test_a_new_pod_has_no_status_of_its_creator(store: ObjectStore) -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
        "status": {"phase": "Failed"},
    }
    assert store.create("pods", "ns", pod)["status"]["phase"] == "Pending"


def test_volumes_without_a_source_are_empty_folders(store: ObjectStore) -> None:
    volumes = [{"name": "a"}, {"name": "b", "configMap": {"name": "m"}}]
    assert create(store, volumes=volumes)["spec"]["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "m", "defaultMode": 0o644}},
    ]


def test_fields_nobody_knows_are_dropped_and_nulls_with_them(store: ObjectStore) -> None:
    created = create(store, {"colour": "red", "command": None}, hobby="chess")
    assert "hobby" not in created["spec"]
    assert not {"colour", "command"} & created["spec"]["containers"][0].keys()


MAIN, VOLUME = "spec.containers[0]", "spec.volumes[0]"
REQUIRED, INVALID, UNSUPPORTED = "FieldValueRequired", "FieldValueInvalid", "FieldValueNotSupported"


@pytest.mark.parametrize(
    ("container", "spec", "field", "reason"),
    [
        ({"name": ""}, {}, f"{MAIN}.name", REQUIRED),
        ({"image": " x"}, {}, f"{MAIN}.image", INVALID),
        ({"imagePullPolicy": "Maybe"}, {}, f"{MAIN}.imagePullPolicy", UNSUPPORTED),
        ({"env": [{"name": "A=B"}]}, {}, f"{MAIN}.env[0].name", INVALID),
        ({"env": [{"name": "A", "valueFrom": {}}]}, {}, f"{MAIN}.env[0].valueFrom", INVALID),
        ({"ports": [{"containerPort": 70000}]}, {}, f"{MAIN}.ports[0].containerPort", INVALID),
        ({"resources": {"requests": {"cpu": "-1"}}}, {}, f"{MAIN}.resources.requests[cpu]", INVALID),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            {},
            f"{MAIN}.resources.requests",
            INVALID,
        ),
        (
            {"volumeMounts": [{"name": "v"}]},
            {"volumes": [{"name": "v"}]},
            f"{MAIN}.volumeMounts[0].mountPath",
            REQUIRED,
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]},
            {"volumes": [{"name": "v"}]},
            f"{MAIN}.volumeMounts[0].subPath",
            INVALID,
        ),
        ({}, {"volumes": [{"name": "v"}, {"name": "v"}]}, "spec.volumes[1].name", "FieldValueDuplicate"),
        (
            {},
            {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            "spec.volumes[0].secret",
            "FieldValueForbidden",
        ),
        (
            {},
            {"volumes": [{"name": "v", "persistentVolumeClaim": {}}]},
            "spec.volumes[0].persistentVolumeClaim.claimName",
            REQUIRED,
        ),
        ({}, {"initContainers": [{"name": "c", "image": "x"}]}, f"{MAIN}.name", "FieldValueDuplicate"),
        ({}, {"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", INVALID),
        ({}, {"restartPolicy": "Sometimes"}, "spec.restartPolicy", UNSUPPORTED),
        ({}, {"nodeSelector": {"a": "b c"}}, "spec.nodeSelector", INVALID),
    ],
)
def test_each_rule_names_its_field(
    store: ObjectStore, container: dict[str, Any], spec: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(ApiError) as caught:
        create(store, container, **spec)
    assert caught.value.details is not None
    assert [(cause["field"], cause["reason"]) for cause in caught.value.details["causes"]] == [(field, reason)]


@pytest.mark.parametrize(
    "container",
    [{"command": "ls"}, {"resources": {"limits": {"cpu": "fast"}}}, {"stdin": 1}, {"env": {"A": "B"}}, {"tty": "yes"}],
)
def test_values_of_the_wrong_type_are_a_bad_request(store: ObjectStore, container: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match='Pod in version "v1" cannot be handled as a Pod') as caught:
        create(store, container)
    assert caught.value.code == 400


def test_a_pods_image_and_tolerations_may_change_but_not_its_command(store: ObjectStore) -> None:
    name = create(store)["metadata"]["name"]
    store.modify("pods", "ns", name, lambda pod: pod["spec"]["containers"][0].update(image="y"))
    store.modify("pods", "ns", name, lambda pod: pod["spec"]["tolerations"].append({"key": "k", "operator": "Exists"}))
    with pytest.raises(ApiError, match="pod updates may not change fields"):
        store.modify("pods", "ns", name, lambda pod: pod["spec"]["containers"][0].update(command=["ls"]))
