"""How a run comes to hold its Lease: it waits for what may be alive, goes past what is left, makes way for the rest.

A Lease is written only as the version that was read, so that of two writers one notices. It counts as left when its
holder let it go, when its process of this machine is gone, or when it was not renewed for its duration as measured
here: clocks are never compared.

Models that share Jobs have Leases of their own, so that taking one is not enough. A holder then lists the others, and
is *admitted* by a second write when none of them stands in its way. One that is admitted comes first, whenever it
began; of two that are not, the senior (:attr:`.Record.seniority`) waits until the other has withdrawn. Whoever goes
past a Lease that was left empties it before, so that its holder, should it wake, fails to renew it or to be admitted.
So those that are admitted never share a Job: one of any two has listed the other, and waited.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from lando.direct import lease_record as records
from lando.direct.holder import Holder
from lando.direct.lease_record import Completion, Record
from lando.errors import Conflict, NotFound, PeerError, Refused
from lando.k8s.cluster import Cluster
from lando.phases.labels import RUN

POLL_S = 1.0  # between two looks at another's Lease


class Stop(Protocol):
    """What a :class:`threading.Event` does."""

    def wait(self, timeout: float) -> bool: ...


class Stopped(Exception):
    """The caller was told to stop while it waited."""


class Standing(Enum):
    """What is known of another holder."""

    FREE = "it has let go, is gone, or gave no sign of life for the duration of its Lease"
    ALIVE = "it gave a sign of life since we looked first"
    UNKNOWN = "it may be either"


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """Our Lease from now on."""

    record: Record
    begun: float
    """When the write began that admitted us."""
    complete: Mapping[str, Completion]
    """What is noted of our Jobs, also by models that had them before."""


class Admission:
    """One run's way to its Lease. ``jobs`` are the names; the other arguments are those of :class:`.lease.Lease`."""

    def __init__(
        self,
        cluster: Cluster,
        jobs: frozenset[str],
        identity: str,
        *,
        tell: Callable[[str], None],
        seconds: Callable[[], float],
        now: Callable[[], datetime],
        is_gone: Callable[[Holder], bool],
    ) -> None:
        self._cluster = cluster
        self._names, self._jobs, self._name = jobs, records.digests(jobs), records.lease_name(jobs)
        self._identity = identity
        self._tell = tell
        self._seconds, self._now, self._is_gone = seconds, now, is_gone
        self._seen: dict[str, tuple[tuple[str, str, str], float]] = {}
        """By Lease of others: its last sign of life, and since when it is known."""

    def enter(self, stop: Stop) -> Admitted:
        """Take our Lease and be admitted. May be called again after an error: what was taken is found again.

        Raises Refused when another is at work, Stopped, and what the cluster answers otherwise.
        """
        while True:
            mine = self._take(stop)
            admitted = self._admit(mine, stop)
            if admitted is not None:
                return admitted

    def _take(self, stop: Stop) -> Record:
        """Write ourselves into our Lease as soon as nobody else is there."""
        while True:
            spec = records.held(self._identity, self._now())
            with suppress(Conflict):
                return records.read(self._cluster.create(records.manifest(self._name, self._jobs, spec)))
            there = self._see_out(self._name, stop)
            if there is not None:
                change = {"spec": {**spec, "leaseTransitions": there.transitions + 1}}
                with suppress(Conflict, NotFound):
                    return records.patch(self._cluster, there, {records.ADMITTED: None}, change)

    def _admit(self, mine: Record, stop: Stop) -> Admitted | None:
        """Be admitted; None when that has to be begun again, after somebody that came first."""
        while True:
            looked = self._seconds()
            others = records.others(self._cluster, self._name, self._jobs)
            standing = [one for one in others if self._standing(one, looked) is not Standing.FREE]
            first = next((one for one in standing if one.admitted or one.seniority < mine.seniority), None)
            try:
                if first is not None:
                    self._withdraw(mine)
                    self._see_out(first.name, stop)
                    return None
                if not standing:
                    for one in others:
                        if one.identity:
                            records.patch(self._cluster, one, {}, {"spec": {"holderIdentity": ""}})
                    return self._admitted(mine, others)
                # They have just begun, and will see us and withdraw; meanwhile we must not seem gone.
                self._pause(stop)
                mine = records.patch(self._cluster, mine, {}, records.sign_of_life(self._now()))
            except (Conflict, NotFound):
                return None
            except Stopped:
                self._withdraw(mine)
                raise

    def _admitted(self, mine: Record, others: list[Record]) -> Admitted:
        complete = dict(mine.complete)
        for one in others:
            more = {name: it for name, it in one.complete.items() if name in self._names and name not in complete}
            complete = records.noted(complete, more) or complete
        notes = {
            records.ADMITTED: "true",
            records.COMPLETE: records.packed(complete),
            RUN: mine.run or secrets.token_hex(8),
        }
        begun = self._seconds()
        record = records.patch(self._cluster, mine, notes, records.sign_of_life(self._now()))
        for one in others:
            self._take_notes_of(one)
        return Admitted(record=record, begun=begun, complete=complete)

    def _take_notes_of(self, other: Record) -> None:
        """What is noted of our Jobs is ours from now on; if that fails, the next run does it."""
        rest = {name: it for name, it in other.complete.items() if name not in self._names}
        if len(rest) < len(other.complete):
            with suppress(PeerError):
                there = records.read(self._cluster.get("Lease", other.name))
                records.patch(self._cluster, there, {records.COMPLETE: records.packed(rest)}, {})

    def _see_out(self, name: str, stop: Stop) -> Record | None:
        """Wait until that Lease is free; None when it is gone. Raises Refused when its holder lives, and Stopped."""
        is_told = False
        while True:
            looked = self._seconds()
            try:
                there = records.read(self._cluster.get("Lease", name))
            except NotFound:
                return None
            if not there.is_ours:
                raise Refused(
                    f"The Lease {name} in namespace {self._cluster.namespace} is not of a phased run: "
                    "rename or delete it; nothing was created."
                )
            standing = self._standing(there, looked)
            if standing is Standing.FREE:
                return there
            jobs = "these Jobs" if name == self._name else "some of these Jobs"
            at_work = f"{there.holder} has been running {jobs} since {there.since} (Lease {name})"
            if standing is Standing.ALIVE:
                raise Refused(f"{at_work}: wait for its end, or stop it; nothing was created.")
            if not is_told:
                self._tell(f"{at_work}; waiting for {there.duration_s} s at most to see whether it is alive.")
                is_told = True
            self._pause(stop)

    def _standing(self, record: Record, looked: float) -> Standing:
        """What is known of the holder, from a record that was asked for after ``looked`` and has just been read."""
        holder = Holder.parse(record.identity)
        if record.identity in ("", self._identity) or (holder is not None and self._is_gone(holder)):
            return Standing.FREE
        seen = self._seen.get(record.name)
        if seen is not None and seen[0] == record.state:
            return Standing.FREE if looked - seen[1] >= record.duration_s else Standing.UNKNOWN
        self._seen[record.name] = (record.state, self._seconds())
        return Standing.UNKNOWN if seen is None else Standing.ALIVE

    def _pause(self, stop: Stop) -> None:
        if stop.wait(POLL_S):
            raise Stopped

    def _withdraw(self, mine: Record) -> None:
        """If that is not heard, it expires."""
        with suppress(PeerError):
            records.patch(self._cluster, mine, {}, {"spec": {"holderIdentity": ""}})
