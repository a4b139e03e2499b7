"""What a pod names of its bundle, it names as the run has it; what is somebody else's keeps its name."""

from __future__ import annotations

import json
from typing import Any

from lando.plans.phased_names import OBJECT_LIMIT, own_name, with_names

KINDS = ("ConfigMap", "Secret", "PersistentVolumeClaim")
NAMES = {(kind, "own"): "own-7" for kind in KINDS}


def pod(name: str) -> dict[str, Any]:
    """A pod that names ``name`` in every way there is."""
    container = {
        "name": "own",
        "env": [
            {"name": "a", "value": "own"},
            {"name": "b", "valueFrom": {"configMapKeyRef": {"name": name, "key": "own"}}},
            {"name": "c", "valueFrom": {"secretKeyRef": {"name": name, "key": "own"}}},
            {"name": "d", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}],
    }
    sources = [{"configMap": {"name": name}}, {"secret": {"name": name}}, {"downwardAPI": {}}]
    return {
        "containers": [container],
        "initContainers": [container],
        "imagePullSecrets": [{"name": name}],
        "volumes": [
            {"name": "own", "configMap": {"name": name}},
            {"name": "own", "secret": {"secretName": name}},
            {"name": "own", "persistentVolumeClaim": {"claimName": name}},
            {"name": "own", "projected": {"sources": sources}},
            {"name": "own", "emptyDir": {}},
        ],
    }


def test_every_reference_to_what_the_bundle_brings_follows_its_name() -> None:
    given = pod("own")
    assert with_names(given, NAMES) == pod("own-7")
    assert given == pod("own"), "what was given is left as it is"
    assert with_names(pod("others"), NAMES) == pod("others")
    for kind in KINDS:
        changed = json.dumps(with_names(pod("own"), {(kind, "own"): "own-7"})).count("own-7")
        assert changed == {"ConfigMap": 6, "Secret": 7, "PersistentVolumeClaim": 1}[kind]


def test_what_is_no_pod_is_left_to_the_cluster_to_refuse() -> None:
    odd = {"volumes": "x", "containers": [1, {"env": {"a": "b"}, "envFrom": [None]}], "imagePullSecrets": [{}]}
    assert with_names(odd, NAMES) == odd


def test_a_long_name_keeps_its_beginning_and_stays_apart_from_others() -> None:
    names = [own_name("a" * 253, 7), own_name("a" * 252 + "b", 7), own_name("a" * 240, 7)]
    assert [len(name) for name in names] == [OBJECT_LIMIT, OBJECT_LIMIT, 242]
    assert len(set(names)) == 3
    assert all(name.endswith("-7") for name in names)
