"""The outbox: commands are rows of the transaction that changed the job, and messages once that is committed.

A command is published at least once: its row goes only after the broker has confirmed it. A broker that is away
delays commands, it never fails a request; each row is tried again with growing, jittered pauses. Several servers may
share a database: whoever publishes a row first sets its ``due`` into the future, so that the others leave it alone;
the time is the database's, because the servers' clocks may differ.
The commands of one job go out in the order in which they were given: a row waits until the one before it has gone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from lando import logs
from lando.api.database import Database, time_of
from lando.api.models import Job, JobSettings, LandoConnection, PendingCommand, now
from lando.config import WorkQueueSettings
from lando.errors import ConfigError, LandoError
from lando.messages import Command, Message, codec
from lando.pulse import Pulse
from lando.queues import Publisher

logger = logging.getLogger(__name__)

BATCH = 100
LEASE_S = 60.0
"""How long a row is left to the server that is publishing it, in seconds; longer than a publisher tries."""
CONFIRM_S = 30.0
"""How long the broker's confirmation of a batch is waited for, in seconds."""
STUCK_S = 600.0
"""No batch takes as long, as every wait for database and broker has its limit."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How one lando daemon is reached."""

    id: int
    queue: str
    message_format: Literal["json", "pickle"]
    url: str | None
    host: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Connection(id={self.id}, queue={self.queue!r}, message_format={self.message_format!r})"


Publishers = Callable[[Connection], Publisher]
"""Makes the publisher of a connection; raises a LandoError when its settings can't work."""


def enqueue(session: Session, job: Job, command: Command, *, held: str | None = None) -> None:
    """Add ``command`` for ``job`` to the transaction; wake the outbox after the commit.

    With ``held``, a sentence that says why, it is not sent before its turn has come.
    """
    connection_id = session.scalars(
        select(JobSettings.lando_connection_id).where(JobSettings.id == job.job_settings_id)
    ).one()
    enqueue_for(session, job.id, command, generation=job.generation, connection_id=connection_id, held=held)


def enqueue_for(
    session: Session,
    run_id: int,
    command: Command,
    *,
    generation: int,
    connection_id: int,
    kind: str = "cwl",
    held: str | None = None,
) -> None:
    """The same for a run of any kind, by its id; it goes by the lando connection of that id."""
    message_id = str(uuid.uuid4())
    session.add(
        PendingCommand(
            job_id=run_id,
            kind=kind,
            lando_connection_id=connection_id,
            command=command.value,
            generation=generation,
            message_id=message_id,
            held=held,
        )
    )
    with logs.about(run_id=run_id, command=command.value, message_id=message_id):
        turn = " in its turn" if held else ""
        logger.info("%s: %s is to be sent%s", _called(kind, run_id).capitalize(), command.value, turn)


def drop_held(session: Session, job_id: int) -> bool:
    """Forget the job's command that waits for its turn; whether there was one. The job's row must be locked."""
    dropped = session.execute(
        delete(PendingCommand).where(PendingCommand.job_id == job_id, PendingCommand.held.is_not(None)),
        execution_options={"synchronize_session": False},
    )
    return cast(CursorResult[Any], dropped).rowcount > 0


def pause_s(attempts: int) -> float:
    """How long to wait after the ``attempts``-th failure, in seconds."""
    longest = min(FIRST_PAUSE_S * 2.0 ** min(attempts, 16), LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


class Outbox:
    """One thread that publishes what is due: at once when woken, and every ``sweep_s`` seconds."""

    def __init__(
        self,
        database: Database,
        publishers: Publishers,
        *,
        sweep_s: float = 5.0,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        """``release`` lets those held commands go whose turn has come; it is called before each look."""
        self._database = database
        self._publishers = publishers
        self._sweep_s = sweep_s
        self._release = release
        self._open: dict[int, tuple[Connection, Publisher]] = {}
        self._wanted = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("The outbox", STUCK_S)
        self.published = 0
        self.failures = 0

    def start(self) -> None:
        """Begin to publish, with what an earlier process left."""
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Publish what can be at once, then disconnect; what is left stays in the database."""
        self._stopping = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout_s / 2)
            if self._thread.is_alive():
                self._disconnect()  # whoever waits for a broker that does not answer comes back, and says so
                self._thread.join(timeout_s)
            self._thread = None
        self._disconnect()

    def _disconnect(self) -> None:
        while self._open:
            _, (_, publisher) = self._open.popitem()
            publisher.close()

    def wake(self) -> None:
        """A command was committed, or one that is held may have its turn."""
        self._wanted.set()

    def waiting(self) -> tuple[int, float]:
        """How many commands wait, and how long the oldest has, in seconds."""
        with self._database.read() as session:
            count, oldest = session.execute(
                select(func.count(PendingCommand.id), func.min(PendingCommand.created)).where(_MAY_GO)
            ).one()
        return count, max((now() - oldest).total_seconds(), 0.0) if oldest else 0.0

    def held_up_by(self) -> str | None:
        """Why commands wait, in a sentence that everybody may read: which queue's broker blocks publishing, or takes no
        command; None where none does. The log has what the broker said."""
        for connection, publisher in list(self._open.values()):
            if told := publisher.blocked:
                return f"{connection.queue}: {told}"
        with self._database.read() as session:
            failed = (
                select(LandoConnection.queue_name, PendingCommand.created)
                .join(LandoConnection, LandoConnection.id == PendingCommand.lando_connection_id)
                .where(PendingCommand.attempts > 0)
                .order_by(PendingCommand.id)
            )
            oldest = session.execute(failed.limit(1)).first()
        if oldest is None:
            return None
        since = f"{oldest.created:%Y-%m-%dT%H:%M:%SZ}"
        return f"{oldest.queue_name}: takes no command since {since}; the server's log says why."

    def drain(self) -> int:
        """Publish everything that is due; how many commands the broker has confirmed."""
        try:
            self._release()
        except LandoError:
            raise
        except Exception:  # what may go has to go
            logger.exception("Held commands can't be released now")
        confirmed = 0
        while batch := self._claim():  # ends: what failed is due later
            self._pulse.beat()
            confirmed += self._publish(batch)
        return confirmed

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: a thread ended or hangs; None while all work, or before they do."""
        thread = self._thread
        if thread is None or self._stopping:
            return None
        if not thread.is_alive():
            return "The outbox's thread has ended: no command is published."
        told = (publisher.wrong() for _, publisher in list(self._open.values()))
        return self._pulse.wrong() or next(filter(None, told), None)

    def _run(self) -> None:
        while True:
            self._pulse.beat()
            self._wanted.clear()
            is_last = self._stopping  # read before looking: what was committed before the stop is still seen
            try:
                self.drain()
                pause = self._until_due()
            except LandoError as error:
                logger.warning("The outbox can't work now: %s", error)
                pause = self._sweep_s
            except Exception:
                logger.exception("The outbox failed and goes on")
                pause = self._sweep_s
            if is_last:
                return
            self._wanted.wait(pause)

    def _until_due(self) -> float:
        with self._database.read() as session:
            moment = time_of(session)
            due = session.execute(select(func.min(PendingCommand.due)).where(_is_next())).scalar()
        if due is None:
            return self._sweep_s
        return min(max((due - moment).total_seconds(), 0.05), self._sweep_s)

    def _claim(self) -> list[tuple[PendingCommand, Connection]]:
        with self._database.read() as session:
            due = select(PendingCommand.id).where(_is_due(time_of(session)), _is_next())
            if not session.execute(due.limit(1)).first():
                return []
        with self._database.write() as session:
            moment = time_of(session)
            rows = session.execute(
                select(PendingCommand, LandoConnection)
                .join(LandoConnection, LandoConnection.id == PendingCommand.lando_connection_id)
                .where(_is_due(moment), _is_next())
                .order_by(PendingCommand.id)
                .limit(BATCH)
                .with_for_update(skip_locked=True, of=PendingCommand)
            ).all()
            batch = [(row, connection_of(settings)) for row, settings in rows]
            session.execute(
                update(PendingCommand)
                .where(PendingCommand.id.in_([row.id for row, _ in batch]))
                .values(due=moment + timedelta(seconds=LEASE_S)),
                execution_options={"synchronize_session": False},
            )
            session.expunge_all()
        return batch

    def _publish(self, batch: list[tuple[PendingCommand, Connection]]) -> int:
        sent: list[tuple[PendingCommand, Future[None]]] = []
        failed: list[tuple[PendingCommand, str]] = []
        for row, connection in batch:
            with _about(row):
                try:
                    sent.append((row, self._send(row, connection)))
                except (LandoError, ValueError, OSError) as error:
                    failed.append((row, str(error)))
                except Exception as error:  # one command that can't be sent must not hold up the others
                    logger.exception("Command %s of %s can't be sent", row.command, _called(row.kind, row.job_id))
                    failed.append((row, type(error).__name__))
        deadline = time.monotonic() + CONFIRM_S
        confirmed: list[int] = []
        for row, future in sent:
            try:
                future.result(max(deadline - time.monotonic(), 0.0))
            except TimeoutError:
                future.cancel()
                failed.append((row, f"the broker did not confirm within {CONFIRM_S:.0f} s"))
            except (LandoError, CancelledError) as error:
                failed.append((row, str(error) or "the publisher was closed"))
            except Exception as error:
                with _about(row):
                    logger.exception("Command %s of %s was not sent", row.command, _called(row.kind, row.job_id))
                failed.append((row, type(error).__name__))
            else:
                confirmed.append(row.id)
        self._settle(confirmed, failed)
        return len(confirmed)

    def _send(self, row: PendingCommand, connection: Connection) -> Future[None]:
        form = connection.message_format
        message = Message(
            command=Command(row.command),
            run_id=row.job_id,
            kind=row.kind,
            generation=row.generation,
            id=row.message_id,
            sent=row.created,
        )
        return self._publisher(connection).publish(
            connection.queue,
            codec.encode(message, form),
            content_type=codec.content_type(form),
            message_id=codec.message_id(message, form),
        )

    def _publisher(self, connection: Connection) -> Publisher:
        known = self._open.get(connection.id)
        if known is not None:
            if known[0] == connection:
                return known[1]
            del self._open[connection.id]
            known[1].close()
        publisher = self._publishers(connection)
        self._open[connection.id] = (connection, publisher)
        return publisher

    def _settle(self, confirmed: list[int], failed: list[tuple[PendingCommand, str]]) -> None:
        with self._database.write() as session:
            if confirmed:
                session.execute(delete(PendingCommand).where(PendingCommand.id.in_(confirmed)))
            moment = time_of(session)
            for row, reason in failed:
                attempts = row.attempts + 1
                session.execute(
                    update(PendingCommand)
                    .where(PendingCommand.id == row.id)
                    .values(
                        attempts=attempts,
                        due=moment + timedelta(seconds=pause_s(attempts)),
                        last_error=reason[:1000],
                    )
                )
        self.published += len(confirmed)
        self.failures += len(failed)
        for row, reason in failed:
            with _about(row):
                logger.warning("Command %s of %s waits: %s", row.command, _called(row.kind, row.job_id), reason)


def default_publishers(connection: Connection) -> Publisher:
    """The publisher of the broker that the connection names; raises ConfigError."""
    from lando import queues

    return queues.publisher(queue_settings(connection))


def queue_settings(connection: Connection) -> WorkQueueSettings:
    """What the connection says of broker and queue; raises ConfigError when it names none."""
    if not connection.url and not connection.host:
        raise ConfigError(f"lando connection {connection.id} has neither a URL nor a host.")
    host, _, port = connection.host.partition(":")
    return WorkQueueSettings(
        listen_queue=connection.queue,
        url=connection.url,
        host=host or None,
        port=int(port) if port.isdigit() else None,
        username=connection.username or None,
        password=connection.password or None,
        message_format=connection.message_format,
    )


def connection_of(row: LandoConnection) -> Connection:
    """The connection of a row."""
    return Connection(
        id=row.id,
        queue=row.queue_name,
        message_format="pickle" if row.message_format == "pickle" else "json",
        url=row.url,
        host=row.host,
        username=row.username,
        password=row.password,
    )


def _called(kind: str, run_id: int) -> str:
    return f"{'job' if kind == 'cwl' else 'run'} {run_id}"


def _about(row: PendingCommand) -> AbstractContextManager[None]:
    return logs.about(run_id=row.job_id, command=row.command, message_id=row.message_id)


_MAY_GO = PendingCommand.held.is_(None)


def _is_next() -> ColumnElement[bool]:
    """Whether it is not held, and no earlier command of the same job is still to be sent."""
    earlier = aliased(PendingCommand)
    return and_(_MAY_GO, ~exists().where(earlier.job_id == PendingCommand.job_id, earlier.id < PendingCommand.id))


def _is_due(moment: datetime) -> ColumnElement[bool]:
    """Whether a row may be published. What is due later than any pause lasts was put off by a clock that was wrong."""
    longest = timedelta(seconds=max(LEASE_S, LONGEST_PAUSE_S))
    return or_(PendingCommand.due <= moment, PendingCommand.due > moment + longest)
