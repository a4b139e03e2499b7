"""A daemon's connections with every call counted, each of which a test can break."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from lando.archive import Archive
from lando.k8s.cluster import Manifest, Page, Watch
from lando.messages import codec
from lando.queues import Delivery
from lando.queues.memory import MemoryBroker
from lando.sources.http import Answer, JsonApi
from tests.crash_points.calls import Calls, Kind, written
from tests.services.intercepted_delivery import InterceptedDelivery
from tests.services.store_cluster import StoreCluster

_POD_SUFFIX = re.compile(r"-[a-z0-9]{5}\b")


class CountedCluster:
    """The calls to a cluster."""

    def __init__(self, cluster: StoreCluster, calls: Calls) -> None:
        self._cluster = cluster
        self._calls = calls
        self._watches: list[Watch] = []
        self._watched: set[tuple[str, str]] = set()
        calls.at_death(lambda: [watch.close() for watch in self._watches])

    @property
    def namespace(self) -> str:
        return self._cluster.namespace

    def _make(self, what: str, kind: Kind, do: Callable[[], Any]) -> Any:
        return self._calls.make("cluster", what, kind, do)

    def create(self, manifest: Manifest) -> Manifest:
        what = f"create {manifest['kind']} {manifest['metadata']['name']}"
        return self._make(what, Kind.WRITE, lambda: self._cluster.create(manifest))

    def get(self, kind: str, name: str) -> Manifest:
        return self._make(f"get {kind} {name}", Kind.READ, lambda: self._cluster.get(kind, name))

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        what = f"list {kind} {label_selector}{_POD_SUFFIX.sub('-*', field_selector)}"
        return self._make(what, Kind.READ, lambda: self._cluster.list(kind, label_selector, field_selector))

    def list_page(self, kind: str, label_selector: str = "", **options: Any) -> Page:
        what = f"list {kind} {label_selector} in pages"
        return self._make(what, Kind.READ, lambda: self._cluster.list_page(kind, label_selector, **options))

    def watch(self, kind: str, label_selector: str, resource_version: str, **options: Any) -> Watch:
        def watch() -> Watch:
            opened = self._cluster.watch(kind, label_selector, resource_version, **options)
            self._watches.append(opened)
            self._watched.add((kind, label_selector))
            return opened

        return self._make(f"watch {kind} {label_selector}", Kind.READ, watch)

    def is_watched(self, kind: str, label_selector: str) -> bool:
        """Whether a watch of these has ever begun."""
        return (kind, label_selector) in self._watched

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        keys = ",".join(sorted(patch.get("data") or patch))
        what = f"patch {kind} {name} {keys}"
        return self._make(what, Kind.GUARDED, lambda: self._cluster.patch(kind, name, patch))

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        return self._make(f"delete {kind} {name}", Kind.WRITE, lambda: self._cluster.delete(kind, name, uid=uid))

    def pod_log(self, pod: str, container: str, **options: Any) -> str:
        what = f"log of {_POD_SUFFIX.sub('-*', pod)}"
        return self._make(what, Kind.READ, lambda: self._cluster.pod_log(pod, container, **options))

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Any:
        what = f"log of {_POD_SUFFIX.sub('-*', pod)}"
        return self._make(what, Kind.READ, lambda: self._cluster.pod_log_lines(pod, container, follow=follow))


class CountedApi:
    """The requests to an API."""

    def __init__(self, api: JsonApi, calls: Calls) -> None:
        self._api = api
        self._calls = calls

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        kind = Kind.READ if method == "GET" else Kind.GUARDED if if_match is not None else Kind.WRITE
        return self._calls.make(
            "API",
            f"{method} {path}{_asked(query)}{written(body)}",
            kind,
            lambda: self._api.request(method, path, body, query=query, if_match=if_match),
        )

    def items(self, path: str, *, query: list[tuple[str, str]] | None = None) -> Iterator[Any]:
        what = f"GET {path}{_asked(query)} one by one"
        yield from self._calls.make("API", what, Kind.READ, lambda: list(self._api.items(path, query=query)))

    def close(self) -> None:
        self._api.close()


class CountedPublisher:
    """Messages and notices to a broker."""

    blocked = None

    def __init__(
        self, broker: MemoryBroker, calls: Calls, published: Callable[[str], None] = lambda said: None
    ) -> None:
        """``published`` is told in a few words what the broker has got."""
        self._publisher = broker.publisher()
        self._calls = calls
        self._published = published

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        def publish() -> Future[None]:
            self._published(_said(body))
            return self._publisher.publish(queue, body, content_type=content_type, message_id=message_id)

        return self._calls.make("broker", f"publish {_said(body)}", Kind.WRITE, publish)

    def notify(self, body: bytes) -> None:
        self._calls.make("broker", f"notify {body.decode()}", Kind.NOTICE, lambda: self._publisher.notify(body))

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing to close."""


class CountedConsumer:
    """Deliveries of a broker; the death of the process is the end of its connection."""

    def __init__(self, broker: MemoryBroker, queue: str, calls: Calls, *, resyncs: bool) -> None:
        """Without ``resyncs`` this life of the daemon is between two resyncs."""
        self._broker = broker
        self._consumer = broker.consumer(queue, prefetch=8)
        self._calls = calls
        self.resyncs = resyncs

    @property
    def active(self) -> bool:
        held = not self.resyncs and threading.current_thread().name == "resync"
        return not held and not self._calls.dead and self._consumer.active

    def run(
        self, on_delivery: Callable[[Delivery], None], stop: threading.Event, on_active: Callable[[], None]
    ) -> None:
        def disconnect() -> None:
            stop.set()
            self._broker.wake()

        self._calls.at_death(disconnect)
        self._consumer.run(lambda delivery: on_delivery(CountedDelivery(delivery, self._calls)), stop, on_active)

    def pause(self) -> None:
        self._consumer.pause()

    def resume(self) -> None:
        self._consumer.resume()


class CountedDelivery(InterceptedDelivery):
    """One message; what a dead process says of it reaches nobody."""

    def __init__(self, delivery: Delivery, calls: Calls) -> None:
        super().__init__(delivery)
        self._calls = calls

    def settle(self, how: str, do: Callable[[], None]) -> None:
        if not self._calls.dead:
            self._calls.make("broker", f"{how} {_said(self.body)}", Kind.SETTLE, do, self.delivery.requeue)


class CountedArchive:
    """Calls of an archive: what it stores, and what it is asked for and can be done without."""

    def __init__(self, archive: Archive, calls: Calls) -> None:
        self._archive = archive
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        do = getattr(self._archive, name)
        kind = Kind.WRITE if name.startswith("store") else Kind.HINT

        def call(*about: Any, **how: Any) -> Any:
            what = f"archive: {name} {' '.join(str(each) for each in about[:3])}"
            return self._calls.make("archive", what, kind, lambda: do(*about, **how))

        return call


def _asked(query: list[tuple[str, str]] | None) -> str:
    return "?" + "&".join(f"{key}={value}" for key, value in query) if query else ""


def _said(body: bytes) -> str:
    """A message in a few words."""
    message = codec.decode(body)
    evidence = message.evidence
    return " ".join([message.command.value, *([evidence.step, evidence.condition.value] if evidence else [])])
