"""The Lease of a phased run: lock and run record at once. How it is come by is in :mod:`.admission`.

A model that was changed has another Lease. What the former one noted of Jobs that are still in the model is moved over;
what it owns is owned anew as it is applied, and the rest goes with it at a cleanup, if the model still has all its
Jobs.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from lando.direct import lease_record as records
from lando.direct.admission import Admission, Stop, Stopped
from lando.direct.holder import Holder
from lando.direct.lease_record import Completion, Record
from lando.errors import Conflict, LandoError, NotFound, PeerError, QuotaExceeded, Refused, Rejected, Unavailable
from lando.k8s import cluster_errors
from lando.k8s.cluster import Cluster, Manifest
from lando.phases.labels import RUN

RENEW_S = 5.0
RETRY_S = 1.0  # after a renewal that failed
HOLD_S = 10.0  # since the last renewal began; calls in flight have the rest of the Lease's duration to end
RELEASE_S = 5.0  # for letting go at the end; then it expires by itself
_TRIES = 5  # of a write that others' writes make fail

log = logging.getLogger(__name__)


def clock() -> float:
    """Seconds on a clock that is never set and goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """The Lease of one run of Jobs of these names. Safe to use from several threads once it is acquired.

    ``tell`` hears what :meth:`acquire` waits for, in the thread that calls it; ``wake`` is called by the renewing
    thread when :attr:`held` may have changed. Raises Refused when there are too many Jobs.
    """

    def __init__(
        self,
        cluster: Cluster,
        jobs: Iterable[str],
        *,
        tell: Callable[[str], None],
        wake: Callable[[], None] = lambda: None,
        holder: Holder | None = None,
        seconds: Callable[[], float] = clock,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_gone: Callable[[Holder], bool] = Holder.is_gone,
    ) -> None:
        names = frozenset(jobs)
        self.name = records.lease_name(names)
        self._cluster = cluster
        self._jobs = records.digests(names)
        self._identity = str(holder or Holder.here())
        self._tell, self._wake = tell, wake
        self._seconds, self._now = seconds, now
        self._admission = Admission(
            cluster, names, self._identity, tell=tell, seconds=seconds, now=now, is_gone=is_gone
        )
        self._lock = threading.RLock()
        self._mine: Record | None = None
        """As it was written last; None before it is acquired and after its end."""
        self._renewed = 0.0
        """When the last renewal that was answered began."""
        self._complete: Mapping[str, Completion] = {}
        self._unwritten = False
        self._lost: str | None = None
        self._without = False
        self._run = secrets.token_hex(8)
        self._is_over = False

    # -- what the run may rely on ----------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the run may create and delete now."""
        if self._without:
            return True
        return self._lost is None and self._mine is not None and self._seconds() - self._renewed < HOLD_S

    @property
    def lost(self) -> str | None:
        """Why it is lost for good, one sentence; None while it is held or may be again."""
        return self._lost

    def assert_held(self) -> None:
        """Raises Refused when it is lost, Unavailable while another may have taken it: then nothing may be done."""
        if self.lost is not None:
            raise Refused(f"{self.lost} The Jobs are left as they are.")
        if not self.held:
            raise Unavailable(cluster_errors.PEER, "the Lease of this run could not be renewed")

    @property
    def owner(self) -> Manifest | None:
        """The ownerReference for what is to go with the run; None without a Lease."""
        mine = self._mine
        if mine is None:
            return None
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": mine.name, "uid": mine.uid}

    @property
    def run(self) -> str:
        """By what the Jobs of this run are known; the same when it was killed and goes on."""
        return self._run

    @property
    def complete(self) -> Mapping[str, Completion]:
        """By name the Jobs that an earlier run, or this one, has seen complete and noted.

        Never waits for a renewal under way, as nothing here does: what it answers is replaced, not changed.
        """
        return self._complete

    # -- its life --------------------------------------------------------------------------------------------------

    def acquire(self, stop: Stop) -> bool:
        """Take it, or wait until it is sure that another is at work; False when told to stop meanwhile.

        Without the right to Leases, or where none can be made, the run goes on without one, and says so.
        May be called again after an error. Raises Refused, and Unavailable.
        """
        try:
            admitted = self._admission.enter(stop)
        except Stopped:
            return False
        except (QuotaExceeded, Rejected, NotFound, Unavailable) as error:
            if isinstance(error, Unavailable) and error.status != 403:
                raise
            self._go_without(error)
            return True
        self._complete = admitted.complete
        self._mine, self._renewed = admitted.record, admitted.begun
        self._run = admitted.record.run
        return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renewed by a thread of its own until the end, and then let go."""
        if self._without:
            yield
            return
        ending = threading.Event()

        def keep() -> None:
            delay_s, known = RENEW_S, (True, self._lost)
            while not ending.wait(delay_s):
                delay_s = RENEW_S if self.renew() else RETRY_S
                if (self.held, self._lost) != known:
                    known = self.held, self._lost
                    self._wake()
            self.release()

        thread = threading.Thread(target=keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join(RELEASE_S)

    def conclude(self) -> None:
        """The run has come to its end: what is begun after this is another one."""
        self._is_over = True

    def renew(self) -> bool:
        """Say that we are at work, and what is not noted yet; whether that was heard."""
        with self._lock:
            try:
                return self._write(records.sign_of_life(self._now()))
            except LandoError as error:
                log.debug("The Lease %s was not renewed: %s", self.name, error)
                return False

    def release(self) -> None:
        """Let it go, so that the next run need not wait; what is complete stays noted."""
        with self._lock:
            try:
                self._write({"spec": {"holderIdentity": "", **records.sign_of_life(self._now())["spec"]}})
            except LandoError as error:
                log.debug("The Lease %s was not released, and expires: %s", self.name, error)
            self._mine = None

    def delete(self) -> None:
        """Delete it and with that what it owns; so are those of former models whose Jobs are all in this one.

        Raises Unavailable.
        """
        with self._lock:
            # A delete names no version: without this write it could take the Lease of who has taken over meanwhile.
            if not self._write(records.sign_of_life(self._now())) or self._mine is None:
                return
            for other in records.others(self._cluster, self.name, self._jobs):
                if not other.identity and other.jobs <= self._jobs:
                    self._delete(other)
            self._delete(self._mine)
            self._mine = None

    # -- its notes -------------------------------------------------------------------------------------------------

    def note(self, complete: Mapping[str, Completion]) -> None:
        """Keep that these Jobs are complete, beyond their own end; written at once, else with the next renewal."""
        with self._lock:
            fitting = dict(complete)
            noted = records.noted(self._complete, fitting)
            while noted is None and fitting:
                fitting = dict(list(fitting.items())[: len(fitting) // 2])
                noted = records.noted(self._complete, fitting)
            if left := len(complete) - len(fitting):
                log.warning(
                    "There is no room to note of %d Jobs that they are complete: once gone, they run again.", left
                )
            if noted is not None:
                self._complete, self._unwritten = noted, True
                self.renew()

    def forget(self, jobs: Iterable[str]) -> None:
        """They are to run again: were reverted, or changed."""
        with self._lock:
            known = self._complete.keys() & set(jobs)
            if known:
                self._complete = {name: one for name, one in self._complete.items() if name not in known}
                self._unwritten = True
                self.renew()

    # -- writing ---------------------------------------------------------------------------------------------------

    def _write(self, change: Manifest) -> bool:
        """Change it, and write what is not noted yet; False when it is not ours (any more), which is then known."""
        for _ in range(_TRIES):
            if self._mine is None or self._lost is not None:
                return False
            begun = self._seconds()
            notes: dict[str, str | None] = {RUN: None} if self._is_over else {}
            if self._unwritten:
                notes[records.COMPLETE] = records.packed(self._complete)
            try:
                self._mine = records.patch(self._cluster, self._mine, notes, change)
            except NotFound:
                self._lost = f"The Lease {self.name} was deleted, by a cleanup or by hand."
            except Conflict:  # also when the answer to our own last write was lost
                self._mine = self._still_mine()
            else:
                self._renewed, self._unwritten = begun, False
                return True
        return False

    def _still_mine(self) -> Record | None:
        try:
            there = records.read(self._cluster.get("Lease", self.name))
        except NotFound:
            self._lost = f"The Lease {self.name} was deleted, by a cleanup or by hand."
            return None
        if there.identity == self._identity:
            return there
        who = there.holder if there.identity else "A run of some of these Jobs"
        self._lost = f"{who} has taken over, as the Lease {self.name} was not renewed in time."
        return None

    def _delete(self, record: Record) -> None:
        with suppress(NotFound, Conflict):
            self._cluster.delete("Lease", record.name, uid=record.uid)

    def _go_without(self, error: PeerError) -> None:
        self._without = True
        with suppress(PeerError):
            there = records.read(self._cluster.get("Lease", self.name))
            if there.identity == self._identity:
                self._delete(there)
        self._tell(
            "Nothing keeps a second run of these Jobs away, and Jobs that vanish by themselves are made again by a "
            f"later run, because no Lease is to be had: {error}"
        )
