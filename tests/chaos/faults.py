"""The faults, by name: each strikes, lasts a while, is mended, and says when that was."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.site import Disturbance, Site, now


@dataclass
class Moment:
    """What a fault is given: the site, dice of its own, how long to last in seconds, and a sleep that ends early when
    everything is to end."""

    site: Site
    dice: random.Random
    lasts_s: float
    ended: threading.Event

    def wait(self, share: float = 1.0) -> None:
        self.ended.wait(self.lasts_s * share)


Strike = Callable[[Moment], str | None]
"""Does it all; returns whom it struck, where that is not in its name."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    lane: str
    """Faults of one lane strike one after the other, those of different lanes at the same time."""
    strike: Strike


FAULTS: dict[str, Fault] = {}


def fault(name: str, lane: str) -> Callable[[Strike], Strike]:
    """Register a kind of fault."""

    def register(strike: Strike) -> Strike:
        FAULTS[name] = Fault(name, lane, strike)
        return strike

    return register


# --- processes -------------------------------------------------------------------------------------------------------


def _killing(*names: str) -> Strike:
    def strike(moment: Moment) -> str:
        struck = names if moment.dice.random() < 0.25 else (moment.dice.choice(names),)
        for name in struck:
            moment.site.stack.kill(name)
        moment.wait()
        for name in struck:
            moment.site.stack.start_process(name)
        return " and ".join(struck)

    return strike


def _freezing(*names: str) -> Strike:
    def strike(moment: Moment) -> str:
        name = moment.dice.choice(names)
        pid = moment.site.stack.pid(name)
        os.kill(pid, signal.SIGSTOP)
        moment.wait()
        os.kill(pid, signal.SIGCONT)
        return name

    return strike


for kind in ("lando", "watcher", "server"):
    FAULTS[f"kill {kind}"] = Fault(f"kill {kind}", "parts", _killing(kind, f"{kind}-2"))
    FAULTS[f"freeze {kind}"] = Fault(f"freeze {kind}", "parts", _freezing(kind, f"{kind}-2"))


@fault("kill cluster", "parts")
def kill_cluster(moment: Moment) -> None:
    site, began = moment.site, now()
    site.stack.kill("cluster")
    moment.wait()
    site.stack.start_cluster()
    site.disturbances.append(Disturbance(began, now(), None, "the cluster's node was killed"))


def _stopping_broker(how: signal.Signals) -> Strike:
    def strike(moment: Moment) -> None:
        moment.site.broker.stop(how)
        moment.wait()
        moment.site.broker.start()

    return strike


def _stopping_database(how: signal.Signals) -> Strike:
    def strike(moment: Moment) -> None:
        moment.site.database.stop(how)
        moment.wait()
        moment.site.database.start()

    return strike


FAULTS["stop broker"] = Fault("stop broker", "parts", _stopping_broker(signal.SIGTERM))
FAULTS["kill broker"] = Fault("kill broker", "parts", _stopping_broker(signal.SIGKILL))
FAULTS["stop database"] = Fault("stop database", "parts", _stopping_database(signal.SIGINT))
FAULTS["kill database"] = Fault("kill database", "parts", _stopping_database(signal.SIGKILL))
