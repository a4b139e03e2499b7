"""Environment and command line of a container, as a kubelet works them out."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from lando.local.node.environment import (
    ContainerConfigError,
    Lookups,
    command_line,
    expand,
    pod_field,
    resolve_environment,
)

POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
        "labels": {"app": "lando", "quoted": 'say "hi"'},
        "annotations": {"note": "x"},
    },
    "spec": {
        "nodeName": "lando-local",
        "serviceAccountName": "default",
        "containers": [{"name": "c", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "250m"}}}],
    },
    "status": {"podIP": "127.0.0.1", "hostIP": "127.0.0.1"},
}
MAPS = {"settings": {"data": {"mode": "fast", "bad=key": "no"}}}
SECRETS = {"login": {"data": {"token": base64.b64encode(b"s3cret").decode()}}}
LOOKUPS = Lookups(config_map=MAPS.get, secret=SECRETS.get, node={"cpu": "4", "memory": str(8 * 2**30)})


def resolve(*env: dict[str, Any], sources: list[dict[str, Any]] | None = None) -> dict[str, str]:
    container = {**POD["spec"]["containers"][0], "env": list(env), "envFrom": sources or []}
    return resolve_environment(container, POD, LOOKUPS)


def variable(**source: Any) -> dict[str, Any]:
    return {"name": "V", "valueFrom": source}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)/x", "1/x"),
        ("$(A)$(B)", "12"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("cost: 5$", "cost: 5$"),
        ("$A ${A}", "$A ${A}"),
        ("$()", "$()"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_later_variables_see_earlier_ones_only() -> None:
    found = resolve({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"})
    assert found == {"A": "1", "B": "1$(C)", "C": "3"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "lando"),
        ("metadata.annotations['note']", "x"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "lando-local"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.0.0.1"),
        ("status.hostIP", "127.0.0.1"),
        ("metadata.labels", 'app="lando"\nquoted="say \\"hi\\""'),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert pod_field(POD, path) == expected


def test_an_unknown_field_is_a_config_error() -> None:
    with pytest.raises(ContainerConfigError, match=r"unsupported fieldPath: spec\.secret"):
        resolve(variable(fieldRef={"fieldPath": "spec.secret"}))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.memory", "divisor": "1Mi"}, "1024"),
        ({"resource": "requests.cpu"}, "1"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "250"),
        ({"resource": "limits.cpu"}, "4"),
        ({"resource": "requests.memory"}, str(2**30)),
    ],
)
def test_resources_of_the_container(reference: dict[str, str], expected: str) -> None:
    assert resolve(variable(resourceFieldRef=reference)) == {"V": expected}


def test_values_from_config_maps_and_secrets() -> None:
    assert resolve(variable(configMapKeyRef={"name": "settings", "key": "mode"})) == {"V": "fast"}
    assert resolve(variable(secretKeyRef={"name": "login", "key": "token"})) == {"V": "s3cret"}


def test_whole_config_maps_and_secrets_with_a_prefix() -> None:
    found = resolve(
        {"name": "L_token", "value": "own"},
        sources=[{"configMapRef": {"name": "settings"}}, {"prefix": "L_", "secretRef": {"name": "login"}}],
    )
    assert found == {"mode": "fast", "L_token": "own"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "k"}}, "couldn't find key k in ConfigMap ns/settings"),
        ({"secretKeyRef": {"name": "login", "key": "k"}}, "couldn't find key k in Secret ns/login"),
    ],
)
def test_what_is_missing_is_named_and_may_be_optional(source: dict[str, Any], words: str) -> None:
    with pytest.raises(ContainerConfigError) as missing:
        resolve(variable(**source))
    assert str(missing.value) == words
    optional = {kind: {**reference, "optional": True} for kind, reference in source.items()}
    assert resolve(variable(**optional)) == {}


def test_the_command_takes_the_place_of_the_images_and_args_follow() -> None:
    variables = {"IN": "/data"}
    assert command_line({"args": ["$(IN)"]}, ["tool", "run"], variables) == ["tool", "run", "/data"]
    assert command_line({"command": ["other"], "args": ["x"]}, ["tool"], variables) == ["other", "x"]
