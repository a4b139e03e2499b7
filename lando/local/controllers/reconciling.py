"""The frame of a controller: watch kinds of objects, and bring each concerned key to rest, one at a time.

Level-triggered: an event only says which key to look at, and the look reads the store afresh. A key that is asked for
while it waits is looked at once. Nothing polls; what depends on time asks to be looked at again later.
"""

from __future__ import annotations

import heapq
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Event, Subscription

log = logging.getLogger(__name__)

RETRY_BASE_S = 0.05
RETRY_LIMIT_S = 30.0
JOIN_TIMEOUT_S = 10.0

Key = tuple[str, str]
"""Namespace and name."""
K = TypeVar("K")


class DelayQueue(Generic[K]):
    """Keys to be looked at, now or later; each waits there at most once, at its earliest time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._closed = False

    def add(self, key: K, delay_s: float = 0.0) -> None:
        """Have ``key`` looked at in ``delay_s`` seconds, or earlier when that was asked for already."""
        due = self._clock() + max(delay_s, 0.0)
        with self._condition:
            known = self._due.get(key)
            if self._closed or (known is not None and known <= due):
                return
            self._due[key] = due
            self._count += 1
            heapq.heappush(self._heap, (due, self._count, key))
            self._condition.notify()

    def get(self) -> K | None:
        """The next key that is due, waited for; None once closed."""
        with self._condition:
            while not self._closed:
                while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._condition.wait()
                    continue
                due, _, key = self._heap[0]
                wait_s = due - self._clock()
                if wait_s > 0:
                    self._condition.wait(wait_s)
                    continue
                heapq.heappop(self._heap)
                del self._due[key]
                return key
            return None

    def close(self) -> None:
        """Drop what waits and let :meth:`get` return None."""
        with self._condition:
            self._closed = True
            self._due.clear()
            self._heap.clear()
            self._condition.notify_all()


def key_of(manifest: Manifest) -> Key:
    """Namespace and name of an object."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Follower:
    """A thread that follows a watch of the store; when that falls behind (410), it begins another one.

    ``begin()`` opens a watch, ``follow(subscription)`` reads it to its end.
    """

    def __init__(self, name: str, begin: Callable[[], Subscription], follow: Callable[[Subscription], None]) -> None:
        self._name = name
        self._begin = begin
        self._follow = follow
        self._stopping = False
        self._subscription: Subscription | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no call of ``follow`` is under way afterwards."""
        with self._lock:
            self._stopping = True
            if self._subscription is not None:
                self._subscription.close()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    return
                subscription = self._subscription = self._begin()
            try:
                self._follow(subscription)
            except ApiError as error:
                log.warning("%s begins again: %s", self._name, error)


class Informer(Follower):
    """Hands every change of one kind to ``handle``, beginning with what is there.

    When it begins again, ``handle`` sees present objects once more, and objects that went meanwhile as ``DELETED``.
    """

    def __init__(
        self,
        store: ObjectStore,
        resource: str,
        handle: Callable[[str, Manifest], None],
        *,
        field_selector: str = "",
    ) -> None:
        super().__init__(f"informer-{resource}", self._list_and_watch, self._hand_on)
        self._store = store
        self._resource = resource
        self._handle = handle
        self._field_selector = field_selector
        self._listed: list[bytes] = []
        self._known: dict[str, bytes] = {}
        """By uid, as JSON: the very bytes that the store holds."""

    def _list_and_watch(self) -> Subscription:
        listing = self._store.list(self._resource, field_selector=self._field_selector)
        self._listed = listing.raw_items
        return self._store.watch(
            self._resource, field_selector=self._field_selector, resource_version=listing.resource_version
        )

    def _hand_on(self, subscription: Subscription) -> None:
        self._replace(self._listed)
        for event in subscription:
            self._pass_on(event)

    def _replace(self, listed: list[bytes]) -> None:
        present = {json.loads(raw)["metadata"]["uid"]: raw for raw in listed}
        for uid in list(self._known.keys() - present.keys()):
            self._call("DELETED", json.loads(self._known.pop(uid)))
        for uid, raw in present.items():
            kind = "MODIFIED" if uid in self._known else "ADDED"
            self._known[uid] = raw
            self._call(kind, json.loads(raw))

    def _pass_on(self, event: Event) -> None:
        item = event.object
        uid = item["metadata"]["uid"]
        if event.type == "DELETED":
            self._known.pop(uid, None)
        else:
            self._known[uid] = event.raw
        self._call(event.type, item)

    def _call(self, kind: str, item: Manifest) -> None:
        try:
            self._handle(kind, item)
        except Exception:
            log.exception("handling a change of %s %s failed", self._resource, "/".join(key_of(item)))


class Controller:
    """One worker thread that reconciles keys; a key that fails is tried again, ever more slowly.

    ``reconcile(key)`` returns the seconds after which to look again even if nothing happens, or None. ``sources`` put
    keys into the queue; they live as long as the worker.
    """

    def __init__(self, name: str, reconcile: Callable[[Key], float | None], sources: Sequence[Follower] = ()) -> None:
        self.queue: DelayQueue[Key] = DelayQueue()
        self._name = name
        self._work = reconcile
        self._sources = sources
        self._failures: dict[Key, int] = {}
        self._worker = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._worker.start()
        for source in self._sources:
            source.start()

    def stop(self) -> None:
        """End the sources, then the worker after what it has in hand; the next start finds what is left to do."""
        for source in self._sources:
            source.stop()
        self.queue.close()
        self._worker.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while (key := self.queue.get()) is not None:
            try:
                again_s = self._work(key)
            except Exception as error:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                delay_s = min(RETRY_BASE_S * 2 ** min(failures, 20), RETRY_LIMIT_S)
                expected = isinstance(error, ApiError) and error.code == 409
                log.log(
                    logging.DEBUG if expected else logging.ERROR,
                    "%s: %s failed, trying again in %.1f s: %s",
                    self._name,
                    "/".join(key),
                    delay_s,
                    error,
                    exc_info=not isinstance(error, ApiError),
                )
                self.queue.add(key, delay_s)
            else:
                self._failures.pop(key, None)
                if again_s is not None:
                    self.queue.add(key, again_s)
