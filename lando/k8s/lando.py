"""The lando daemon: turns messages into Kubernetes Jobs (``python -m lando.k8s.lando CONFIG``).

It wires the parts together and settles messages; what is to be done is decided elsewhere. A message is acknowledged
when its effects are durable. What another system's absence caused is handed back uncounted while consuming pauses; what
failed otherwise goes down the ladder of delays, at whose end the run is told why.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from lando import labels, logs, queues
from lando.archive import Archive
from lando.config import Config
from lando.errors import LandoError, MessageError, Unavailable
from lando.k8s import process, resync
from lando.k8s.archiving import LogArchive
from lando.k8s.cluster import Cluster, KubernetesCluster
from lando.k8s.dispatch import Dispatcher, Work
from lando.k8s.engine import Engine, words
from lando.k8s.metrics import ACTIVE, BOTH, HANDLING, IN_HAND, LANDO, MESSAGES, OLDEST_WORK, count_calls
from lando.k8s.outage import Outage
from lando.k8s.patience import Patience
from lando.k8s.patrol import Patrol, queue_check
from lando.k8s.perform import Peers
from lando.k8s.unfinished import Halted, StillThere
from lando.messages import Message, codec
from lando.plans import Planner, phases
from lando.plans.cwl import CwlPlanner
from lando.pulse import Pulse
from lando.queues import DELAYS_S, Consumer, Delivery, Publisher
from lando.sources import Source
from lando.sources.kinds import source_of
from lando.stopping import leave

PREFETCH_PER_WORKER = 4
POOL_SIZE = 16  # for the lists of looks, and objects made or deleted side by side; no task there waits for another
STOP_S = 15.0  # for work in hand at the end; the process has 28 s
STOP_QUEUE_S = 5.0  # and then for what was settled to reach the broker
LOOK_AGAIN_S = 5.0  # for a look of our own that could not be done
RESYNC_REST = 10.0  # times that a resync took until the next one: a slow list is not to be asked for all the time
RESYNC_STUCK_S = 3600.0  # a resync that takes longer hangs: all runs of a slow API take minutes
SUSPECT_AFTER = 3  # times that one run alone meets an unavailable peer, until that counts as its own failure
COUNTS_KEPT = 1000
HOPELESS_S = float(sum(DELAYS_S))  # that looks of our own at one run fail, until its owner is told: as on the ladder

T = TypeVar("T")

log = logging.getLogger(__name__)


class LandoDaemon:
    """One lando on given connections, which stay its caller's to close.

    ``clock`` gives the cluster's time, aware and UTC; ``planners`` the kinds of runs it can do, when not given those of
    ``config``.
    """

    def __init__(
        self,
        config: Config,
        *,
        cluster: Cluster,
        source: Source,
        consumer: Consumer,
        publisher: Publisher,
        archive: LogArchive | None = None,
        planners: Mapping[str, Planner] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        stop_s: float = STOP_S,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._source = source
        self._consumer = consumer
        self._publisher = publisher
        self._clock = clock
        self._stop_s = stop_s
        self._stopping = threading.Event()
        self._halted = threading.Event()
        self._pool = logs.Pool(POOL_SIZE, thread_name_prefix="lando-call")
        self._dispatcher = Dispatcher(self._handle, workers=config.workers)
        peers = Peers(
            cluster=cluster,
            source=source,
            publisher=publisher,
            archive=archive,
            pool=self._pool,
            may_act=self._may_act,
            log_bytes=config.archive.max_bytes_per_container,
        )
        self._patience = Patience(monotonic=monotonic)
        self._engine = Engine(
            config,
            peers,
            planners if planners is not None else planners_of(config),
            clock=clock,
            look_later=self._dispatcher.look,
            patience=self._patience,
        )
        self._outage = Outage(pause=consumer.pause, resume=self._resume, probe=self.probe, stop=self._stopping)
        self._resync_due = threading.Event()
        self._resync_pulse = Pulse("The resync", RESYNC_STUCK_S)
        self._suspects: dict[int, int] = {}
        self._failed_looks: dict[int, tuple[int, float]] = {}
        """How many in a row, and since when."""
        self._failure: BaseException | None = None
        self._threads: tuple[threading.Thread, ...] = ()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then finish what is in hand, hand back the rest, and return."""
        consuming_ended = threading.Event()
        end_consuming = threading.Event()

        def consume() -> None:
            try:
                self._consumer.run(self._on_delivery, end_consuming, self._resync_due.set)
            except BaseException as error:  # noqa: BLE001 - handed to the caller of run
                self._failure = error
            finally:
                consuming_ended.set()
                stop.set()

        consuming = threading.Thread(target=consume, name="consume", daemon=True)
        resyncing = threading.Thread(target=self._resync, name="resync", daemon=True)
        ACTIVE.set_function(lambda: float(self._consumer.active))
        IN_HAND.set_function(lambda: len(self._dispatcher))
        OLDEST_WORK.set_function(self._dispatcher.longest_s)
        self._dispatcher.start()
        consuming.start()
        resyncing.start()
        self._threads = (consuming, resyncing)
        stop.wait()
        self._stopping.set()
        self._resync_due.set()
        if not consuming_ended.is_set():
            self._consumer.pause()
        self._dispatcher.close(self._stop_s)
        self._halted.set()
        end_consuming.set()
        deadline = time.monotonic() + STOP_QUEUE_S
        for thread in (consuming, resyncing):
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: a thread that ended or hangs; None while all work."""
        if self._failure is not None:
            return f"Consuming ended: {words(self._failure) if isinstance(self._failure, Exception) else 'stopped'}"
        if self._stopping.is_set():
            return None
        ended = next((thread.name for thread in self._threads if not thread.is_alive()), None)
        if ended is not None:
            return f"The thread {ended} has ended."
        queue = self._consumer.wrong() or self._publisher.wrong()
        return queue or self._dispatcher.wrong() or self._outage.wrong() or self._resync_pulse.wrong()

    def waits_for(self) -> str | None:
        """Which other system keeps this process from handling messages, in a sentence; None while none does."""
        broker = None if self._consumer.is_standby else self._consumer.waits_for
        return self._outage.reason or broker or self._publisher.blocked

    def note(self) -> str | None:
        """That it stands by, which is its work."""
        return f"standing by: {self._consumer.waits_for}" if self._consumer.is_standby else None

    def probe(self) -> None:
        """Ask API and cluster for a little; raises :class:`lando.errors.Unavailable` while one is away."""
        self._source.probe()
        self._cluster.list_page("ConfigMap", labels.RUN_RECORD, limit=1)

    def _may_act(self) -> bool:
        return self._consumer.active and not self._halted.is_set()

    def _on_delivery(self, delivery: Delivery) -> None:
        try:
            message = codec.decode(delivery.body)
        except MessageError as error:
            log.error("A message is put aside: %s", error)
            MESSAGES.labels("unknown", "dead").inc()
            delivery.dead(str(error))
            return
        if not self._engine.knows(message.kind):
            MESSAGES.labels(message.command.value, "dead").inc()
            delivery.dead(f"Runs of kind {message.kind!r} can't be run by this lando.")
            return
        self._dispatcher.submit(replace(message, was_tried=delivery.was_tried), delivery)

    def _handle(self, run_id: int, works: Sequence[Work]) -> None:
        for position, work in enumerate(works):
            with logs.about(**_subject(work.message)):
                is_settled = not self._outage.is_on and self._may_act() and self._handle_one(run_id, work)
            if not is_settled:
                for rest in works[position:]:
                    self._hand_back(run_id, rest)
                return

    def _handle_one(self, run_id: int, work: Work) -> bool:
        """Look at the run and settle ``work``; False when it can't be settled now and is to be handed back."""
        began = time.monotonic()
        try:
            self._engine.look(run_id, work.message)
        except Halted:
            return False
        except MessageError as error:
            if work.message is not None:
                log.error("Run %d: the message is put aside: %s", run_id, error)
            else:
                log.info("Run %d is left alone: %s", run_id, error)
            reason = str(error)
            self._suspects.pop(run_id, None)
            self._settle(work, "dead", lambda delivery: delivery.dead(reason))
        except Unavailable as error:
            if not self._is_suspect(run_id):
                self._outage.report(error)
                return False
            self._retry(run_id, work, error)
        except StillThere as error:
            log.info("Run %d: %s: looking again later", run_id, error)
            self._retry(run_id, work, error)
        except LandoError as error:
            log.warning("Run %d: %s", run_id, error)
            self._retry(run_id, work, error)
        except Exception as error:
            log.exception("Run %d: an internal error", run_id)
            self._retry(run_id, work, error)
        else:
            self._suspects.pop(run_id, None)
            self._failed_looks.pop(run_id, None)
            self._settle(work, "done", lambda delivery: delivery.ack())
        HANDLING.observe(time.monotonic() - began)
        return True

    def _settle(self, work: Work, outcome: str, settle: Callable[[Delivery], None]) -> None:
        command = work.message.command.value if work.message else "look"
        MESSAGES.labels(command, outcome).inc(len(work.deliveries) or 1)
        for delivery in work.deliveries:
            settle(delivery)

    def _hand_back(self, run_id: int, work: Work) -> None:
        self._settle(work, "handed back", lambda delivery: delivery.requeue())
        if work.message is None and not self._stopping.is_set():
            self._dispatcher.look(run_id, LOOK_AGAIN_S)

    def _retry(self, run_id: int, work: Work, error: Exception) -> None:
        """Down the ladder; before its end the run's owner is told, so that no run hangs.

        A look of our own has no ladder: it is made again, and the owner told after as many failures in as long a time.
        """
        reason = words(error)
        if work.message is not None:
            self._failed_looks.pop(run_id, None)  # it is the message's failures that count
            is_hopeless = any(delivery.failures >= len(DELAYS_S) for delivery in work.deliveries)
        elif isinstance(error, StillThere):
            self._dispatcher.look(run_id, LOOK_AGAIN_S)
            is_hopeless = False
        else:
            self._dispatcher.look(run_id, self._config.resync_s)
            times, since = self._failed_looks.get(run_id, (0, time.monotonic()))
            _keep(self._failed_looks, run_id, (times + 1, since))
            is_hopeless = times >= len(DELAYS_S) and time.monotonic() - since >= HOPELESS_S
        if is_hopeless and isinstance(error, Unavailable) and self._others_are_suspects(run_id):
            self._engine.say_what_is_away(run_id, reason)
            self._settle(work, "retried", lambda delivery: delivery.postpone(reason))
            return
        if is_hopeless:
            self._give_up(run_id, reason)
        self._settle(work, "retried", lambda delivery: delivery.retry(reason))

    def _give_up(self, run_id: int, reason: str) -> None:
        try:
            self._engine.give_up(run_id, reason)
        except Exception as error:
            # The message goes to the dead ones with its reason. Resync may not know of a run that has nothing yet.
            log.exception("Run %d could not even be ended: %s", run_id, words(error))
            self._dispatcher.look(run_id, self._config.resync_s)

    def _is_suspect(self, run_id: int) -> bool:
        """Whether this run meets unavailable peers again and again though they answer to others."""
        _keep(self._suspects, run_id, self._suspects.get(run_id, 0) + 1)
        return self._suspects[run_id] > SUSPECT_AFTER

    def _others_are_suspects(self, run_id: int) -> bool:
        """Whether other runs fare no better, so that it is no fault of this one."""
        return any(other != run_id and times > SUSPECT_AFTER for other, times in list(self._suspects.items()))

    def _resume(self) -> None:
        """What happened during an outage may have passed unheard: go on, and look at once."""
        self._patience.begin_anew()
        self._consumer.resume()
        self._resync_due.set()

    def _resync(self) -> None:
        """Resync when this process has become the active one or an outage is over, and every ``resync_s``."""
        unknown: frozenset[int] = frozenset()
        while True:
            self._resync_due.clear()  # before all that is asked here: what comes meanwhile counts
            if self._stopping.is_set():
                return
            rest_s, wait_s = 0.0, self._config.resync_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            if self._consumer.active and not self._outage.is_on:
                began = time.monotonic()
                self._resync_pulse.beat()
                try:
                    unknown = self._look_at_what_is_wrong(unknown)
                    rest_s = (time.monotonic() - began) * RESYNC_REST
                    wait_s, rest_s = max(wait_s, rest_s), min(rest_s, wait_s)
                except Unavailable as error:
                    self._outage.report(error)
                except Exception as error:
                    log.exception("The resync failed: %s", words(error))
                    wait_s = LOOK_AGAIN_S
            self._resync_pulse.rest()
            ended = time.monotonic()
            if self._resync_due.wait(wait_s):
                self._stopping.wait(ended + rest_s - time.monotonic())

    def _look_at_what_is_wrong(self, told: frozenset[int]) -> frozenset[int]:
        """One resync; the runs that the API does not know, of which those in ``told`` are no news."""
        found = resync.compare(self._cluster, self._source, self._config, self._clock())
        resync.count(found)
        for finding in found:
            with logs.about(run_id=finding.run_id):
                if finding.needs_a_look:
                    log.info("Run %d: %s %s", finding.run_id, finding.wrong, finding.remedy)
                    self._dispatcher.look(finding.run_id)
                elif finding.run_id not in told:
                    log.warning("Run %d: %s %s", finding.run_id, finding.wrong, finding.remedy)
        return frozenset(finding.run_id for finding in found if not finding.needs_a_look)


def planners_of(config: Config) -> dict[str, Planner]:
    """The kinds of runs that a daemon with ``config`` can do: without an API of ours it hears of Bespin's jobs only."""
    planners: dict[str, Planner] = {"cwl": CwlPlanner(config)}
    if config.lando_api is not None:
        planners[phases.KIND] = phases.PhasesPlanner(config)
    return planners


def _keep(kept: dict[int, T], run_id: int, value: T) -> None:
    """Remember ``value`` of the run; those that changed longest ago are forgotten."""
    kept.pop(run_id, None)
    kept[run_id] = value
    while len(kept) > COUNTS_KEPT:
        kept.pop(next(iter(kept)), None)


def _subject(message: Message | None) -> dict[str, Any]:
    """What the lines logged while ``message`` is handled say besides the run."""
    if message is None:
        return {"command": "look"}
    evidence = message.evidence
    step, job_uid = (evidence.step, evidence.uid) if evidence else (None, None)
    return {"command": message.command.value, "message_id": message.id, "step": step, "job_uid": job_uid}


@contextlib.contextmanager
def _daemon_of(config: Config) -> Iterator[process.Work]:
    """The daemon with everything that it needs, ready to run."""
    with contextlib.ExitStack() as parts:
        cluster = parts.enter_context(KubernetesCluster(config.cluster_api_settings, on_call=count_calls("cluster")))
        source = parts.enter_context(contextlib.closing(source_of(config, count_calls("api"))))
        publisher = queues.publisher(config.work_queue)
        parts.callback(publisher.close)
        daemon = LandoDaemon(
            config,
            cluster=cluster,
            source=source,
            consumer=queues.consumer(config.work_queue, prefetch=PREFETCH_PER_WORKER * config.workers),
            publisher=publisher,
            archive=_archive(config),
            clock=cluster.now,
        )
        broker = queue_check(publisher, config.work_queue.listen_queue)
        patrol = Patrol({"API or cluster": daemon.probe, "broker": broker})
        parts.enter_context(process.observable(config, daemon, patrol, (LANDO, BOTH)))
        yield daemon.run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Exit status 0 then, 2 without a usable configuration."""
    return process.main("lando.k8s.lando", argv, _daemon_of)


def _archive(config: Config) -> Archive | None:
    if config.archive.url is None:
        log.warning("archive.url is not set: logs of steps go with their Jobs")
        return None
    return Archive(config.archive.url, config.archive.max_bytes_per_container)


if __name__ == "__main__":
    leave(main())
