"""What every command against a cluster needs: to tell, to wait, to bear outages, and to end with one sentence."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from lando.direct.events import Ended, Listener, Outcome, Trouble
from lando.direct.lease import Lease
from lando.direct.outage import CALLS, LIMIT_S, Outage
from lando.direct.waiting import Calls, Stopped, Waiting
from lando.errors import LandoError, Refused, Unavailable
from lando.k8s.cluster import Cluster
from lando.stopping import Stop

T = TypeVar("T")


class Unreachable(Exception):
    """The outage has lasted too long; the sentence says why."""


class Session:
    """One command's dealings with the cluster. All but :meth:`word` is for the one thread that decides."""

    def __init__(self, listener: Listener, waiting: Waiting, outage_s: float = LIMIT_S) -> None:
        self.listener = listener
        self.waiting = waiting
        self.calls = Calls(waiting)
        self.calls.between = self._tell_words
        self.outage = Outage(waiting.now, outage_s)
        self.is_cleaning = False
        """Whether it is at removing, which leaves another sentence when it is cut short."""
        self._words: SimpleQueue[str] = SimpleQueue()

    def word(self, sentence: str) -> None:
        """Have something told that another thread met."""
        self._words.put(sentence)
        self.waiting.ring()

    def look_up(self) -> None:
        """Tell what is new of the cluster itself. Raises Stopped and Unreachable."""
        self._tell_words()
        if news := self.outage.news():
            self.listener.tell(Trouble(sentence=news))
        if self.waiting.is_stopped:
            raise Stopped
        if self.outage.left_s() == 0:
            raise Unreachable(self.outage.sentence())

    def acquired(self, make_lease: Callable[..., Lease], cluster: Cluster, jobs: Iterable[str]) -> Lease:
        """The Lease of these Jobs. Raises Refused, Stopped and Unreachable."""
        lease = make_lease(cluster, jobs, tell=self.word, wake=self.waiting.ring)
        if not self.tried(lambda: self.calls.one(partial(lease.acquire, self.waiting.stop))):
            raise Stopped
        return lease

    def tried(self, do: Callable[[], T]) -> T:
        """What ``do`` answers once the cluster is there. Raises Stopped, Unreachable and all that is no outage."""
        while True:
            self.look_up()
            try:
                answer = do()
            except Unavailable as error:
                self.outage.met(CALLS, error)
                self.look_up()
                self.wait()
            else:
                self.outage.well(CALLS)
                return answer

    def wait(self, *times: float | None) -> None:
        """Until there is news, the next try is due, the outage has lasted too long, or one of ``times`` (seconds) is
        over; None is never."""
        retry_s = self.outage.retry_in_s()
        known = [one for one in (*(() if retry_s else times), self.outage.left_s()) if one is not None]
        self.waiting.wait(min([*known, retry_s] if retry_s else known, default=None))

    def _tell_words(self) -> None:
        while not self._words.empty():
            self.listener.tell(Trouble(sentence=self._words.get()))


def concluded(do: Callable[[], Ended], stop: threading.Event, session: Session) -> Ended:
    """How ``do`` ended, whatever ended it."""
    try:
        return do()
    except Stopped:
        is_terminated = isinstance(stop, Stop) and stop.number == signal.SIGTERM
        what, left = _left(session)
        sentence = f"The {what} was stopped; {left}. Start it again to go on."
        return Ended(outcome=Outcome.TERMINATED if is_terminated else Outcome.INTERRUPTED, sentence=sentence)
    except Unreachable as error:
        what, left = _left(session)
        sentence = f"{error} The {what} has ended; {left}. Start it again to go on."
        return Ended(outcome=Outcome.UNREACHABLE, sentence=sentence)
    except Refused as error:
        return Ended(outcome=Outcome.REFUSED, sentence=str(error))
    except LandoError as error:  # an answer that nobody expected; nothing is lost by it
        sentence = f"The cluster refused what the {_left(session)[0]} needs: {error}"
        return Ended(outcome=Outcome.UNREACHABLE, sentence=sentence)


def _left(session: Session) -> tuple[str, str]:
    if session.is_cleaning:
        return "cleanup", "what it had not removed yet is left as it is"
    return "run", "its Jobs are left as they are"
