"""Parts examined side by side, each check with a limit, all of it with one: a peer that hangs holds up nobody."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lando.doctor.findings import Finding, failed
from lando.errors import LandoError, PeerError

CHECK_S = 12.0
"""For one check: more than what connecting to a dead peer takes by itself, which can say more of it."""
WHOLE_S = 28.0


@dataclass(frozen=True)
class Asking:
    """Yielded by a part before it asks: what it is about to look at."""

    check: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One peer, or one thing of this machine."""

    name: str
    """For programs, e.g. ``rabbitmq``."""
    title: str
    """For people, e.g. ``RabbitMQ``."""
    examine: Callable[[], Iterator[Finding | Asking]]


@dataclass
class Examination:
    """A part and what was found so far."""

    part: Part
    asking: str = "settings"
    """The check under way."""
    asking_since: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    is_over: bool = False


def examine(
    parts: Sequence[Part],
    *,
    on_change: Callable[[Sequence[Examination]], None] = lambda _: None,
    check_s: float = CHECK_S,
    whole_s: float = WHOLE_S,
    clock: Callable[[], float] = time.monotonic,
) -> list[Examination]:
    """Every part in a thread of its own; a part whose check takes longer than it may ends with that as its finding.

    ``on_change`` is called in the caller's thread whenever there is something new.
    """
    began = clock()
    all_of_them = [Examination(part, asking_since=began) for part in parts]
    news: queue.SimpleQueue[tuple[Examination, Finding | Asking | None]] = queue.SimpleQueue()
    for one in all_of_them:
        threading.Thread(target=_work, args=(one, news), name=f"doctor {one.part.name}", daemon=True).start()
    while pending := [one for one in all_of_them if not one.is_over]:
        due = min(began + whole_s, *(one.asking_since + check_s for one in pending))
        try:
            one, item = news.get(timeout=max(due - clock(), 0.0))
        except queue.Empty:
            now = clock()
            for late in pending:
                if now >= min(late.asking_since + check_s, began + whole_s):
                    late.findings.append(_no_answer(late.asking, now - late.asking_since))
                    late.is_over = True
        else:
            if not one.is_over:
                _take(one, item, clock())
        on_change(all_of_them)
    return all_of_them


def _work(one: Examination, news: queue.SimpleQueue[tuple[Examination, Finding | Asking | None]]) -> None:
    asking = one.asking
    try:
        for item in one.part.examine():
            asking = item.check
            news.put((one, item))
    except LandoError as error:
        said = str(error).removeprefix(f"{error.peer}: ") if isinstance(error, PeerError) else str(error)
        news.put((one, failed(asking, said, "mend this; the rest of this part was not looked at")))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are to be told
        what = f"{type(error).__name__}: {error}"
        news.put((one, failed(asking, f"went wrong unexpectedly ({what})", "report this; the rest was not looked at")))
    finally:
        news.put((one, None))


def _take(one: Examination, item: Finding | Asking | None, now: float) -> None:
    one.asking_since = now
    if item is None:
        one.is_over = True
    elif isinstance(item, Asking):
        one.asking = item.check
    else:
        one.findings.append(item)


def _no_answer(check: str, seconds: float) -> Finding:
    advice = "see whether something between here and there drops packets; the rest of this part was not looked at"
    return failed(check, f"no answer within {seconds:.0f} s", advice)
