"""Applying what a model needs besides its Jobs, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from lando.direct import resources
from lando.direct.lease import Lease
from lando.errors import Refused, Rejected, Unavailable
from lando.k8s.cluster import Manifest
from lando.phases.model import Resource
from tests.unit.direct.running import World, entry, model


class _Never:
    def wait(self, timeout: float) -> bool:
        raise AssertionError("nothing to wait for")


class Run:
    """One run's Lease, and which resources had to be written."""

    def __init__(self, world: World, *jobs: str) -> None:
        self.world = world
        self.lease = Lease(world, jobs or ("a",), tell=lambda _sentence: None)
        assert self.lease.acquire(_Never())
        self.model = model([entry(job) for job in jobs or ("a",)])
        self.written: list[str] = []

    def apply(self, *manifests: Manifest) -> None:
        self.written.clear()
        for one in manifests:
            name = one["metadata"]["name"]
            if resources.apply(Resource(path=f"{name}.yaml", manifest=one), self.model, self.world, self.lease.owner):
                self.written.append(name)


def config_map(**keys: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, **keys}


def secret(**keys: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, **keys}


def claim(size: str = "1Gi", mode: str = "ReadWriteOnce") -> Manifest:
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "scratch"}, "spec": spec}


@pytest.fixture
def run(world: World) -> Iterator[Run]:
    return Run(world)


def test_what_is_not_there_is_made_and_owned_by_the_lease(run: Run) -> None:
    run.apply(config_map(data={"a": "1"}), secret(stringData={"user": "ada"}), claim())

    assert run.written == ["settings", "login", "scratch"]
    for kind, name in (("ConfigMap", "settings"), ("Secret", "login"), ("PersistentVolumeClaim", "scratch")):
        made = run.world.get(kind, name)
        assert made["metadata"]["labels"] == {"lando-phases": run.lease.name}
        assert made["metadata"]["ownerReferences"] == [run.lease.owner]
    assert run.world.get("Secret", "login")["data"] == {"user": base64.b64encode(b"ada").decode()}

    run.lease.delete()
    assert run.world.list("ConfigMap") + run.world.list("Secret") + run.world.list("PersistentVolumeClaim") == []


def test_applied_again_nothing_is_written(run: Run) -> None:
    wanted = (config_map(data={"a": "1"}), secret(stringData={"user": "ada"}), claim())
    run.apply(*wanted)
    run.world.calls.clear()

    run.apply(*wanted)

    assert run.written == []
    assert [call for call in run.world.calls if not call.startswith("get")] == []


def test_a_key_without_a_value_is_not_taken_for_a_change(run: Run) -> None:
    given = claim()
    given["spec"]["volumeMode"] = None
    run.apply(given)
    made = run.world.get("PersistentVolumeClaim", "scratch")
    run.world.patch("PersistentVolumeClaim", "scratch", {"spec": {"volumeMode": "Filesystem"}})

    run.apply(given)

    assert run.written == []
    assert run.world.get("PersistentVolumeClaim", "scratch")["metadata"]["uid"] == made["metadata"]["uid"]


def test_what_the_files_say_now_takes_the_place_of_what_they_said(run: Run) -> None:
    run.apply(config_map(data={"a": "1", "gone": "x"}), secret(data={"p": "YQ=="}), claim())

    run.apply(config_map(data={"a": "2"}, binaryData={"b": "YQ=="}), secret(stringData={"q": "b"}), claim("2Gi"))

    assert len(run.written) == 3
    changed = run.world.get("ConfigMap", "settings")
    assert (changed["data"], changed["binaryData"]) == ({"a": "2"}, {"b": "YQ=="})
    assert run.world.get("Secret", "login")["data"] == {"q": "Yg=="}
    grown = run.world.get("PersistentVolumeClaim", "scratch")
    assert grown["spec"]["resources"]["requests"]["storage"] == "2Gi"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (claim(), claim(mode="ReadWriteMany"), "can't be changed in spec.accessModes"),
        (claim("2Gi"), claim("1Gi"), "a volume can't shrink"),
        (config_map(data={"a": "1"}, immutable=True), config_map(data={"a": "2"}, immutable=True), "changed in data"),
        (config_map(immutable=True), config_map(), "changed in immutable"),
        (secret(type="a/b"), secret(type="a/c"), "changed in type"),
    ],
)
def test_what_nobody_can_change_is_refused_by_name(run: Run, before: Manifest, after: Manifest, said: str) -> None:
    run.apply(before)
    kind, name = before["kind"], before["metadata"]["name"]
    there = run.world.get(kind, name)

    with pytest.raises(Refused, match=f"{name}.yaml: {kind} {name} is there already, and .*{said}"):
        run.apply(after)
    assert run.world.get(kind, name) == there


def test_what_is_not_ours_is_never_touched(run: Run, world: World) -> None:
    theirs = world.create(config_map(data={"a": "1"}))

    with pytest.raises(Refused, match="not this run's: take it out of `resources`"):
        run.apply(config_map(data={"a": "2"}))
    assert world.get("ConfigMap", "settings") == theirs


def test_what_another_model_applied_is_not_ours_but_what_a_former_one_did_is(world: World) -> None:
    former = Run(world, "a", "b")
    former.apply(config_map(data={"a": "1"}))
    former.lease.release()

    with pytest.raises(Refused, match="not this run's"):
        Run(world, "x", "y").apply(config_map())

    changed = Run(world, "b", "c")
    changed.apply(config_map(data={"a": "2"}))
    there = world.get("ConfigMap", "settings")
    assert there["metadata"]["ownerReferences"] == [changed.lease.owner]
    assert there["metadata"]["labels"] == {"lando-phases": changed.lease.name}


def test_a_change_of_somebody_else_in_between_is_not_overwritten_unseen(run: Run, world: World) -> None:
    run.apply(config_map(data={"a": "1"}))
    labels = {"metadata": {"labels": {"note": "x"}}}
    pending = [lambda: world.store.patch("configmaps", world.namespace, "settings", labels)]
    world.before = lambda call: pending.pop()() and None if call == "patch ConfigMap settings" and pending else None

    run.apply(config_map(data={"a": "2"}))

    there = world.get("ConfigMap", "settings")
    assert there["metadata"]["labels"]["note"] == "x"
    assert there["data"] == {"a": "2"}
    assert sum(call == "patch ConfigMap settings" for call in world.calls) == 2


def test_a_run_that_was_killed_between_two_goes_on(run: Run, world: World) -> None:
    def killed(call: str) -> None:
        if call == "create Secret login":
            raise Unavailable("cluster", "away")

    world.before = killed
    with pytest.raises(Unavailable):
        run.apply(config_map(), secret())
    world.before = lambda call: None

    run.apply(config_map(), secret())

    assert run.written == ["login"]


def test_what_is_being_deleted_is_waited_for(run: Run, world: World) -> None:
    dying = claim()
    dying["metadata"]["finalizers"] = ["test/hold"]
    world.create(dying)
    world.delete("PersistentVolumeClaim", "scratch")

    with pytest.raises(Unavailable, match="scratch of an earlier run is still being deleted"):
        run.apply(claim())


def test_what_the_cluster_refuses_is_told_without_what_a_secret_holds(run: Run, world: World) -> None:
    def refuses(call: str) -> None:
        if call == "create Secret login":
            raise Rejected("cluster", "create Secret login: a webhook says no to swordfish")

    world.before = refuses
    with pytest.raises(Refused) as refused:
        run.apply(secret(stringData={"p": "swordfish"}))
    assert str(refused.value) == "login.yaml: Secret login: a webhook says no to ****"


def test_without_a_lease_nothing_is_applied(run: Run, world: World) -> None:
    with pytest.raises(Refused, match="right to Leases"):
        resources.apply(Resource(path="settings.yaml", manifest=config_map()), run.model, world, None)
    assert world.list("ConfigMap") == []
