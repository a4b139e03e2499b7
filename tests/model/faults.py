"""Where a model's process meets the world: each call goes through one gate, where it can go wrong in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from lando.archive import Entry
from lando.errors import LandoError, Unavailable
from lando.k8s.cluster import Manifest, Page
from lando.queues import Delivery, Publisher
from lando.sources.http import Answer
from tests.model.api import ModelApi
from tests.model.cluster import ModelCluster, ModelWatch
from tests.services.intercepted_delivery import InterceptedDelivery

T = TypeVar("T")


class CrashError(BaseException):
    """The process is killed; nothing that it does comes after this."""


class Trouble(Enum):
    """What happens at one call."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    REFUSED = "not reached"
    """The peer was not reached: no effect, the caller is told that it is away."""
    ANSWER_LOST = "answer lost"
    """The call took effect, but the caller is told that the peer is away."""
    MEANWHILE = "something else first"
    """Somebody else does something just before the call takes effect."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One trouble at one call of a process, counted from now on."""

    call: int
    trouble: Trouble
    meanwhile: Callable[[], None] | None = None


class Gate:
    """Every call of one process. ``away`` are the peers that no process reaches now."""

    def __init__(self, away: set[str]) -> None:
        self._away = away
        self._fault: Fault | None = None
        self._calls = 0
        self.dead = False
        self.met: Trouble | None = None
        """The trouble that the last fault really made."""

    def arm(self, fault: Fault | None) -> None:
        """Have ``fault`` happen at the call that it names; forget any other."""
        self._fault, self._calls = fault, 0
        if fault is not None:
            self.met = None

    def call(self, peer: str, effect: Callable[[], T], *, may_refuse: bool = True) -> T:
        """Do ``effect`` on ``peer``, or what is to happen instead."""
        if self.dead:
            raise CrashError
        trouble = self._trouble(may_refuse=may_refuse)
        if trouble is Trouble.KILLED_BEFORE:
            self._die()
        if may_refuse and (trouble is Trouble.REFUSED or peer in self._away):
            raise Unavailable(peer, "is away")
        result = effect()
        if trouble is Trouble.KILLED_AFTER:
            self._die()
        if trouble is Trouble.ANSWER_LOST:
            raise Unavailable(peer, "the connection was reset")
        return result

    def _trouble(self, *, may_refuse: bool) -> Trouble | None:
        self._calls += 1
        fault = self._fault
        if fault is None or self._calls < fault.call:
            return None
        if not may_refuse and fault.trouble in (Trouble.REFUSED, Trouble.ANSWER_LOST):
            return None  # of the next call that can
        self._fault, self.met = None, fault.trouble
        if fault.meanwhile is not None:
            fault.meanwhile()
        return fault.trouble

    def _die(self) -> None:
        self.dead = True
        raise CrashError


class GatedCluster:
    """The calls to a cluster."""

    def __init__(self, cluster: ModelCluster, gate: Gate) -> None:
        self._cluster = cluster
        self._gate = gate

    @property
    def namespace(self) -> str:
        return self._cluster.namespace

    def create(self, manifest: Manifest) -> Manifest:
        return self._call(lambda: self._cluster.create(manifest))

    def get(self, kind: str, name: str) -> Manifest:
        return self._call(lambda: self._cluster.get(kind, name))

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        return self._call(lambda: self._cluster.list(kind, label_selector, field_selector))

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = 500,
        continue_token: str | None = None,
    ) -> Page:
        return self._call(lambda: self._cluster.list_page(kind, label_selector, field_selector=field_selector))

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> ModelWatch:
        return self._call(
            lambda: self._cluster.watch(
                kind, label_selector, resource_version, timeout_s=timeout_s, field_selector=field_selector
            )
        )

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        return self._call(lambda: self._cluster.patch(kind, name, patch))

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        self._call(lambda: self._cluster.delete(kind, name, uid=uid))

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        return self._call(lambda: self._cluster.pod_log(pod, container))

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> Any:
        raise NotImplementedError

    def _call(self, effect: Callable[[], T]) -> T:
        return self._gate.call("cluster", effect)


class GatedApi:
    """The transport of a source."""

    def __init__(self, api: ModelApi, gate: Gate) -> None:
        self._api = api
        self._gate = gate

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        return self._gate.call(
            "Bespin API", lambda: self._api.request(method, path, body, query=query, if_match=if_match)
        )

    def items(self, path: str, *, query: list[tuple[str, str]] | None = None) -> Iterator[Any]:
        yield from self.request("GET", path, query=query).document

    def close(self) -> None: ...


class GatedPublisher:
    """A process's way to the broker."""

    blocked = None

    def __init__(self, publisher: Publisher, gate: Gate) -> None:
        self._publisher = publisher
        self._gate = gate

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        confirmed: Future[None] = Future()
        try:
            self._gate.call(
                "broker",
                lambda: self._publisher.publish(queue, body, content_type=content_type, message_id=message_id).result(
                    0
                ),
            )
        except LandoError as error:
            confirmed.set_exception(error)
        else:
            confirmed.set_result(None)
        return confirmed

    def notify(self, body: bytes) -> None:
        self._gate.call("broker", lambda: self._publisher.notify(body), may_refuse=False)

    def close(self, timeout_s: float = 5.0) -> None: ...


class GatedDelivery(InterceptedDelivery):
    """A message in a daemon's hands."""

    def __init__(self, delivery: Delivery, gate: Gate) -> None:
        super().__init__(delivery)
        self._gate = gate

    def settle(self, how: str, do: Callable[[], None]) -> None:
        self._gate.call("broker", do, may_refuse=False)


class GatedArchive:
    """Logs that outlive their Jobs: which there are, by run, step, attempt and container."""

    def __init__(self, kept: set[tuple[int, str, int, str]], gate: Gate) -> None:
        self._kept = kept
        self._gate = gate

    def store(
        self, run_id: int, step: str, attempt: int, container: str, log: str, termination: str | None = None
    ) -> None:
        self._gate.call("archive", lambda: self._kept.add((run_id, step, attempt, container)))

    def store_missing(
        self, run_id: int, step: str, attempt: int, why: str, container: str = "", termination: str | None = None
    ) -> None:
        self._gate.call("archive", lambda: self._kept.add((run_id, step, attempt, container)))

    def store_evidence(self, run_id: int, step: str, attempt: int, document: Mapping[str, Any]) -> None:
        self._gate.call("archive", lambda: None)

    def entries(self, run_id: int) -> Sequence[Entry]:
        return self._gate.call(
            "archive",
            lambda: [
                Entry(step=step, attempt=attempt, container=container)
                for run, step, attempt, container in sorted(self._kept)
                if run == run_id
            ],
        )
