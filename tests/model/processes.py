"""The real daemons as processes of the model: no threads, one clock, killed and started as the model says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

from lando import logs
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings
from lando.errors import LandoError
from lando.k8s import going as going_module
from lando.k8s import lando as lando_module
from lando.k8s import outage as outage_module
from lando.k8s import watcher as watcher_module
from lando.k8s.agenda import Agenda
from lando.k8s.lando import LandoDaemon
from lando.k8s.watcher import Watcher
from lando.local.rules import lifecycle
from lando.local.rules.schema import conform
from lando.queues.memory import MemoryBroker
from lando.sources import bespin as bespin_module
from lando.sources import http
from lando.sources.bespin import BespinSource
from tests.model.api import QUEUE, ModelApi
from tests.model.clock import Clock
from tests.model.cluster import NAMESPACE, ModelCluster
from tests.model.faults import (
    CrashError,
    Fault,
    Gate,
    GatedApi,
    GatedArchive,
    GatedCluster,
    GatedDelivery,
    GatedPublisher,
)

T = TypeVar("T")

PATIENCE_S = 900.0
CONFIG = Config(
    work_queue=WorkQueueSettings(listen_queue=QUEUE, url="memory://model"),
    cluster_api_settings=ClusterSettings(namespace=NAMESPACE, host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
    patience_s=PATIENCE_S,
    workers=1,
)
LANDO_API = LandoApiSettings(url="http://127.0.0.1/api/lando/v1", token="t")
PREFETCH = 64
_MADE = ("Job", "ConfigMap", "PersistentVolumeClaim", "ResourceQuota")
_STOPPED = threading.Event()
_STOPPED.set()


class PolledAgenda(Agenda):
    """Never waits: there is nothing more to take when nothing is due."""

    def take(self) -> str | None:
        with self._changed:
            key, _ = self._next()
            if key is not None:
                self._busy[key] = self._clock()
            return key

    def next_due(self) -> float | None:
        """When the next key comes due, by the clock; None when there is none."""
        with self._changed:
            return min(self._due.values(), default=None)


class ModelEvent:
    """An event that is waited for by letting time pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set = False
        self.turns: int | None = None
        """How often it is waited for until it looks set; None for ever."""

    def is_set(self) -> bool:
        return self._set or self.turns == 0

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float | None = None) -> bool:
        if self.turns is not None:
            self.turns -= 1
        elif timeout is not None:
            self._clock.advance(timeout)
        return self.is_set()


class NextTurn:
    """The daemon's event for a resync: the next one is the model's to begin, and ends with one turn."""

    def __init__(self, stopping: ModelEvent) -> None:
        self._stopping = stopping

    def set(self) -> None: ...
    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        self._stopping.wait(timeout)
        return False


class InlinePool:
    """Does what is submitted at once."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None: ...

    def submit(self, do: Callable[..., T], *arguments: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(do(*arguments))
        except LandoError as error:  # a crash goes through
            done.set_exception(error)
        return done

    def map(self, do: Callable[[Any], T], items: Any) -> list[T]:
        return [do(item) for item in items]


class WaitingThread:
    """A thread that waits until the model lets it run."""

    waiting: list[WaitingThread]

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], **_names: Any) -> None:
        self._run = lambda: target(*args)

    def start(self) -> None:
        WaitingThread.waiting.append(self)

    def run(self) -> None:
        """Do all of it."""
        self._run()


@contextmanager
def in_the_model_s_time(clock: Clock) -> Iterator[None]:
    """Let the daemons' modules take time, threads and events from the model."""
    WaitingThread.waiting = []
    threads = SimpleNamespace(
        Event=lambda: ModelEvent(clock),
        Lock=threading.Lock,
        Thread=WaitingThread,
        current_thread=threading.current_thread,
    )
    with (
        mock.patch.object(logs, "Pool", InlinePool),
        mock.patch.object(lando_module, "threading", threads),
        mock.patch.object(outage_module, "threading", threads),
        mock.patch.object(watcher_module, "threading", threads),
        mock.patch.object(lifecycle, "conform", _conform),
        mock.patch.object(lifecycle, "uuid4", _uids()),  # the same in each repetition
        mock.patch.object(going_module, "time", SimpleNamespace(monotonic=clock.monotonic)),
        mock.patch.object(bespin_module, "time", SimpleNamespace(monotonic=clock.monotonic)),
    ):
        yield


class Lando:
    """One process of the lando daemon."""

    def __init__(
        self,
        *,
        clock: Clock,
        cluster: ModelCluster,
        api: ModelApi,
        broker: MemoryBroker,
        archive: set[tuple[int, str, int, str]],
        away: set[str],
    ) -> None:
        self.gate = Gate(away)
        WaitingThread.waiting.clear()  # those of the process before
        transport: Any = GatedApi(api, self.gate)
        with (
            mock.patch.object(bespin_module, "JsonApi", return_value=transport),
            mock.patch.object(http, "JsonApi", return_value=transport),
        ):
            source = BespinSource(CONFIG.bespin_api, LANDO_API)
        self._consumer = broker.consumer(QUEUE, prefetch=PREFETCH)
        self.daemon = LandoDaemon(
            CONFIG,
            cluster=GatedCluster(cluster, self.gate),
            source=source,
            consumer=self._consumer,
            publisher=GatedPublisher(broker.publisher(), self.gate),
            archive=GatedArchive(archive, self.gate),
            clock=clock.now,
            monotonic=clock.monotonic,
        )
        self._agenda = PolledAgenda(clock.monotonic)
        self.daemon._dispatcher._agenda = self._agenda
        broker.queue(QUEUE).active = self._consumer

    def take(self) -> bool:
        """Take the next message of the queue into the work that waits; False when there is none."""
        delivery = self._consumer._next(_STOPPED)
        if delivery is None:
            return False
        self.daemon._on_delivery(GatedDelivery(delivery, self.gate))
        return True

    def work(self) -> None:
        """Do all that is due."""
        self.daemon._dispatcher._work()

    def resync(self) -> None:
        """One turn of the resync, as after a start."""
        stopping: Any = self.daemon._stopping
        stopping.turns = 1
        self.daemon._resync_due = NextTurn(stopping)  # type: ignore[assignment]
        try:
            self.daemon._resync()
        finally:
            stopping.turns = None

    def go_on(self) -> None:
        """Wait for the peer that was away, until it is back."""
        while WaitingThread.waiting:
            WaitingThread.waiting.pop(0).run()

    def next_due(self) -> float | None:
        """When it has something to do by itself, by the clock."""
        return self._agenda.next_due()

    def leave(self) -> None:
        """The process is gone: what it had not settled comes again."""
        self.gate.dead = True
        self._consumer._leave()


class WatcherProcess:
    """One process of the watcher."""

    def __init__(self, *, clock: Clock, cluster: ModelCluster, broker: MemoryBroker, away: set[str]) -> None:
        self.gate = Gate(away)
        self.watcher = Watcher(
            CONFIG,
            cluster=GatedCluster(cluster, self.gate),
            publisher=GatedPublisher(broker.publisher(), self.gate),
            clock=clock.now,
        )
        self._agenda = PolledAgenda(clock.monotonic)
        self.watcher._agenda = self._agenda

    def hear(self, *kinds: str) -> None:
        """Bring the views of these kinds up to date (all, when none is named)."""
        for reflector in (*self.watcher._reflectors, self.watcher._events):
            if not kinds or reflector.kind in kinds:
                try:
                    reflector._list()
                except LandoError:
                    return  # it tries again later

    def work(self) -> None:
        """Tell what is new."""
        self.watcher._work()

    def next_due(self) -> float | None:
        """When it has something to do by itself, by the clock."""
        return self._agenda.next_due()


def survives(do: Callable[[], None], gate: Gate, fault: Fault | None = None) -> bool:
    """Whether the process outlived ``do``, with ``fault`` on its way."""
    gate.arm(fault)
    try:
        do()
    except CrashError:
        return False
    finally:
        gate.arm(None)
    return True


def _uids() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):08d}-0000-4000-8000-000000000000"


def _conform(kind: str, manifest: Any) -> tuple[Any, list[str]]:
    """Look only at what the daemons make: all else has been looked at, and it takes most of the store's time."""
    return conform(kind, manifest) if kind in _MADE and "uid" not in manifest["metadata"] else (_copy(manifest), [])


def _copy(value: Any) -> Any:
    """Without nulls."""
    if isinstance(value, dict):
        return {key: _copy(member) for key, member in value.items() if member is not None}
    return [_copy(member) for member in value] if isinstance(value, list) else value
