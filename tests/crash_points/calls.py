"""Every call by which a process has an effect on others, in order, and what can go wrong at each of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from zlib import crc32

from lando.errors import Conflict, Unavailable

T = TypeVar("T")


class Kind(Enum):
    """What a call does, from which follows what can go wrong."""

    READ = "read"
    HINT = "hint"
    """A read whose answer can be done without."""
    WRITE = "write"
    GUARDED = "guarded write"
    """A write that the peer refuses when somebody else was faster."""
    SETTLE = "settlement"
    """Of a delivery: it has no answer."""
    NOTICE = "notice"
    """It has no answer either, and may get lost."""


class Fault(Enum):
    """What goes wrong at one call."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    REFUSED = "refused"
    """No effect, and the caller is told that the peer is away; of a settlement: the broker delivers again."""
    THROTTLED = "throttled"
    """Refused with 429, and asked to wait."""
    OVERLOADED = "overloaded"
    """Refused with 503."""
    ANSWER_LOST = "answer lost"
    """It took effect, and the caller is told that the peer is away."""
    OVERTAKEN = "overtaken"
    """No effect: somebody else was faster, the caller is told."""


FAULTS: Mapping[Kind, tuple[Fault, ...]] = {
    Kind.READ: (Fault.KILLED_BEFORE, Fault.REFUSED),
    Kind.HINT: (Fault.KILLED_BEFORE,),
    Kind.WRITE: (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.REFUSED, Fault.ANSWER_LOST),
    Kind.GUARDED: (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.REFUSED, Fault.ANSWER_LOST, Fault.OVERTAKEN),
    Kind.SETTLE: (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.REFUSED),
    Kind.NOTICE: (Fault.KILLED_BEFORE, Fault.KILLED_AFTER),
}


REFUSALS = (Fault.REFUSED, Fault.THROTTLED, Fault.OVERLOADED)
RETRY_AFTER_S = 7.0
"""How long a throttled caller is asked to wait."""
SAMPLE = 7
"""Of so many calls that can be refused one is throttled and one meets an overload: it makes little difference which."""


class Killed(BaseException):
    """The process is dead: whatever it tries comes to nothing. No handler of errors sees it."""


@dataclass(frozen=True)
class Call:
    """One call of a recorded run: what was asked of whom, and the how manieth of its like it was."""

    what: str
    kind: Kind
    peer: str
    number: int = 1
    by: str = ""
    """The process, where several are recorded at a time."""

    def __str__(self) -> str:
        what = self.what if self.number == 1 else f"{self.what} (no. {self.number})"
        return f"{self.by}: {what}" if self.by else what


@dataclass(frozen=True)
class Point:
    """A call and what goes wrong there."""

    call: Call
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.call}"


class Calls:
    """The calls of one process; at ``point`` something goes wrong, once. Safe to use from several threads."""

    def __init__(self, point: Point | None = None, *, by: str = "") -> None:
        self.made: list[Call] = []
        self.dead = False
        self.came_true = False
        """Whether the point was reached."""
        self._point = point
        self._by = by
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._at_death: list[Callable[[], None]] = []

    def at_death(self, do: Callable[[], None]) -> None:
        """Have ``do`` called when the process is killed, as what the kernel does then: closing connections."""
        self._at_death.append(do)

    def kill(self) -> None:
        """The process is no more."""
        with self._lock:
            if self.dead:
                return
            self.dead = True
        for do in self._at_death:
            do()

    def make(self, peer: str, what: str, kind: Kind, do: Callable[[], T], instead: Callable[[], T] | None = None) -> T:
        """Make one call, or let go wrong what is due; ``instead`` is what a refused settlement comes to."""
        fault = self._count(peer, what, kind)
        if fault is Fault.KILLED_BEFORE:
            self.kill()
            raise Killed
        if fault is Fault.REFUSED:
            if instead is not None:
                return instead()
            raise Unavailable(peer, f"{what}: 500, as the test wants it", status=500)
        if fault is Fault.THROTTLED:
            raise Unavailable(peer, f"{what}: 429, as the test wants it", status=429, retry_after_s=RETRY_AFTER_S)
        if fault is Fault.OVERLOADED:
            raise Unavailable(peer, f"{what}: 503, as the test wants it", status=503)
        if fault is Fault.OVERTAKEN:
            raise Conflict(peer, f"{what}: 409, as the test wants it", status=409)
        answer = do()
        if fault is Fault.KILLED_AFTER:
            self.kill()
        if self.dead:
            raise Killed
        if fault is Fault.ANSWER_LOST:
            raise Unavailable(peer, f"{what}: the connection was reset, as the test wants it")
        return answer

    def _count(self, peer: str, what: str, kind: Kind) -> Fault | None:
        with self._lock:
            if self.dead:
                raise Killed
            self._counts[what] += 1
            call = Call(what, kind, peer, self._counts[what], self._by)
            self.made.append(call)
            if self._point is None or self.came_true or call != self._point.call:
                return None
            self.came_true = True
            return self._point.fault


class Lives:
    """The lives of several processes; in each of them something goes wrong at the next point of that process."""

    def __init__(self, points: Sequence[Point] = ()) -> None:
        self._due = list(points)
        self._begun: list[Calls] = []

    def begin(self, by: str) -> Calls:
        """The calls of a process that begins."""
        point = next((point for point in self._due if point.call.by == by), None)
        if point is not None:
            self._due.remove(point)
        self._begun.append(Calls(point, by=by))
        return self._begun[-1]

    @property
    def made(self) -> list[Call]:
        return [call for calls in self._begun for call in calls.made]

    @property
    def met(self) -> int:
        """How many points were reached."""
        return sum(calls.came_true for calls in self._begun)


def points(calls: Sequence[Call], kinds: Mapping[Kind, tuple[Fault, ...]] = FAULTS) -> list[Point]:
    """Everything that can go wrong in a recorded run."""
    return [Point(call, fault) for call in calls for fault in kinds.get(call.kind, ())]


def busy_points(calls: Sequence[Call]) -> list[Point]:
    """A sample of the calls at which cluster or API may have too much to do."""
    refusable = [call for call in calls if call.peer in ("cluster", "API") and Fault.REFUSED in FAULTS[call.kind]]
    return [
        Point(call, fault)
        for call in refusable
        for turn, fault in enumerate((Fault.THROTTLED, Fault.OVERLOADED))
        if crc32(str(call).encode()) % SAMPLE == turn
    ]


def written(body: Any) -> str:
    """The short values of a request's body, for a call's name."""
    if not isinstance(body, Mapping):
        return ""
    return "".join(
        f" {key}={value}" for key, value in sorted(body.items()) if isinstance(value, str) and len(value) < 9
    )
