"""What direct runs ask of a cluster is what rbac.yaml gives them: no right is missing, and none is unused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lando.direct import rights
from lando.direct.cleaning import cleanup
from lando.direct.events import Outcome
from lando.direct.preflight import check
from lando.k8s.permissions import Permission, permissions
from lando.local.rules.kinds import BY_RESOURCE
from lando.phases.model import Model, Resource
from tests.unit.direct.running import Told, World, entry, model, run

KINDS = {kind.kind: (kind.group, kind.resource) for kind in BY_RESOURCE.values()}
OWNED = frozenset().union(*(permissions("", plural, "delete") for plural in rights.RESOURCES.values()))
"""Never asked for, but wanted where the admission plugin OwnerReferencesPermissionEnforcement is on: to name an owner
of an object takes the right to delete the object."""
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def asked(world: World) -> set[Permission]:
    """The rights that the calls so far took."""
    words = [call.split() for call in world.calls]
    return {
        Permission("", "pods/log", "get") if verb == "log" else Permission(*KINDS[kind], verb)
        for verb, kind, *_ in words
    }


def with_resources(of: Model, label: str) -> Model:
    parts: dict[str, dict[str, Any]] = {
        "ConfigMap": {"data": {"a": label}},
        "Secret": {"stringData": {"a": label}},
        "PersistentVolumeClaim": {"spec": CLAIM},
    }
    manifests = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": "of-the-run", "labels": {"is": label}}, **rest}
        for kind, rest in parts.items()
    ]
    return replace(of, resources=tuple(Resource(path=f"{one['kind']}.yaml", manifest=one) for one in manifests))


def test_runs_ask_for_every_right_that_they_are_given_and_for_no_other(world: World) -> None:
    told: list[Told] = []

    def go_through(one: Model, outcome: Outcome) -> None:
        told.append(run(world, one, check=check))
        assert told[-1].ended.outcome is outcome, told[-1].events

    first = with_resources(model([entry("a"), entry("b", needs=["a"])]), "first")
    go_through(first, Outcome.COMPLETE)
    go_through(with_resources(first, "second"), Outcome.COMPLETE)
    # Another model of one of these Jobs finds what the first one owns.
    go_through(with_resources(model([entry("b"), entry("c")]), "third"), Outcome.COMPLETE)

    world.outcomes = lambda job: 3 if job == "bad" else 0
    go_through(model([entry("bad")]), Outcome.FAILED)
    world.outcomes = lambda job: 0
    go_through(model([entry("bad")]), Outcome.COMPLETE)

    world.store.create("serviceaccounts", world.namespace, {"metadata": {"name": "builder"}})
    container = {"name": "main", "image": "tool:1", "command": ["true"]}
    pod = {"restartPolicy": "Never", "serviceAccountName": "builder", "containers": [container]}
    go_through(model([entry("served", template={"spec": pod})]), Outcome.COMPLETE)

    def lose(call: str) -> None:
        if call == "create Job lost":
            world.after = lambda call: None
            raise world.unavailable()

    world.after = lose
    told.append(run(world, model([entry("lost")])))
    assert told[-1].ended.outcome is Outcome.COMPLETE
    assert cleanup(first, world, listener=Told()) is Outcome.COMPLETE

    assert asked(world) | OWNED == rights.EVERY
