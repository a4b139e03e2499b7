"""Holders of Leases that take turns: each call of each is granted by the test, and may come to grief.

A holder runs its real code in a thread of its own, but only between two grants: one thread at a time is at work, so
that a history is repeated exactly.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NoReturn

from lando.direct import lease_record as records
from lando.direct.holder import Holder
from lando.direct.lease import RENEW_S, Lease
from lando.direct.lease_record import Completion
from lando.errors import Conflict, LandoError, NotFound, Refused, Unavailable

Manifest = dict[str, Any]
LIMIT_S = 60.0
"""For a thread to come to its next call: only a defect takes so long."""


class Fate(Enum):
    """What becomes of one call."""

    ANSWERED = "answered"
    REFUSED = "never arrives"
    LOST = "arrives, but its answer does not"
    SLOW = "arrives, and is answered when time has passed"
    LATE = "arrives much later, when nobody waits for the answer"


class _Crash(BaseException):
    """The end of a process."""


class Leases:
    """The API's Leases: versions, and writes that name one."""

    def __init__(self) -> None:
        self._there: dict[str, Manifest] = {}
        self._version = 0

    def create(self, manifest: Manifest) -> Manifest:
        if manifest["metadata"]["name"] in self._there:
            raise Conflict("cluster", "exists", status=409)
        return self._put({**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{self._version}"}})

    def get(self, _kind: str, name: str) -> Manifest:
        if name not in self._there:
            raise NotFound("cluster", "gone", status=404)
        return copy.deepcopy(self._there[name])

    def list(self, _kind: str, _selector: str) -> list[Manifest]:
        return copy.deepcopy(list(self._there.values()))

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        old = self.get(kind, name)
        if patch["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Conflict("cluster", "changed", status=409)
        annotations = {**old["metadata"]["annotations"], **patch["metadata"]["annotations"]}
        kept = {key: value for key, value in annotations.items() if value is not None}
        metadata = {**old["metadata"], "annotations": kept}
        return self._put({**old, "metadata": metadata, "spec": {**old["spec"], **patch.get("spec", {})}})

    def _put(self, lease: Manifest) -> Manifest:
        self._version += 1
        lease = copy.deepcopy(lease)
        lease["metadata"]["resourceVersion"] = str(self._version)
        self._there[lease["metadata"]["name"]] = lease
        return copy.deepcopy(lease)


class Site:
    """One API, one time that passes for all, and the holders."""

    def __init__(self) -> None:
        self.time = 0.0
        self.leases = Leases()
        self.holders: list[Runner] = []
        self.late: list[Callable[[], object]] = []
        self.crashed: set[str] = set()
        self.noted: set[str] = set()
        """The Jobs that a Lease ever had as complete."""

    def start(self, jobs: str, machine: int, skew_s: float) -> Runner:
        runner = Runner(self, jobs, machine, skew_s, len(self.holders))
        self.holders.append(runner)
        return runner

    def note(self) -> None:
        """Remember what stands in a Lease as complete."""
        for lease in self.leases.list("Lease", ""):
            self.noted |= records.read(lease).complete.keys()

    def forgotten(self) -> Iterator[tuple[Runner, set[str]]]:
        """Who runs Jobs and does not know that they are complete."""
        for one in self.holders:
            if (
                one.is_running
                and one.lease.held
                and (unknown := self.noted & set(one.jobs) - one.lease.complete.keys())
            ):
                yield one, unknown

    def overlaps(self) -> Iterator[tuple[Runner, Runner]]:
        """Every two that believe that they may run the same Job."""
        held = [one for one in self.holders if one.is_running and one.lease.held]
        for at, one in enumerate(held):
            for other in held[at + 1 :]:
                if set(one.jobs) & set(other.jobs):
                    yield one, other


class Runner:
    """One process that runs the Jobs named by the letters of ``jobs`` until it is told to stop, crashes or may not."""

    def __init__(self, site: Site, jobs: str, machine: int, skew_s: float, number: int) -> None:
        self.jobs = jobs
        self.refusal: str | None = None
        self.is_stopped = False
        self.wakes_at: float | None = None
        """When what it sleeps for is over; None while it is at a call."""
        self._site = site
        self._is_crashing = False
        self._fate = Fate.ANSWERED
        self._turn, self._yielded = threading.Semaphore(0), threading.Semaphore(0)
        nonce = f"run-{number}"
        self.nonce, self._machine = nonce, machine
        origin = 1000.0 * number  # monotonic clocks begin anywhere
        self.lease = Lease(
            self,  # type: ignore[arg-type] # it has what a Lease calls
            jobs,
            tell=lambda _sentence: None,
            holder=Holder(who=f"u@m{machine}", pid=number, started=1, boot="b", numbers="1", nonce=nonce),
            seconds=lambda: origin + site.time,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=site.time + skew_s),
            is_gone=lambda holder: holder.who == f"u@m{machine}" and holder.nonce in site.crashed,
        )
        self.namespace = "etl"
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._await()

    # -- the test's side -------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def step(self, fate: Fate = Fate.ANSWERED) -> None:
        """Let it go on to its next call or sleep; from a sleep, when that is over."""
        if self.wakes_at is not None and not self.is_stopped:
            self._site.time = max(self._site.time, self.wakes_at)
        self._fate = fate
        self._turn.release()
        self._await()

    def crash(self) -> None:
        self._is_crashing = True
        self._site.crashed.add(self.nonce)
        self._turn.release()
        self._thread.join(LIMIT_S)

    def _await(self) -> None:
        assert self._yielded.acquire(timeout=LIMIT_S)

    # -- the process' side -----------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._let_others()
            while True:
                try:
                    acquired = self.lease.acquire(self)
                    break
                except Unavailable:
                    self.wait(1.0)
            left = list(self.jobs)
            while acquired and self.lease.lost is None and not self.wait(RENEW_S):
                if left and self.lease.held:
                    self.lease.note({left.pop(): Completion(uid=self.nonce, digest="")})
                else:
                    self.lease.renew()
            self.lease.release()
        except Refused as error:
            self.refusal = str(error)
        except _Crash:
            pass
        finally:
            self._yielded.release()

    def wait(self, timeout: float) -> bool:
        """As the stop that a Lease waits for."""
        self.wakes_at = self._site.time + timeout
        self._let_others()
        self.wakes_at = None
        return self.is_stopped

    def _let_others(self) -> None:
        self._yielded.release()
        assert self._turn.acquire(timeout=LIMIT_S)
        if self._is_crashing:
            raise _Crash

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._site.leases, name)

        def granted(*args: Any) -> Any:
            self._let_others()
            if self._fate is Fate.ANSWERED or (self._fate is Fate.LATE and name in ("get", "list")):
                return call(*args)
            if self._fate is Fate.SLOW:
                answer = call(*args)
                self._let_others()
                return answer
            if self._fate is Fate.LOST:
                _ignoring(lambda: call(*args))()
            elif self._fate is Fate.LATE:
                self._site.late.append(_ignoring(lambda: call(*copy.deepcopy(args))))
            _unavailable()

        return granted


def _ignoring(call: Callable[[], object]) -> Callable[[], None]:
    def do() -> None:
        with suppress(LandoError):
            call()

    return do


def _unavailable() -> NoReturn:
    raise Unavailable("cluster", "no answer in time")
