"""A run that is killed and started again, however often, makes every Job once.

A kill strikes within a call to the cluster, before or after that has taken effect. ``LANDO_PHASES_SEED`` asks for other
models and other kills.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from lando.direct.events import Event, JobFound, Outcome
from lando.direct.holder import Holder
from lando.direct.runner import run
from lando.errors import LandoError, Unavailable
from lando.k8s.cluster import Cluster
from tests.services.phased import History, faults, random_files, read_files
from tests.services.played_cluster import PlayedCluster, Player

SEED = int(os.environ.get("LANDO_PHASES_SEED", "1"))


ASIDE = ("lease", "watch")
"""Threads of a run that don't end it."""


class Killed(BaseException):
    """The process is gone; nobody catches this."""


class OfOneLife:
    """A cluster as one process sees it that is killed within its ``last`` write, or read of one object."""

    def __init__(self, cluster: Cluster, last: int, *, takes_effect: bool) -> None:
        self._cluster = cluster
        self._left = last
        self._takes_effect = takes_effect
        self._lock = threading.Lock()
        self.dead = False

    @property
    def namespace(self) -> str:
        return self._cluster.namespace

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._cluster, name)

        def tried(*args: Any, **kwargs: Any) -> Any:
            if not self.dead and not self._is_last(name):
                return call(*args, **kwargs)
            if not self.dead and self._takes_effect:
                with suppress(LandoError):
                    call(*args, **kwargs)
            self.dead = True
            if threading.current_thread().name.startswith(ASIDE):
                raise Unavailable("cluster", "the process is no more")
            raise Killed

        return tried

    def _is_last(self, name: str) -> bool:
        with self._lock:
            self._left -= name in ("create", "patch", "delete", "get")
            return self._left == 0


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def ended_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait(30)
    return process.pid


@pytest.fixture(autouse=True)
def runs_of_other_processes(monkeypatch: pytest.MonkeyPatch, ended_process: int) -> None:
    """Each run within this process counts as one of a process that has ended since."""
    here = Holder.here
    monkeypatch.setattr(Holder, "here", lambda: dataclasses.replace(here(), pid=ended_process))


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("seed", range(SEED * 100, SEED * 100 + 5))
def test_a_run_that_is_killed_in_any_call_makes_every_job_once(seed: int, takes_effect: bool) -> None:
    chance = random.Random(seed)
    limit = chance.choice([0, 1, 3])
    files = random_files(chance, 14, phases=2, parallelization=limit, resources=["settings.json"])
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    model = read_files({**files, "settings.json": json.dumps(settings)})
    cluster, lives = PlayedCluster(), 0
    with History(cluster) as history, Player(model, cluster, chance) as player:
        outcome = None
        while outcome is None:
            lives += 1
            told, life = Told(), OfOneLife(cluster, chance.randint(1, 12), takes_effect=takes_effect)
            try:
                outcome = run(model, life, listener=told, stop=player.stop)
            except Killed:
                assert lives < 60
        assert outcome is Outcome.COMPLETE, told.events[-3:]
        history.wait_for_all(model)
    assert faults(model, history.moments) == []
    assert lives > 1
    assert any(isinstance(event, JobFound) for event in told.events)
    (lease,) = cluster.list("Lease")
    (owner,) = cluster.get("ConfigMap", "settings")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Lease", lease["metadata"]["uid"])
    cluster.close()
