"""Every call by which a process has an effect on others, in order, and what can go wrong at each of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

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


class Killed(BaseException):
    """The process is dead: whatever it tries comes to nothing. No handler of errors sees it."""


@dataclass(frozen=True)
class Call:
    """One call of a recorded run: what was asked of whom, and the how manieth of its like it was."""

    what: str
    kind: Kind
    number: int = 1

    def __str__(self) -> str:
        return self.what if self.number == 1 else f"{self.what} (no. {self.number})"


@dataclass(frozen=True)
class Point:
    """A call and what goes wrong there."""

    call: Call
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.call}"


class Calls:
    """The calls of one process; at ``point`` something goes wrong, once. Safe to use from several threads."""

    def __init__(self, point: Point | None = None) -> None:
        self.made: list[Call] = []
        self.dead = False
        self.came_true = False
        """Whether the point was reached."""
        self._point = point
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
        fault = self._count(what, kind)
        if fault is Fault.KILLED_BEFORE:
            self.kill()
            raise Killed
        if fault is Fault.REFUSED:
            if instead is not None:
                return instead()
            raise Unavailable(peer, f"{what}: 500, as the test wants it", status=500)
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

    def _count(self, what: str, kind: Kind) -> Fault | None:
        with self._lock:
            if self.dead:
                raise Killed
            self._counts[what] += 1
            call = Call(what, kind, self._counts[what])
            self.made.append(call)
            if self._point is None or self.came_true or call != self._point.call:
                return None
            self.came_true = True
            return self._point.fault


def points(calls: Sequence[Call], kinds: Mapping[Kind, tuple[Fault, ...]] = FAULTS) -> list[Point]:
    """Everything that can go wrong in a recorded run."""
    return [Point(call, fault) for call in calls for fault in kinds.get(call.kind, ())]


def written(body: Any) -> str:
    """The short values of a request's body, for a call's name."""
    if not isinstance(body, Mapping):
        return ""
    return "".join(
        f" {key}={value}" for key, value in sorted(body.items()) if isinstance(value, str) and len(value) < 9
    )
