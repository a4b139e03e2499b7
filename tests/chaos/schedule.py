"""Which fault strikes when: drawn from a seed, so that the same seed strikes the same way again."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.faults import FAULTS, Moment
from tests.chaos.site import Site, now

log = logging.getLogger(__name__)

PAUSE_S = (0.3, 2.5)
LASTS_S = (0.2, 4.0)
END_S = 120.0
"""For a lane to end its last fault, in seconds: brokers take their time."""


@dataclass(frozen=True)
class Planned:
    """One fault to come."""

    name: str
    pause_s: float
    lasts_s: float
    seed: int


@dataclass(frozen=True)
class Struck:
    """One fault that is over."""

    name: str
    target: str
    began: float
    ended: float


def make_schedule(rounds: int, dice: random.Random, names: Sequence[str] = (), *, pace: float = 1.0) -> list[Planned]:
    """Every fault once in each of ``rounds``, in an order, and with pauses and lengths, that the dice give.

    A ``pace`` of 0.5 halves pauses and lengths.
    """
    planned = []
    for _ in range(rounds):
        order = list(names or FAULTS)
        dice.shuffle(order)
        planned += [
            Planned(name, pace * dice.uniform(*PAUSE_S), pace * dice.uniform(*LASTS_S), dice.getrandbits(32))
            for name in order
        ]
    return planned


class Strikes:
    """Lets a schedule come to pass, each lane in a thread of its own."""

    def __init__(self, site: Site, schedule: Sequence[Planned], on_progress: Callable[[float], None]) -> None:
        self._site = site
        self._schedule = schedule
        self._on_progress = on_progress
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.struck: list[Struck] = []
        self.failure: BaseException | None = None
        lanes = dict.fromkeys(FAULTS[planned.name].lane for planned in schedule)
        self._threads = [
            threading.Thread(target=self._follow, args=(lane,), name=f"faults: {lane}", daemon=True) for lane in lanes
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def are_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Mend what is struck and strike no more."""
        self._ended.set()
        for thread in self._threads:
            thread.join(END_S)

    def _follow(self, lane: str) -> None:
        try:
            for planned in self._schedule:
                if FAULTS[planned.name].lane != lane:
                    continue
                if self._ended.wait(planned.pause_s):
                    return
                moment = Moment(self._site, random.Random(planned.seed), planned.lasts_s, self._ended)
                began = now()
                target = FAULTS[planned.name].strike(moment)
                with self._lock:
                    self.struck.append(Struck(planned.name, target or "", began, now()))
                    log.info("%s %s for %.1f s", planned.name, target or "", self.struck[-1].ended - began)
                    self._on_progress(len(self.struck) / len(self._schedule))
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error
