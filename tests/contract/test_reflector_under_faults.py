"""Whatever happens to lists and watches on their way, the reflector's view comes to equal a fresh list.

So does the view of a listener who only knows the changes that it was told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lando.config import ClusterSettings
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.reflector import Change, ChangeType, Reflector
from tests.services.faulty_api import ON_LISTS, FaultyApi
from tests.services.faulty_http import Fault
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until

SELECTOR = "watched=yes"
NAMES = ("a", "b", "c", "d")
SETTLE_S = 20.0


class Listener:
    """Builds a view of its own from the changes alone; every change has to fit what it knows."""

    def __init__(self) -> None:
        self.view: dict[str, str] = {}
        self.misfits: list[str] = []

    def __call__(self, change: Change) -> None:
        known = change.uid in self.view
        if known is (change.type is ChangeType.ADDED):
            self.misfits.append(f"{change.type.value} of {change.object['metadata']['name']}, known: {known}")
        if change.type is ChangeType.DELETED:
            self.view.pop(change.uid, None)
        else:
            self.view[change.uid] = change.object["metadata"]["resourceVersion"]


class Scene:
    """A reflector that sees an API's ConfigMaps through faults."""

    def __init__(self, api: KubernetesApi) -> None:
        self.api = api
        self.faulty = FaultyApi(api)
        self.listener = Listener()
        token = str(api.session.headers["Authorization"]).partition(" ")[2]
        self.cluster = KubernetesCluster(ClusterSettings(namespace=api.namespace, host=self.faulty.url, token=token))
        self.reflector = Reflector(
            self.cluster, "ConfigMap", self.listener, label_selector=SELECTOR, backoff_s=(0.01, 0.05)
        )
        self._thread = threading.Thread(target=self.reflector.run, name="reflector")
        self._thread.start()

    def touch(self, name: str) -> None:
        """Make the ConfigMap, or change it."""
        labels = {"watched": "yes"}
        made = self.api.create("configmaps", {"metadata": {"name": name, "labels": labels}, "data": {"n": "0"}})
        if made.code == 409:
            there = self.api.get("configmaps", name).body["data"]["n"]
            self.api.patch("configmaps", name, {"data": {"n": str(int(there) + 1)}, "metadata": {"labels": labels}})

    def remove(self, name: str) -> None:
        self.api.delete("configmaps", name)

    def unlabel(self, name: str) -> None:
        """Take the object out of the selector, which a watch shows as its deletion."""
        self.api.patch("configmaps", name, {"metadata": {"labels": {"watched": "no"}}})

    def fresh(self) -> dict[str, Any]:
        """UIDs and versions by a list that nothing spoils."""
        items = self.api.list("configmaps", labelSelector=SELECTOR).body["items"]
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}

    def seen(self) -> dict[str, Any]:
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in self.reflector.objects()}

    def settle(self) -> None:
        """Wait until the view is that of a fresh list."""
        wait_until(
            lambda: self.seen() == self.fresh() == self.listener.view, SETTLE_S, what="a view equal to a fresh list"
        )
        assert self.listener.misfits == []

    def close(self) -> None:
        self.reflector.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.faulty.close()
        self.cluster.close()


@pytest.fixture
def scene(api: KubernetesApi) -> Iterator[Scene]:
    made = Scene(api)
    try:
        assert made.reflector.synced.wait(10)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_the_view_equals_a_fresh_list_after_a_spoiled_watch(scene: Scene, fault: Fault) -> None:
    scene.touch("a")
    scene.settle()

    scene.faulty.on_watches.append(fault)
    scene.faulty.end_watches()
    scene.touch("a")
    scene.touch("b")
    wait_until(lambda: fault in scene.faulty.struck, what="the fault")
    scene.touch("c")
    scene.remove("a")

    scene.settle()


@pytest.mark.parametrize("fault", ON_LISTS, ids=lambda fault: fault.name.lower())
def test_the_view_equals_a_fresh_list_after_a_spoiled_list(scene: Scene, fault: Fault) -> None:
    scene.touch("a")
    scene.touch("b")
    scene.settle()

    scene.faulty.on_lists.extend([fault, fault])
    scene.faulty.on_watches.append(Fault.REFUSE_410)  # so that it lists again
    scene.faulty.end_watches()
    scene.remove("a")
    scene.touch("c")
    wait_until(lambda: scene.faulty.struck.count(fault) >= 2, what="the fault")

    scene.settle()


STEPS = st.one_of(
    st.tuples(st.just("touch"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("unlabel"), st.sampled_from(NAMES)),
    st.tuples(st.just("watch"), st.sampled_from(list(Fault))),
    st.tuples(st.just("list"), st.sampled_from(ON_LISTS)),
    st.just(("break", None)),
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=30))
def test_the_view_equals_a_fresh_list_after_any_sequence_of_faults(scene: Scene, steps: list[tuple[str, Any]]) -> None:
    for step, what in steps:
        match step:
            case "watch":
                scene.faulty.on_watches.append(what)
            case "list":
                scene.faulty.on_lists.append(what)
            case "break":
                scene.faulty.end_watches()
            case _:
                getattr(scene, step)(what)
    scene.faulty.on_watches.clear()
    scene.faulty.on_lists.clear()
    scene.touch("last")  # something to hear of, also on a watch whose line was swallowed

    scene.settle()
