"""A cluster in memory whose Jobs a test plays: in lockstep with a run, one random Job ending after the other."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from functools import partial
from typing import Any

from lando.k8s.cluster import Manifest
from lando.phases.model import Model
from tests.services.phased import needs
from tests.services.store_cluster import StoreCluster

PATIENCE_S = 60.0


class PlayedCluster(StoreCluster):
    """A :class:`StoreCluster` for several threads: of a run, and of whoever plays its Jobs."""

    def __init__(self, namespace: str = "default") -> None:
        super().__init__(namespace=namespace)
        self.turn = threading.RLock()

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        with self.turn:
            return super().create(manifest, dry_run=dry_run)

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        with self.turn:
            super().delete(kind, name, uid=uid)

    def let_go(self) -> None:
        with self.turn:
            super().let_go()

    def finish(self, job: str, *args: Any, **kwargs: Any) -> None:
        with self.turn:
            super().finish(job, *args, **kwargs)


class Player:
    """Ends the Jobs of ``model`` one by one, each time when all are at work that may be.

    So a Job that is not made though nothing is in its way is found, as well as one that is made too early.
    """

    def __init__(
        self, model: Model, cluster: PlayedCluster, chance: random.Random, failing: Collection[str] = ()
    ) -> None:
        self._needs = needs(model)
        self._failing = failing
        self._limit = model.settings.parallelization
        self._cluster = cluster
        self._chance = chance
        self.failure: BaseException | None = None
        self.stop = threading.Event()
        """Set at a failure, so that the run ends, too."""
        self._at_work: list[str] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def __enter__(self) -> Player:
        self._cluster.on_job = self._note
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(PATIENCE_S)
        if self.failure is not None:
            raise self.failure

    def _note(self, job: Manifest) -> None:
        with self._changed:
            self._at_work.append(job["metadata"]["name"])
            self._changed.notify()

    def _are_at_work(self, most: int) -> bool:
        return len(self._at_work) >= most or self.stop.is_set()

    def _due(self, ended: set[str]) -> set[str]:
        """The Jobs that may be at work now."""
        complete = ended.difference(self._failing)
        return {job for job, wanted in self._needs.items() if job not in ended and wanted <= complete}

    def _run(self) -> None:
        ended: set[str] = set()
        try:
            while due := self._due(ended):
                most = min(self._limit or len(due), len(due))
                with self._changed:
                    self._changed.wait_for(partial(self._are_at_work, most), PATIENCE_S)
                    if self.stop.is_set():
                        return
                    assert len(self._at_work) >= most, f"of {sorted(due)} only {self._at_work} were made"
                    job = self._at_work.pop(self._chance.randrange(len(self._at_work)))
                self._cluster.finish(job, int(job in self._failing))
                ended.add(job)
        except BaseException as error:  # noqa: BLE001 - of a thread; raised where it ends
            self.failure = error
            self.stop.set()
