"""A small world in which a daemon can be killed at any call: our API over HTTP and SQLite, the embedded cluster's store
and controllers, a broker in memory. It can be kept as it is and brought back, so that every crash begins at its place.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from lando.api import setup
from lando.archive import Archive
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings
from lando.k8s.cluster import Manifest
from lando.k8s.lando import LandoDaemon
from lando.messages import Command, Condition, Evidence, Message, codec
from lando.queues.memory import MemoryBroker
from lando.sources import bespin, http
from lando.sources.bespin import BespinSource
from lando.sources.http import JsonApi
from tests.crash_points.api import Api
from tests.crash_points.calls import Calls
from tests.crash_points.ports import (
    CountedApi,
    CountedArchive,
    CountedCluster,
    CountedConsumer,
    CountedPublisher,
)
from tests.services.store_cluster import StoreCluster

QUEUE = setup.EMBEDDED_QUEUE
LIMIT_S = 30.0
"""For anything to come about; it takes milliseconds."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A world as it was."""

    database: sqlite3.Connection
    objects: Path
    archive: Path
    succeeded: frozenset[str]


@dataclass
class Journal:
    """What happened in the cluster and was told to listeners, in order."""

    made: list[str] = field(default_factory=list)
    """Each Job with its attempt."""
    notices: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What must never be, in a sentence each."""


class World:
    """API, cluster, broker and archive with one lando between them."""

    def __init__(self, api: Api, folder: Path, kept: Kept | None = None, **config: Any) -> None:
        self.api = api
        self._file = folder / "objects.db"
        for name in ("objects.db", "objects.db-wal", "objects.db-shm"):
            (folder / name).unlink(missing_ok=True)
        if kept is not None:
            shutil.copy(kept.objects, self._file)
            api.bring_back(kept.database)
        self._ahead_s = 0.0
        self.broker = api.broker = MemoryBroker(clock=lambda: time.monotonic() + self._ahead_s)
        self.cluster = StoreCluster(self._file)
        self.cluster.on_job = self._on_job
        shutil.rmtree(folder / "archive", ignore_errors=True)
        self._archived = folder / "archive"
        self.archive = Archive(str(self._archived))
        self.succeeded: set[str] = set()
        """Names of Jobs whose step has succeeded in this life of the run."""
        if kept is not None:
            shutil.copytree(kept.archive, self._archived)
            self.succeeded = set(kept.succeeded)
        self.journal = Journal()
        self._heard = self.broker.listen()
        self.config = replace(
            Config(
                work_queue=WorkQueueSettings(listen_queue=QUEUE, url="memory://here"),
                cluster_api_settings=ClusterSettings(namespace="lando", host="https://127.0.0.1", token="t"),
                bespin_api=BespinApiSettings(url=f"{api.server.url}/api/v2", token=api.daemon_token),
                lando_api=LandoApiSettings(url=f"{api.server.url}/api/lando/v1", token=api.daemon_token),
                workers=1,
            ),
            **config,
        )
        self.daemon: Daemon | None = None
        self.next_life: Callable[[str], Calls] = lambda part: Calls()
        """The calls of a daemon when it is started anew."""
        self.told: list[str] = []
        """What the broker got from the part under test, in a few words each."""

    def close(self) -> None:
        if self.daemon:
            self.daemon.end()
        self.api.end()
        self.cluster.close()

    def keep(self, path: Path) -> Kept:
        """The world as it is now, while nobody is at work."""
        with sqlite3.connect(self._file) as source, sqlite3.connect(path) as target:
            source.backup(target)
        source.close()
        target.close()
        archive = path.with_suffix(".archive")
        self._archived.mkdir(exist_ok=True)
        shutil.copytree(self._archived, archive)
        return Kept(
            database=self.api.keep(),
            objects=path,
            archive=archive,
            succeeded=frozenset(self.succeeded),
        )

    # -- what people and the cluster do ----------------------------------------------------------------------------

    def name(self, step: str) -> str:
        """The name of a step's Job."""
        return f"{step.replace('_', '-')}-{self.api.job}-ada"

    def end_step(
        self, step: str, exit_code: int = 0, message: Mapping[str, Any] | None = None, pod_reason: str | None = None
    ) -> None:
        """The step's Job ends, and the watcher says so."""
        job = self.name(step)
        self.cluster.finish(job, exit_code, message, pod_reason)
        if exit_code == 0:
            self.succeeded.add(job)
        self.tell(step, Condition.FAILED if exit_code else Condition.COMPLETE)

    def vanish(self, step: str) -> None:
        """Somebody deletes the step's Job, and the watcher says so."""
        self.cluster.vanish(self.name(step))
        self.tell(step, Condition.GONE)

    def tell(self, step: str, condition: Condition) -> None:
        tail = f"log of {self.name(step)}\n" if condition is Condition.FAILED else ""
        evidence = Evidence(step=step, condition=condition, job=self.name(step), log_tail=tail)
        self.send(Message(command=Command.STEP_CHANGED, run_id=self.api.job, evidence=evidence))

    def send(self, message: Message) -> None:
        self.broker.publisher().publish(QUEUE, codec.encode(message, "json")).result(5)

    def new_life(self) -> None:
        """All steps are to be done anew from here on."""
        self.succeeded.clear()

    def _on_job(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        live = [pod for pod in self.cluster.pods(name) if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        if live:
            self.journal.wrong.append(f"{name} was made while a pod of its former attempt was at work")
        if name in self.succeeded:
            self.journal.wrong.append(f"{name} was made again though it had succeeded")
        self.journal.made.append(f"{name} #{manifest['metadata']['annotations']['lando.attempt']}")

    # -- the daemon ------------------------------------------------------------------------------------------------

    def start(self, calls: Calls | None = None, *, resyncs: bool = True) -> None:
        self.daemon = Daemon(self, calls or self.next_life("lando"), resyncs=resyncs)

    def settle(self) -> None:
        """Wait until nobody has anything to do; a killed daemon is started anew, as its supervisor would."""
        assert self.daemon is not None
        end, pause_s = time.monotonic() + LIMIT_S, 0.001
        while not self._is_quiet():
            self._supervise()
            if time.monotonic() > end:
                raise AssertionError(f"no rest within {LIMIT_S:.0f} s: {self.daemon.trouble()}; {self.view()}")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.1, 0.01)

    def _supervise(self) -> None:
        assert self.daemon is not None
        if self.daemon.calls.dead:
            self.daemon.end()
            self.start()
        self.api.revive()

    def pass_time(self) -> None:
        """What was to be looked at later is looked at now."""
        assert self.daemon is not None
        self.daemon.hurry()
        self.settle()

    def resync(self) -> None:
        """Lando compares runs and objects, as it does every now and then."""
        assert self.daemon is not None
        self.daemon.let_resync()
        self.settle()

    def _is_quiet(self) -> bool:
        assert self.daemon is not None
        if self.daemon.calls.dead or not self.api.is_up:
            return False
        with self.broker.changed:
            queue = self.broker.queue(QUEUE)
            if queue.delayed and not queue.ready and not queue.unsettled:
                self._ahead_s += 400.0  # the ladder's next rung
                self.broker.wake()
            is_empty = not len(queue)
        return (
            is_empty and self.daemon.is_resting() and self.api.server.site.outbox.waiting()[0] == 0 and not len(queue)
        )

    # -- what came of it -------------------------------------------------------------------------------------------

    def heard(self) -> list[str]:
        """The notices until now."""
        while self._heard:
            notice = json.loads(self._heard.popleft())
            self.journal.notices.append(f"{notice['state']}/{notice['step']}")
        return self.journal.notices

    def view(self) -> dict[str, Any]:
        """All that is durable, without times, UIDs and versions."""
        uids: dict[str, str] = {}
        items = []
        for resource in ("jobs", "pods", "configmaps", "persistentvolumeclaims"):
            for item in self.cluster.store.list(resource, self.cluster.namespace).items:
                metadata = item["metadata"]
                name = metadata["name"].rpartition("-")[0] if resource == "pods" else metadata["name"]
                uids[metadata["uid"]] = f"uid of {name}"
                items.append((resource, name, item))
        return {
            "job": self.api.view(),
            "objects": sorted(_seen(resource, name, item, uids) for resource, name, item in items),
            "archived": [
                f"{entry.step} #{entry.attempt} {entry.container}{' is missing' if entry.is_missing else ''}"
                for entry in self.archive.entries(self.api.job)
            ],
            "dead letters": [letter.reason for letter in self.broker.dead(QUEUE)],
        }


def _seen(resource: str, name: str, item: Manifest, uids: Mapping[str, str]) -> str:
    """One object in a line."""
    metadata = item["metadata"]
    words = [resource, name]
    if attempt := (metadata.get("annotations") or {}).get("lando.attempt"):
        words.append(f"#{attempt}")
    if "deletionTimestamp" in metadata:
        words.append("going")
    owners = [uids.get(owner["uid"], "nobody") for owner in metadata.get("ownerReferences") or []]
    words += [f"owned by {owner}" for owner in owners]
    status = item.get("status") or {}
    words += [condition["type"] for condition in status.get("conditions") or [] if resource == "jobs"]
    if resource == "pods":
        words.append(status["phase"])
    if resource == "configmaps":
        data = _TIME.sub("<time>", json.dumps(item.get("data") or {}, sort_keys=True))
        for uid, whose in uids.items():
            data = data.replace(uid, whose)
        words.append(data)
    return " ".join(words)


class Daemon:
    """One life of the lando daemon."""

    def __init__(self, world: World, calls: Calls, *, resyncs: bool) -> None:
        self.calls = calls
        self._resyncs = resyncs
        self._consumer = CountedConsumer(world.broker, QUEUE, calls, resyncs=resyncs)
        config = world.config

        def counted(*about: Any, **how: Any) -> Any:
            return CountedApi(JsonApi(*about, **how), calls)

        with mock.patch.object(bespin, "JsonApi", counted), mock.patch.object(http, "JsonApi", counted):
            self._source = BespinSource(config.bespin_api, config.lando_api)
        self.daemon = LandoDaemon(
            config,
            cluster=CountedCluster(world.cluster, calls),
            source=self._source,
            consumer=self._consumer,
            publisher=CountedPublisher(world.broker, calls),
            archive=CountedArchive(world.archive, calls),
            stop_s=LIMIT_S,
        )
        self._rest = _Rest()
        self.daemon._stopping, self.daemon._outage._stop = self._rest, self._rest
        self._due = self.daemon._resync_due = _Due()
        self.daemon._look_at_what_is_wrong = self._due.after(self.daemon._look_at_what_is_wrong)  # type: ignore[method-assign]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.daemon.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """No more effects; waits until every thread that could have one is gone."""
        self.calls.kill()
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the dead daemon's threads go on"
        self._source.close()

    def is_resting(self) -> bool:
        """Whether no worker is at work and nothing is due; what is due in a second or more is not waited for."""
        agenda = self.daemon._dispatcher._agenda
        with agenda._changed:
            due = min(agenda._due.values(), default=float("inf"))
            busy = agenda._busy or due < time.monotonic() + 1.0
        return not busy and not self.daemon._outage.is_on and (not self._resyncs or self._due.resynced)

    def hurry(self) -> None:
        agenda = self.daemon._dispatcher._agenda
        with agenda._changed:
            keys = list(agenda._due)
        for key in keys:
            agenda.add(key)

    @property
    def paused_s(self) -> float | None:
        """How long it left a peer alone that was away; None if it was not."""
        return self._rest.paused_s

    def let_resync(self) -> None:
        self._resyncs = self._consumer.resyncs = True
        self._due.set()

    def trouble(self) -> str:
        agenda = self.daemon._dispatcher._agenda
        return (
            f"busy with {agenda._busy}, due {agenda._due}, waiting for {self.daemon._outage.reason}, "
            f"last calls {[str(call) for call in self.calls.made[-5:]]}"
        )


class _Rest(threading.Event):
    """The daemon's stop event, which knows how long an outage was to be waited for, and waits for less."""

    def __init__(self) -> None:
        super().__init__()
        self.paused_s: float | None = None
        """How long a peer that was away was left alone at last."""

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "outage" and timeout is not None:
            self.paused_s = timeout
            timeout = min(timeout, 0.01)  # whatever the peer asked for
        return super().wait(timeout)


class _Due(threading.Event):
    """The daemon's event for a resync, which also knows whether one has passed since it was set."""

    def __init__(self) -> None:
        super().__init__()
        self.resynced = False

    def set(self) -> None:
        self.resynced = False
        super().set()

    def after(self, compare: Callable[[frozenset[int]], frozenset[int]]) -> Callable[[frozenset[int]], frozenset[int]]:
        def compared(told: frozenset[int]) -> frozenset[int]:
            unknown = compare(told)
            self.resynced = not self.is_set()
            return unknown

        return compared
