"""Delivering notices, one channel by one thread, out of the way of those who wait for an answer.

A notice is delivered at least once: its row is settled only after the receiver took it. One that can't be delivered is
tried again with growing, jittered pauses, at most ``TRIES`` times, which is about two days; then it has failed, which
staff see. Several servers may share a database: whoever delivers a row first sets its ``due`` into the future.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from lando import logs
from lando.api import models as m
from lando.api.database import Database, time_of
from lando.api.notices.telling import DELIVERED, FAILED, WAITING
from lando.errors import Conflict, LandoError, NotFound, Rejected
from lando.pulse import Pulse

logger = logging.getLogger(__name__)

TRIES = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 3600.0
LEASE_S = 300.0
"""How long a notice is left to the server that is delivering it, in seconds; longer than a delivery takes."""
BREATH_S = (1.0, 60.0)
"""First and longest rest of a channel after a failure, so that one that is away is not asked for each notice."""
KEPT = timedelta(days=30)
"""How long settled notices are kept for staff to look at."""
STUCK_S = 900.0
"""No delivery takes as long, as every wait has its limit."""


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One notice on its way."""

    id: int
    notice_id: str
    job_id: int
    attempts: int
    body: str
    email_message_id: int
    connection_id: int
    trouble: str | None
    """Why it could not be worded."""


def pause_s(attempts: int) -> float:
    """How long to wait after the ``attempts``-th failure, in seconds."""
    longest = min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


class Courier:
    """One thread that delivers what is due by one channel: at once when woken, and every ``sweep_s`` seconds."""

    def __init__(
        self,
        database: Database,
        channel: str,
        *,
        deliver: Callable[[Parcel], None],
        word: Callable[[Session, m.Notice], None],
        sweep_s: float,
    ) -> None:
        """``deliver`` raises a LandoError for a notice that was not taken, Rejected for one that never will be;
        ``word`` gives a notice its words before its first try."""
        self.channel = channel
        self._database = database
        self._deliver = deliver
        self._word = word
        self._sweep_s = sweep_s
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pulse = Pulse(f"The delivery of notices ({channel})", STUCK_S)
        self.delivered = 0
        self.failures = 0

    def start(self) -> None:
        """Begin to deliver, with what an earlier process left."""
        self._thread = threading.Thread(target=self._run, name=f"notices {self.channel}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Begin no more deliveries; one under way is left to its time-outs, and told again if its end is not heard."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def wake(self) -> None:
        """A notice was committed."""
        self._wanted.set()

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: the thread ended or hangs; None while it works, or before it does."""
        if self._thread is None or self._stopping.is_set():
            return None
        if not self._thread.is_alive():
            return f"The thread that delivers notices ({self.channel}) has ended."
        return self._pulse.wrong()

    def deliver_due(self) -> bool:
        """Deliver what is due until a delivery fails; whether all went well."""
        while not self._stopping.is_set() and (parcel := self._claim()) is not None:
            self._pulse.beat()
            with logs.about(run_id=parcel.job_id, message_id=parcel.notice_id):
                if not self._try(parcel):
                    return False
        return True

    def _run(self) -> None:
        failures, swept = 0, 0.0
        while not self._stopping.is_set():
            self._pulse.beat()
            self._wanted.clear()
            pause = self._sweep_s
            try:
                failures = 0 if self.deliver_due() else failures + 1
                if failures:
                    first, longest = BREATH_S
                    pause = min(first * 2.0 ** min(failures - 1, 16), longest)
                    self._stopping.wait(pause)  # even when woken
                    continue
                swept = self._forget(swept)
            except LandoError as error:
                logger.warning("Notices (%s) can't be delivered now: %s", self.channel, error)
            except Exception:
                logger.exception("The delivery of notices (%s) failed and goes on", self.channel)
            self._wanted.wait(pause)

    def _claim(self) -> Parcel | None:
        with self._database.read() as session:
            if session.scalars(select(m.Notice.id).where(*self._is_due(time_of(session))).limit(1)).first() is None:
                return None
        with self._database.write() as session:
            moment = time_of(session)
            notice = session.scalars(
                select(m.Notice)
                .where(*self._is_due(moment))
                .order_by(m.Notice.due, m.Notice.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if notice is None:
                return None
            notice.due = moment + timedelta(seconds=LEASE_S)
            trouble = None
            try:
                with session.begin_nested():
                    self._word(session, notice)
            except Exception as error:  # one that can't be worded must not hold up the others
                logger.exception("Notice %s can't be worded", notice.notice_id)
                trouble = f"It can't be worded ({type(error).__name__}); the server's log says more."
            return Parcel(
                id=notice.id,
                notice_id=notice.notice_id,
                job_id=notice.job_id,
                attempts=notice.attempts,
                body=notice.body or "",
                email_message_id=notice.email_message_id or 0,
                connection_id=notice.job.job_settings.lando_connection_id,
                trouble=trouble,
            )

    def _is_due(self, moment: datetime) -> tuple[ColumnElement[bool], ...]:
        # What is due later than any pause lasts was put off by a clock that was wrong.
        is_due = or_(m.Notice.due <= moment, m.Notice.due > moment + timedelta(seconds=2 * LONGEST_PAUSE_S))
        return (m.Notice.channel == self.channel, m.Notice.state == WAITING, is_due)

    def _try(self, parcel: Parcel) -> bool:
        if parcel.trouble is not None:
            self._failed(parcel, parcel.trouble, is_final=False)
            return True
        try:
            self._deliver(parcel)
        except LandoError as error:
            self._failed(parcel, str(error), is_final=isinstance(error, Rejected | NotFound))
            return isinstance(error, Rejected | NotFound | Conflict)  # the channel itself is well
        except Exception as error:
            logger.exception("Notice %s can't be delivered", parcel.notice_id)
            self._failed(parcel, type(error).__name__, is_final=False)
            return False
        self.delivered += 1
        self._settle(parcel, {"state": DELIVERED, "last_error": ""})
        return True

    def _failed(self, parcel: Parcel, reason: str, *, is_final: bool) -> None:
        self.failures += 1
        attempts = parcel.attempts + 1
        if is_final or attempts >= TRIES:
            logger.error("Run %d: a notice (%s) is given up: %s", parcel.job_id, self.channel, reason)
            self._settle(parcel, {"state": FAILED, "attempts": attempts, "last_error": reason[:1000]})
            return
        logger.warning("Run %d: a notice (%s) waits: %s", parcel.job_id, self.channel, reason)
        self._settle(parcel, {"attempts": attempts, "last_error": reason[:1000]}, pause=pause_s(attempts))

    def _settle(self, parcel: Parcel, changes: dict[str, object], *, pause: float | None = None) -> None:
        with self._database.write() as session:
            moment = time_of(session)
            if pause is None:
                changes = {**changes, "settled": moment}
            else:
                changes = {**changes, "due": moment + timedelta(seconds=pause)}
            session.execute(
                update(m.Notice).where(m.Notice.id == parcel.id, m.Notice.state == WAITING).values(**changes),
                execution_options={"synchronize_session": False},
            )

    def _forget(self, swept: float) -> float:
        """Remove what was settled long ago, now and then."""
        if (hour := datetime.now().timestamp() // 3600) == swept:
            return swept
        with self._database.write() as session:
            session.execute(
                delete(m.Notice).where(m.Notice.channel == self.channel, m.Notice.settled < time_of(session) - KEPT)
            )
        return hour


def undelivered(session: Session) -> dict[tuple[str, str], int]:
    """How many notices wait or were given up, by channel and state."""
    rows = session.execute(
        select(m.Notice.channel, m.Notice.state, func.count(m.Notice.id))
        .where(m.Notice.state != DELIVERED)
        .group_by(m.Notice.channel, m.Notice.state)
    )
    return {(row[0], row[1]): row[2] for row in rows}
