"""The watcher between cluster and broker, with every call counted; what it says is handled by a lando that is left in
peace, so that a job's end shows whether all was said.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from lando.k8s import watcher
from lando.k8s.agenda import Agenda
from lando.k8s.reflector import Change, ChangeType, Handler, Reflector
from lando.messages import Condition
from tests.crash_points.api import Api
from tests.crash_points.calls import Call, Calls, Fault, Point
from tests.crash_points.exploring import Exploration, Recorded
from tests.crash_points.ports import CountedCluster, CountedPublisher
from tests.crash_points.scenarios import Scenario, Stage
from tests.crash_points.world import LIMIT_S, Kept, World
from tests.services.store_cluster import RESOURCES

SOON_S = 1.0
"""What is due later is not waited for."""
KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)


class WatchedWorld(World):
    """A world in which lando hears only from the watcher what happens to Jobs."""

    def __init__(
        self,
        api: Api,
        folder: Path,
        kept: Kept | None = None,
        *,
        form: Literal["json", "pickle"],
        sees_pods: bool,
        **config: Any,
    ) -> None:
        super().__init__(api, folder, kept, **config)
        self.config = replace(self.config, work_queue=replace(self.config.work_queue, message_format=form))
        self._sees_pods = sees_pods
        self.watcher: WatcherLife | None = None
        self.is_changing = False
        """Whether hands are at work in the cluster, so that nobody should look yet."""

    def close(self) -> None:
        if self.watcher:
            self.watcher.end()
        super().close()

    def watch(self, calls: Calls | None = None) -> None:
        """Start a watcher."""
        self.watcher = WatcherLife(self, calls or self.next_life("watcher"), sees_pods=self._sees_pods)

    def tell(self, step: str, condition: Condition) -> None:
        """Nothing: the watcher sees it."""

    def view(self) -> dict[str, Any]:
        self.cluster.let_go()
        return super().view()

    def _supervise(self) -> None:
        super()._supervise()
        assert self.watcher is not None
        if self.watcher.calls.dead:
            self.watcher.end()
            self.watch()

    def _is_quiet(self) -> bool:
        """Whether watcher and lando rested, one after the other, while nothing changed in the cluster."""
        assert self.watcher is not None
        version = self.cluster.store.resource_version
        return self.watcher.is_resting() and super()._is_quiet() and version == self.cluster.store.resource_version


class WatcherLife:
    """One life of the watcher."""

    def __init__(self, world: WatchedWorld, calls: Calls, *, sees_pods: bool) -> None:
        self.calls = calls
        self._world = world
        self._store = world.cluster.store
        self._namespace = world.cluster.namespace
        self._agenda = _Patient(self)
        self._streams: list[_Stream] = []
        with (
            mock.patch.object(watcher, "Agenda", return_value=self._agenda),
            mock.patch.object(watcher, "Reflector", partial(self._stream, sees_pods)),
        ):
            self._watcher = watcher.Watcher(
                world.config,
                cluster=CountedCluster(world.cluster, calls),
                publisher=CountedPublisher(world.broker, calls, world.told.append),
            )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watcher.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def _stream(self, sees_pods: bool, cluster: CountedCluster, kind: str, handler: Handler, **how: Any) -> _Stream:
        self._streams.append(_Stream(cluster, kind, handler, ignored=kind == "Pod" and not sees_pods, **how))
        return self._streams[-1]

    def end(self) -> None:
        """No more effects; waits until every thread that could have one is gone."""
        self.calls.kill()
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the dead watcher's threads go on"

    def has_seen_all(self) -> bool:
        """Whether every stream has told of all that is in the store."""
        return not self._world.is_changing and all(
            stream.has_seen_all(self._store, self._namespace) for stream in self._streams
        )

    def is_resting(self) -> bool:
        """Whether it has nothing more to say of what is in the cluster."""
        return not self.calls.dead and self.has_seen_all() and self._agenda.is_resting()


class _Stream(Reflector):
    """Knows what its handler has been told."""

    def __init__(
        self,
        cluster: CountedCluster,
        kind: str,
        handler: Handler,
        *,
        ignored: bool,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        """What is ``ignored`` never reaches the watcher, as if that stream were far behind the others."""
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._counted = cluster
        self._handle: Handler = (lambda change: None) if ignored else handler
        self._seen: dict[str, str] = {}
        super().__init__(cluster, kind, self._note, backoff_s=(0.002, 0.01), **self._selectors)

    def _note(self, change: Change) -> None:
        self._handle(change)
        if change.type is ChangeType.DELETED:
            self._seen.pop(change.uid, None)
        else:
            self._seen[change.uid] = change.object["metadata"]["resourceVersion"]

    def has_seen_all(self, store: Any, namespace: str) -> bool:
        if not self._counted.is_watched(self.kind, self.label_selector):
            return False
        items = store.list(RESOURCES[self.kind], namespace, **self._selectors).items
        return self._seen == {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}


class _Patient(Agenda):
    """Lets a Job be looked at once all streams have come, so that each run makes the same calls."""

    def __init__(self, life: WatcherLife) -> None:
        super().__init__()
        self._life = life

    def take(self) -> str | None:
        key = super().take()
        while key is not None and not (self._closed or self._life.calls.dead or self._life.has_seen_all()):
            time.sleep(0.001)
        return key

    def is_resting(self) -> bool:
        """Whether nothing is looked at, now or soon."""
        with self._changed:
            due = min(self._due.values(), default=float("inf"))
            return not self._busy and due > time.monotonic() + SOON_S


class WatcherExploration(Exploration):
    """A scenario in which the watcher's calls are broken."""

    def __init__(
        self, scenario: Scenario, api: Api, folder: Path, *, form: Literal["json", "pickle"], sees_pods: bool = True
    ) -> None:
        super().__init__(scenario, api, folder)
        self.form = form
        self._sees_pods = sees_pods

    def _world(self, kept: Kept | None = None) -> WatchedWorld:
        return WatchedWorld(
            self.api, self._folder, kept, form=self.form, sees_pods=self._sees_pods, **self.scenario.config
        )

    def _begin(self, world: WatchedWorld, calls: Any) -> None:
        world.start(resyncs=False)
        world.watch(calls)

    def _play(self, world: World, stage: Stage, calls: Any) -> None:
        assert isinstance(world, WatchedWorld)
        self._begin(world, calls)
        first = world.watcher
        world.settle()
        world.is_changing = True
        stage.do(world)
        world.is_changing = False
        world.settle()
        world.pass_time()
        if world.watcher is not first:
            # A Job that went while nobody watched is found by lando's own resync.
            world.resync()

    def points(self, recorded: Recorded) -> list[Point]:
        if self.scenario.starts_too:
            return recorded.points
        return [point for point in recorded.points if not _is_of_the_start(point.call)]

    def _mistold(self, recorded: Recorded, world: World, points: Sequence[Point]) -> list[str]:
        (point,) = points
        expected, told = Counter(recorded.told), Counter(world.told)
        was_killed = point.fault in KILLS
        wrong = [
            f"not told: {what}"
            for what in expected - told
            if not (was_killed and what.endswith((f" {Condition.GONE.value}", f" {Condition.WAITING.value}")))
        ]
        again = told - expected
        if self.form == "json":
            is_allowed = was_killed or (point.fault is Fault.ANSWER_LOST and point.call.what.startswith("publish "))
        else:
            # Between the message and the note on the Job nobody knows whether it was sent.
            is_allowed = (
                point.fault in (Fault.KILLED_AFTER, Fault.ANSWER_LOST)
                if point.call.what.startswith("publish ")
                else point.fault is Fault.KILLED_BEFORE and point.call.what.startswith("patch Job ")
            )
        limit = 1 if is_allowed else 0
        return wrong + [f"told {count} times too often: {what}" for what, count in again.items() if count > limit]


def _is_of_the_start(call: Call) -> bool:
    return call.what.startswith("watch ") or call.what.endswith(" in pages")
