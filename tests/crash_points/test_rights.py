"""What each process asks of a cluster is what it is allowed to: no right is missing, and none is unused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NoReturn

import pytest
from lando.config import BespinApiSettings, ClusterSettings, Config, WorkQueueSettings
from lando.errors import Conflict, UnknownRun
from lando.k8s import permissions
from lando.k8s.cluster import Manifest, Watch
from lando.k8s.live_logs import live_logs
from lando.k8s.permissions import Permission
from lando.k8s.upkeep import Upkeep
from lando.local.rules.kinds import BY_RESOURCE
from lando.messages import Condition
from lando.queues.memory import MemoryBroker
from tests.crash_points.calls import Call, Calls
from tests.crash_points.ports import CountedCluster
from tests.crash_points.scenarios import DISTURBED, STAGED, UNDISTURBED, WATCHED, Scenario, Stage, start
from tests.crash_points.trying import Explore
from tests.crash_points.watching import WatcherExploration
from tests.crash_points.world import World
from tests.services.store_cluster import StoreCluster

KINDS = {kind.kind: (kind.group, kind.resource) for kind in BY_RESOURCE.values()}
SETTINGS = Config(
    work_queue=WorkQueueSettings(listen_queue="lando", url="memory://here"),
    cluster_api_settings=ClusterSettings(namespace="lando", host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
)
HELD = ("jobs", "configmaps", "persistentvolumeclaims")
ORPHANED = {"ownerReferences": None, "finalizers": None}
"""What the garbage collector and the job controller take from such a pod."""


def asked(calls: Iterable[Call]) -> set[Permission]:
    """The rights that these calls took."""
    words = [call.what.split() for call in calls if call.peer == "cluster"]
    return {
        Permission("", "pods/log", "get") if verb == "log" else Permission(*KINDS[kind], verb)
        for verb, kind, *_ in words
    }


def _start_behind_somebody_faster(world: World) -> None:
    """Whatever is to be made is there already: a former lando made it between the look and now."""
    create = world.cluster.create

    def too_late(manifest: Manifest) -> Manifest:
        with contextlib.suppress(Conflict):
            create(manifest)
        return create(manifest)

    world.cluster.create = too_late  # type: ignore[method-assign]
    world.api.act("start")


def _cancel_while_all_is_held(world: World) -> None:
    """Finalizers of others, and a node that is slow, keep what is deleted until somebody watches for its end."""
    cluster, store = world.cluster, world.cluster.store
    watch, let_go = cluster.watch, cluster.let_go

    def set_finalizers(resource: str, value: list[str]) -> None:
        for item in store.list(resource, cluster.namespace, label_selector="bespin-job=true").items:
            store.patch(resource, cluster.namespace, item["metadata"]["name"], {"metadata": {"finalizers": value}})

    def released(kind: str, label_selector: str, resource_version: str, *, timeout_s: int) -> Watch:
        watched = watch(kind, label_selector, resource_version, timeout_s=timeout_s)
        if kind == "Pod":
            let_go()
        else:
            set_finalizers(KINDS[kind][1], [])
            cluster._collect_garbage()
        return watched

    for resource in HELD:
        set_finalizers(resource, ["example.org/held"])
    cluster.watch, cluster.let_go = released, lambda: None  # type: ignore[assignment, method-assign]
    world.api.act("cancel")


def _orphan(world: World) -> None:
    """Somebody deletes the Job and leaves its pod, as ``kubectl delete --cascade=orphan`` does."""
    store, namespace, job = world.cluster.store, world.cluster.namespace, world.name("run_workflow")
    for pod in world.cluster.pods(job):
        store.patch("pods", namespace, pod["metadata"]["name"], {"metadata": ORPHANED})
    store.delete("jobs", namespace, job, propagation="Background")
    world.tell("run_workflow", Condition.GONE)


RARE = (
    Scenario("a start behind somebody faster", (Stage("start", _start_behind_somebody_faster, "R/S"),)),
    Scenario("a cancel while all is held", (start(), Stage("cancel", _cancel_while_all_is_held, "C/"))),
    Scenario("a Job deleted without its pod", (start(), STAGED, Stage("orphan", _orphan, "R/R"))),
)


@pytest.mark.parametrize("scenario", DISTURBED, ids=lambda scenario: scenario.name)
def test_every_call_of_lando_is_a_right_of_its_role(explore: Explore, scenario: Scenario) -> None:
    needed = asked(call for recorded in explore(scenario).recorded for call in recorded.calls)
    assert Permission("batch", "jobs", "create") in needed
    assert sorted(needed - permissions.LANDO) == []


def test_lando_uses_every_right_it_has(explore: Explore) -> None:
    scenarios = (UNDISTURBED[1], DISTURBED[0], *RARE)
    needed = asked(call for each in scenarios for recorded in explore(each).recorded for call in recorded.calls)
    assert sorted(needed - permissions.LANDO) == []
    assert sorted(permissions.LANDO - needed) == []


def test_the_watcher_uses_exactly_the_rights_it_has(explore: Explore) -> None:
    in_json = explore(WATCHED[1], WatcherExploration, form="json").recorded
    in_legacy_form = explore(WATCHED[3], WatcherExploration, form="pickle").recorded
    needed = asked(call for recorded in (*in_json, *in_legacy_form) for call in recorded.calls)
    assert sorted(needed - permissions.WATCHER) == []
    assert sorted(permissions.WATCHER - needed) == []


class _KnowsNoRun:
    """An API in which no run is known, so that all that is found is a leftover."""

    def get(self, run_id: int) -> NoReturn:
        raise UnknownRun(run_id)


def test_the_server_uses_exactly_the_rights_it_has() -> None:
    """Logs of a step at work, and the removal of a run that the API does not know: the most that is asked of it."""
    cluster, calls = StoreCluster(), Calls()
    counted = CountedCluster(cluster, calls)
    key = {"bespin-job": "true", "bespin-job-id": "7", "bespin-job-step": "stage_data"}
    about = {"name": "stage-data-7-ada", "labels": key}
    container = {"name": "step", "image": "lando"}
    template = {"metadata": {"labels": key}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    cluster.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": {"template": template}})
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": claim})
    orphan = {**about, "labels": {**key, "controller-uid": "gone"}}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": orphan, "spec": template["spec"]})

    assert live_logs(counted)(7, "stage_data", False) is not None
    upkeep = Upkeep(SETTINGS, cluster=counted, source=_KnowsNoRun(), publisher=MemoryBroker().publisher())
    assert upkeep.prune_unknown([7])
    needed = asked(calls.made)
    cluster.close()

    assert sorted(needed - permissions.SERVER) == []
    assert sorted(permissions.SERVER - needed) == []
