"""Phased runs against the embedded cluster and a real one: in order, and once each, whatever happens on the way.

``LANDO_PHASES_SEED`` asks for other models, ``LANDO_PHASES_PODS`` for a larger one with pods, ``LANDO_PHASES_NETWORKS``
for more bad networks.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.config import ClusterSettings
from lando.direct import following, outage
from lando.direct.events import Event, JobCreated, Outcome, Problem, Trouble
from lando.direct.preflight import check
from lando.direct.runner import run
from lando.k8s.cluster import KubernetesCluster
from lando.phases.model import Model
from tests.services import control_plane
from tests.services.faulty_http import OF_STREAMS, Choose, Fault, FaultyHttp
from tests.services.kubernetes_api import KubernetesApi
from tests.services.phased import History, faults, random_files, read_files
from tests.services.providing import wait_until

SEED = int(os.environ.get("LANDO_PHASES_SEED", "1"))
JOBS = int(os.environ.get("LANDO_PHASES_PODS", "16"))
NETWORKS = int(os.environ.get("LANDO_PHASES_NETWORKS", "2"))
PATIENCE_S = 90.0 + JOBS
RBAC = Path(__file__).parents[2] / "examples" / "phases" / "rbac.yaml"


class Told:
    """Everything that a run tells; ``then`` may act on it."""

    def __init__(self, then: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self._then = then

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._then(event)

    def troubles(self) -> list[str]:
        return [event.sentence for event in self.events if isinstance(event, Trouble)]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "BACKOFF_S", (0.02, 0.2))
    monkeypatch.setattr(following, "BACKOFF_S", (0.02, 0.2))


def settings(api: KubernetesApi, url: str = "") -> ClusterSettings:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    if url:
        return ClusterSettings(namespace=api.namespace, host=url, token=token)
    return ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))


def instant(api: KubernetesApi, seed: int, jobs: int, **spec: Any) -> Model:
    """A model of Jobs that need no pods: they are complete as soon as the cluster looks at them."""
    chance = random.Random(seed)
    limit = chance.choice([0, 1, 3])
    spec = {"completions": 0, **spec}
    return read_files(random_files(chance, jobs, phases=2, namespace=api.namespace, parallelization=limit, spec=spec))


def perform(
    model: Model,
    api: KubernetesApi,
    told: Told,
    *,
    url: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Run ``model``; seen past all faults, everything was done in order and once."""
    stop = threading.Event()
    watchdog = threading.Timer(PATIENCE_S, stop.set)
    watchdog.start()
    try:
        with (
            KubernetesCluster(settings(api)) as clear,
            KubernetesCluster(settings(api, url)) as cluster,
            History(clear) as history,
        ):
            outcome = run(model, cluster, listener=told, stop=stop, now=now)
            if outcome is Outcome.COMPLETE:
                history.wait_for_all(model)
                assert faults(model, [moment for moment in history.moments if moment.what != "gone"]) == []
            return outcome
    finally:
        watchdog.cancel()


@contextmanager
def spoiled(api: KubernetesApi, choose: Choose) -> Iterator[FaultyHttp]:
    """The API through a bad network."""
    faulty = FaultyHttp([api.url], choose, verify=str(api.ca_file))
    try:
        yield faulty
    finally:
        faulty.close()


def test_a_model_runs_in_order_with_pods_that_work(api: KubernetesApi) -> None:
    chance = random.Random(SEED)
    model = read_files(random_files(chance, JOBS, phases=2, namespace=api.namespace, parallelization=4))
    told = Told()
    assert perform(model, api, told) is Outcome.COMPLETE
    assert sum(isinstance(event, JobCreated) for event in told.events) == JOBS
    assert told.troubles() == []


ON_CALLS = (Fault.REFUSE_429, Fault.REFUSE_500, Fault.REFUSE_503, Fault.HANG_UP, Fault.LOSE_ANSWER, Fault.CUT)
ON_WATCHES = (*sorted(OF_STREAMS, key=lambda fault: fault.name), Fault.CUT, Fault.REFUSE_410, Fault.REFUSE_500)


@pytest.mark.parametrize("seed", range(SEED * 100, SEED * 100 + NETWORKS))
def test_a_bad_network_changes_neither_order_nor_number(api: KubernetesApi, seed: int) -> None:
    chance = random.Random(seed)

    def choose(_method: str, _path: str, is_watch: bool) -> Fault | None:
        return chance.choice(ON_WATCHES if is_watch else ON_CALLS) if chance.random() < 0.25 else None

    with spoiled(api, choose) as faulty:
        told = Told()
        assert perform(instant(api, seed, 20), api, told, url=faulty.url) is Outcome.COMPLETE, told.events[-3:]
        assert faulty.struck


def test_watches_that_end_all_the_time_and_expire_hold_nothing_up(api: KubernetesApi) -> None:
    turns = iter([Fault.CUT, Fault.ERROR_410, Fault.REFUSE_410, Fault.HALF_LINE, Fault.EMPTY])

    def choose(_method: str, _path: str, is_watch: bool) -> Fault | None:
        return next(turns, None) if is_watch else None

    with spoiled(api, choose) as faulty:
        told = Told(lambda event: faulty.end_watches() if isinstance(event, JobCreated) else None)
        assert perform(instant(api, 5, 12), api, told, url=faulty.url) is Outcome.COMPLETE, told.events[-3:]


def test_a_cluster_that_was_away_is_waited_for(api: KubernetesApi) -> None:
    away = threading.Event()

    def choose(_method: str, _path: str, _is_watch: bool) -> Fault | None:
        return Fault.HANG_UP if away.is_set() else None

    with spoiled(api, choose) as faulty:

        def then(event: Event) -> None:
            if isinstance(event, JobCreated) and not any(isinstance(one, Trouble) for one in told.events):
                away.set()
                faulty.end_watches()
            elif isinstance(event, Trouble):
                away.clear()

        told = Told(then)
        assert perform(instant(api, 6, 10), api, told, url=faulty.url) is Outcome.COMPLETE, told.events[-3:]
    first, *_, last = told.troubles()
    assert first.startswith("The cluster does not answer, and is tried again: ")
    assert last.startswith("The cluster answers again, after ")


@pytest.mark.parametrize("hours", [-26, 26])
def test_a_wrong_clock_changes_nothing(api: KubernetesApi, hours: int) -> None:
    told = Told()
    outcome = perform(instant(api, 7, 8), api, told, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    assert outcome is Outcome.COMPLETE
    assert told.troubles() == []


def test_jobs_that_vanish_when_they_are_complete_are_run_once(api: KubernetesApi) -> None:
    model = instant(api, 8, 12, ttlSecondsAfterFinished=0)
    assert perform(model, api, Told()) is Outcome.COMPLETE
    wait_until(lambda: api.list("jobs").body["items"] == [], what="the end of the Jobs")
    again = Told()
    with KubernetesCluster(settings(api)) as cluster:
        assert run(model, cluster, listener=again, stop=threading.Event()) is Outcome.COMPLETE
    assert not any(isinstance(event, JobCreated) for event in again.events)


@pytest.mark.skipif(not control_plane.is_to_be_had(), reason=control_plane.HOW_TO_GET_IT)
@pytest.mark.parametrize("any_cluster", [pytest.param("real", marks=pytest.mark.service("kubernetes"))], indirect=True)
def test_the_shipped_rights_are_enough_for_a_run_with_resources(api: KubernetesApi) -> None:
    rbac, core = "/apis/rbac.authorization.k8s.io/v1", f"/api/v1/namespaces/{api.namespace}/serviceaccounts"
    paths = {
        "ServiceAccount": core,
        "ClusterRole": f"{rbac}/clusterroles",
        "RoleBinding": f"{rbac}/namespaces/{api.namespace}/rolebindings",
    }
    for document in yaml.safe_load_all(RBAC.read_text()):
        assert api.call("POST", paths[document["kind"]], document).code in (201, 409)
    asked = api.call("POST", f"{core}/jobernetes/token", {"spec": {"audiences": None, "expirationSeconds": 3600}})
    token = asked.body["status"]["token"]
    files = random_files(
        random.Random(SEED), 6, phases=2, namespace=api.namespace, resources=["settings.json"], cleanup=True
    )
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    files["settings.json"] = json.dumps(settings)
    model, told = read_files(files), Told()
    account = ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    with KubernetesCluster(account) as cluster:
        outcome = run(model, cluster, listener=told, stop=threading.Event(), check=check)
    assert outcome is Outcome.COMPLETE, told.events[-1]
    assert [event for event in told.events if isinstance(event, Trouble | Problem)] == []
    wait_until(lambda: api.get("configmaps", "settings").code == 404, what="the end of what the run owned")
    assert api.list("leases").body["items"] == []
