"""The faults, by name: each strikes, lasts a while, is mended, and says when that was."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from lando.messages import Command, codec
from tests.chaos.site import Disturbance, Site, now
from tests.services.faulty_http import OF_STREAMS
from tests.services.faulty_http import Fault as Http

CLOCK_S = 2.5
"""How long each time of a false clock holds, in seconds; a daemon reads it again every second."""
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""The library of Debian's package libfaketime."""


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
    site.start_cluster()
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


# --- requests --------------------------------------------------------------------------------------------------------


def _weather(of_cluster: bool, shares: Mapping[Http, float]) -> Strike:
    def strike(moment: Moment) -> None:
        site = moment.site
        weather = site.cluster_weather if of_cluster else site.api_weather
        weather.change(shares, moment.dice.getrandbits(32))
        if of_cluster and any(fault in OF_STREAMS for fault in shares):
            site.cluster_http.end_watches()
        moment.wait()
        weather.change({})

    return strike


_OF_ANY: Mapping[str, Mapping[Http, float]] = {
    "errors": {Http.REFUSE_500: 0.2, Http.REFUSE_503: 0.2},
    "throttling": {Http.REFUSE_429: 0.5},
    "resets": {Http.HANG_UP: 0.3, Http.CUT: 0.1},
    "lost answers": {Http.LOSE_ANSWER: 0.4},
    "slowness": {Http.SLOW: 0.3},
}
_OF_CLUSTERS: Mapping[str, Mapping[Http, float]] = {
    "expired": {Http.REFUSE_410: 0.5, Http.ERROR_410: 0.5},
    "broken watches": {Http.EMPTY: 0.2, Http.HALF_LINE: 0.3, Http.CUT: 0.2, Http.NO_JSON: 0.3, Http.ERROR_500: 0.3},
    "odd watches": {Http.DUPLICATE: 0.3, Http.REPLAY: 0.3, Http.SPLIT: 0.3, Http.UNKNOWN_TYPE: 0.3},
    "strange pages": {Http.REFUSE_HTML: 0.3},
}
for service, kinds in (("API", _OF_ANY), ("cluster", {**_OF_ANY, **_OF_CLUSTERS})):
    for kind, shares in kinds.items():
        FAULTS[f"{service}: {kind}"] = Fault(f"{service}: {kind}", service, _weather(service == "cluster", shares))


# --- the broker's network and messages -------------------------------------------------------------------------------


@fault("broker: cut", "broker")
def cut_broker(moment: Moment) -> None:
    for _ in range(3):
        moment.site.broker_proxy.cut()
        moment.wait(0.3)


@fault("broker: unreachable", "broker")
def refuse_broker(moment: Moment) -> None:
    moment.site.broker_proxy.refuse()
    moment.site.broker_proxy.cut()
    moment.wait()
    moment.site.broker_proxy.refuse(False)


@fault("broker: frozen network", "broker")
def freeze_broker(moment: Moment) -> None:
    moment.site.broker_proxy.freeze()
    moment.wait()
    moment.site.broker_proxy.freeze(False)


@fault("messages: repeated and late", "broker")
def repeat_messages(moment: Moment) -> str:
    """Old ones, in any order, and twice; reports of steps also in the form of the original."""
    known = moment.site.recorder.messages()
    bodies = [body for body in moment.dice.choices(known, k=20) for _ in range(2)] if known else []
    for body in bodies[:10]:
        message = codec.decode(body)
        if message.command is Command.STEP_CHANGED and codec.can_encode(message, "pickle"):
            bodies.append(codec.encode(message, "pickle"))
    moment.dice.shuffle(bodies)
    return f"{moment.site.publish(bodies)} messages"


@fault("messages: garbage", "broker")
def publish_garbage(moment: Moment) -> str:
    dice = moment.dice
    bodies = [
        dice.randbytes(40),
        b"\x80\x02" + dice.randbytes(60),
        b"\x80\x03cos\nsystem\nq\x00X"
        + struct.pack("<I", 12)
        + b"true "
        + dice.randbytes(3).hex().encode()
        + b" q\x01\x85Rq\x02.",
        b'{"command": "start", "job_id": ' + dice.randbytes(8).hex().encode(),
        json.dumps({"command": "conquer", "job_id": 1, "id": dice.getrandbits(64)}).encode(),
        b'{"a":' * 5000 + dice.randbytes(4).hex().encode(),
    ]
    return f"{moment.site.publish_garbage(bodies)} messages"


# --- hands in the cluster --------------------------------------------------------------------------------------------


def _deleting(resource: str) -> Strike:
    def strike(moment: Moment) -> str:
        """As ``kubectl delete`` does, again and again until it struck something that is at work."""
        site = moment.site
        for _ in range(40):
            with contextlib.suppress(requests.RequestException):
                listed = site.cluster.list(resource, labelSelector="bespin-job=true").body["items"]
                active = [item for item in listed if _is_active(resource, item)]
                if active:
                    chosen = moment.dice.choice(active)["metadata"]
                    began = now()
                    site.cluster.delete(resource, chosen["name"], propagationPolicy="Background")
                    what = f"{chosen['name']} was deleted"
                    site.disturbances.append(Disturbance(began, now(), int(chosen["labels"]["bespin-job-id"]), what))
                    return str(chosen["name"])
            if moment.ended.wait(0.25):
                break
        return "none"

    return strike


def _is_active(resource: str, item: dict[str, Any]) -> bool:
    status = item.get("status") or {}
    return bool(status.get("active")) if resource == "jobs" else status.get("phase") in ("Pending", "Running")


FAULTS["delete a Job"] = Fault("delete a Job", "hands", _deleting("jobs"))
FAULTS["delete a pod"] = Fault("delete a pod", "hands", _deleting("pods"))


# --- clocks ----------------------------------------------------------------------------------------------------------


def jump(moment: Moment) -> str:
    """A process whose clock goes three hours ahead, then one back, while it works."""
    site = moment.site
    name = moment.dice.choice(("lando", "lando-2", "watcher", "watcher-2"))
    offset = site.folder / "clock"
    offset.write_text("+0s\n")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    site.restart(name, **faked)
    for text in ("+0s", "+10800s", "-3600s"):
        offset.write_text(f"{text}\n")
        moment.ended.wait(CLOCK_S)
    site.restart(name)
    return name


if FAKETIME is not None:
    FAULTS["clock jumps"] = Fault("clock jumps", "parts", jump)
