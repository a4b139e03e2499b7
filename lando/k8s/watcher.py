"""The watcher: turns what happens to the Jobs of steps into messages (``python -m lando.k8s.watcher CONFIG``).

It decides nothing. Reflectors note what changed; workers judge each changed Job by :mod:`lando.k8s.diagnosis` and
publish one message for each outcome of each Job (told apart by UID), confirmed by the broker before it is remembered.
A Job that waits is judged again when its patience ends; nothing is polled. After a restart it says again what it
finds, which the receiver does not mind; where Duke's lando still reads (``message_format: pickle``) the outcome is
noted on the Job, so that each is said once, and only outcomes are said that the original knows.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from lando import labels, logs, queues
from lando.config import STEP_TYPES, Config
from lando.errors import Conflict, LandoError, NotFound, PeerError, Rejected, Unavailable
from lando.k8s import process
from lando.k8s.agenda import Agenda
from lando.k8s.cluster import Cluster, KubernetesCluster, Manifest
from lando.k8s.diagnosis import Diagnosis, Verdict, deleted, diagnose
from lando.k8s.diagnosis.facts import ENDED_PHASES, log_source, mapping, name, phase, termination_message
from lando.k8s.health import STUCK_S
from lando.k8s.metrics import BACKLOG, BOTH, EVENT_AGE, REPORTS, WATCHER, count_calls
from lando.k8s.patrol import Patrol, queue_check
from lando.k8s.reflector import SILENCE_S, Change, Reflector
from lando.k8s.sightings import Sighting, Sightings
from lando.labels import StepKey
from lando.messages import Command, Condition, Evidence, Message, codec
from lando.queues import Publisher
from lando.runs import Cause, cut_middle
from lando.stopping import leave

log = logging.getLogger(__name__)

WORKERS = 4  # Jobs judged side by side; what takes time is reading a failed one's log
LOG_LINES = 400  # of a failed container, from its end
LOG_BYTES = 56 * 1024  # of those; with cause and termination message a message stays within 64 KiB
WAIT_INTERVAL_S = 10.0  # at least, between two messages on what one Job waits for
CONFIRM_S = 60.0  # for the broker to confirm; the publisher gives up by itself before
RETRY_S = (1.0, 60.0)  # first and longest wait after a failure to tell; jittered
UNFORESEEN_TRIES = 10  # of one Job after errors that nobody foresaw; peers that are away are waited for without end
LOG_TRIES = 2
STOP_S = 10.0  # for threads to end
HOPELESS_S = 1800.0  # of errors alone, until a restart is worth a try: it reads certificates anew

_CONDITIONS = {Verdict.COMPLETE: Condition.COMPLETE, Verdict.FAILED: Condition.FAILED}


@dataclass
class _Told:
    """What has been said of one Job."""

    outcomes: frozenset[Condition] = frozenset()
    waiting: str = ""
    """The sentence last sent on what it waits for; empty when it does not wait."""
    waiting_since: datetime | None = None
    """When that was sent."""


class Watcher:
    """One namespace's Jobs, told to one queue. :meth:`run` blocks; everything else may be called from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        cluster: Cluster,
        publisher: Publisher,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._publisher = publisher
        self._clock = clock
        self._queue = config.work_queue.listen_queue
        self._form: Literal["json", "pickle"] = "pickle" if config.work_queue.message_format == "pickle" else "json"
        self._patience = timedelta(seconds=config.patience_s)
        self.sightings = Sightings()
        self._agenda = Agenda()
        self._told: dict[str, _Told] = {}
        self._tries: dict[str, int] = {}
        """Failures to tell of a Job, one after the other."""
        self._stop = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()
        selectors = [labels.BESPIN_SELECTOR] + ([labels.RUNS_SELECTOR] if config.lando_api else [])
        self._reflectors = [
            Reflector(cluster, kind, self._handler(note), label_selector=selector)
            for selector in selectors
            for kind, note in (("Job", self.sightings.on_job), ("Pod", self.sightings.on_pod))
        ]
        # Only hints: an account that may not read events still gets every outcome, in fewer words.
        self._events = Reflector(
            cluster, "Event", self._handler(self.sightings.on_event), field_selector="type=Warning"
        )

    def run(self, stop: threading.Event) -> None:
        """Watch and tell until ``stop``; returns when all threads have ended, or after some seconds."""
        threads = [
            threading.Thread(
                target=reflector.run, name=f"watch {reflector.kind} {reflector.label_selector}", daemon=True
            )
            for reflector in (*self._reflectors, self._events)
        ]
        threads += [threading.Thread(target=self._work, name=f"tell {n}", daemon=True) for n in range(WORKERS)]
        for thread in threads:
            thread.start()
        self._threads = tuple(threads)
        EVENT_AGE.set_function(self.age_s)
        BACKLOG.set_function(self.backlog)
        log.info("watching Jobs and Pods of the namespace %s", self._cluster.namespace)
        try:
            stop.wait()
        finally:
            self._stop.set()
            for reflector in (*self._reflectors, self._events):
                reflector.stop()
            self._agenda.close()
            deadline = time.monotonic() + STOP_S
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0.0))

    def age_s(self) -> float:
        """Seconds since the cluster was last heard, of the stream that has been silent longest."""
        return max(reflector.age_s() for reflector in self._reflectors)

    def wrong(self) -> str | None:
        """What a restart may mend, in a sentence: a thread that ended or hangs, a stream that fell silent."""
        if self._stop.is_set():
            return None
        if (ended := next((thread.name for thread in self._threads if not thread.is_alive()), None)) is not None:
            return f"The thread {ended!r} has ended."
        if (taken_s := self._agenda.longest_s()) > STUCK_S:
            return f"A worker has been at one Job for {taken_s:.0f} s."
        for reflector in self._reflectors:
            limit_s = HOPELESS_S if reflector.last_error else SILENCE_S
            if reflector.age_s() > limit_s:
                why = reflector.last_error or "no error, just silence"
                return f"{reflector.kind}s: not heard of for {reflector.age_s():.0f} s ({why})"
        return self._publisher.wrong()

    def waits_for(self) -> str | None:
        """Why the view of the cluster can't be trusted now, or nothing be told, in a sentence; None while all works."""
        for reflector in self._reflectors:
            if reflector.last_error is not None:
                return f"{reflector.kind}s can't be watched: {reflector.last_error}"
            if not reflector.synced.is_set():
                return f"{reflector.kind}s: the first list has not come yet."
        return self._publisher.blocked

    def note(self) -> str | None:
        """Nothing; as of :class:`~lando.k8s.health.Part`."""
        return None

    def backlog(self) -> int:
        """How many Jobs are to be looked at, now or later."""
        return len(self._agenda)

    # -- one Job -------------------------------------------------------------------------------------------------

    def look(self, uid: str) -> None:
        """Judge the Job of this UID and tell what is new. Raises LandoError when a peer is away: look again."""
        seen = self.sightings.of(uid)
        if seen is None:
            return
        key = labels.step_key(mapping(mapping(seen.job.get("metadata")).get("labels")))
        if key is None or (key.kind == "cwl" and key.step not in STEP_TYPES):
            if key is not None and uid not in self._told:
                log.error("Job %s is of a step type that is not known, %r; it is not watched", name(seen.job), key.step)
                self._told[uid] = _Told()
            self._forget_if_gone(uid, seen)
            return
        told = self._told.setdefault(uid, _Told(outcomes=self._noted(seen.job)))
        diagnosis = self._diagnose(seen)
        if diagnosis.verdict in _CONDITIONS:
            self._tell_outcome(key, seen, diagnosis, told)
        elif seen.gone:
            self._tell_gone(key, seen, told)
        elif diagnosis.verdict is Verdict.WAITING:
            self._tell_waiting(key, seen, diagnosis.cause, told)
        elif told.waiting:
            self._tell_waiting(key, seen, None, told)
        if diagnosis.recheck_at is not None and not seen.gone:
            self._agenda.add(uid, (diagnosis.recheck_at - self._clock()).total_seconds() + 0.01)
        self._forget_if_gone(uid, seen)

    def _tell_outcome(self, key: StepKey, seen: Sighting, diagnosis: Diagnosis, told: _Told) -> None:
        condition = _CONDITIONS[diagnosis.verdict]
        if condition in told.outcomes:
            return
        pods = seen.pods + seen.gone_pods
        if condition is Condition.FAILED:
            pods = self._ended_pods(seen)
            diagnosis = self._diagnose(seen, pods, log_tail=self._log_tail(pods))
        self._publish(key, _evidence(key, seen, condition, diagnosis.cause, termination_message(pods)))
        told.outcomes |= {condition}
        told.waiting = ""
        if self._form == "pickle" and not seen.gone:
            self._note(seen.job, told.outcomes)

    def _tell_gone(self, key: StepKey, seen: Sighting, told: _Told) -> None:
        if told.outcomes:
            return  # cleaned up after its end, as usual
        self._publish(key, _evidence(key, seen, Condition.GONE, deleted(seen.job), None))
        told.outcomes |= {Condition.GONE}

    def _tell_waiting(self, key: StepKey, seen: Sighting, cause: Cause | None, told: _Told) -> None:
        sentence = cause.sentence if cause else ""
        if sentence == told.waiting:
            return
        now = self._clock()
        if told.waiting_since is not None and cause is not None:
            early_s = WAIT_INTERVAL_S - (now - told.waiting_since).total_seconds()
            if early_s > 0:
                self._agenda.add(str(seen.job["metadata"]["uid"]), early_s)
                return
        self._publish(key, _evidence(key, seen, Condition.WAITING, cause, None))
        told.waiting, told.waiting_since = sentence, now

    def _diagnose(self, seen: Sighting, pods: Sequence[Manifest] | None = None, *, log_tail: str = "") -> Diagnosis:
        return diagnose(
            seen.job,
            seen.pods if pods is None else pods,
            seen.events,
            now=self._clock(),
            patience=self._patience,
            log_tail=log_tail,
        )

    def _ended_pods(self, seen: Sighting) -> list[Manifest]:
        """The pods of a Job that has ended; read anew when the stream of pods is behind that of Jobs."""
        known = seen.pods + seen.gone_pods
        if seen.gone or any(phase(pod) in ENDED_PHASES for pod in known):
            return known
        own = mapping(mapping(mapping(seen.job.get("spec")).get("selector")).get("matchLabels"))
        selector = labels.selector({str(k): str(v) for k, v in own.items()} or {"job-name": name(seen.job)})
        return self._cluster.list("Pod", selector) or known

    def _log_tail(self, pods: Sequence[Manifest]) -> str:
        """The end of the log that tells most; empty when there is none to be had."""
        source = log_source(pods)
        if source is None:
            return ""
        for last in (False,) * (LOG_TRIES - 1) + (True,):
            try:
                text = self._cluster.pod_log(*source, tail_lines=LOG_LINES, limit_bytes=LOG_BYTES)
                return cut_middle(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), LOG_BYTES)
            except Unavailable as error:
                # A node that is gone can't be asked; the outcome must not wait for its log.
                if last or self._stop.wait(RETRY_S[0]):
                    log.warning("the log of %s/%s can't be read: %s", *source, error)
            except PeerError as error:
                log.info("there is no log of %s/%s: %s", *source, error)
                break
        return ""

    def _publish(self, key: StepKey, evidence: Evidence) -> None:
        """Publish and wait until the broker has it; raises LandoError when it does not come to that."""
        message = Message(command=Command.STEP_CHANGED, run_id=key.run_id, kind=key.kind, evidence=evidence)
        if not codec.can_encode(message, self._form):
            return
        message_id = codec.message_id(message, self._form)
        with logs.about(message_id=message_id):
            future: Future[None] = self._publisher.publish(
                self._queue,
                codec.encode(message, self._form),
                content_type=codec.content_type(self._form),
                message_id=message_id,
            )
            try:
                future.result(CONFIRM_S)
            except TimeoutError as error:
                raise Unavailable("broker", "a message was not confirmed in time") from error
            REPORTS.labels(evidence.condition.value).inc()
            log.info("run %d, step %s: %s %s", key.run_id, key.step, evidence.condition.value, evidence.cause)

    def _noted(self, job: Manifest) -> frozenset[Condition]:
        """What an earlier watcher noted on the Job as told."""
        if self._form != "pickle":
            return frozenset()
        text = str(mapping(mapping(job.get("metadata")).get("annotations")).get(labels.REPORTED, ""))
        known = {condition.value: condition for condition in Condition}
        return frozenset(known[word] for word in text.split(",") if word in known)

    def _note(self, job: Manifest, outcomes: frozenset[Condition]) -> None:
        words = ",".join(sorted(condition.value for condition in outcomes))
        patch: Manifest = {"metadata": {"uid": job["metadata"]["uid"], "annotations": {labels.REPORTED: words}}}
        try:
            self._cluster.patch("Job", name(job), patch)
        except (NotFound, Conflict, Rejected):
            pass  # gone, or made anew under its name
        except PeerError as error:
            log.warning("Job %s can't be annotated; after a restart it may be told twice: %s", name(job), error)

    def _forget_if_gone(self, uid: str, seen: Sighting) -> None:
        if seen.gone:
            self.sightings.forget(uid)
            self._told.pop(uid, None)
            self._tries.pop(uid, None)

    # -- threads -------------------------------------------------------------------------------------------------

    def _handler(self, note: Callable[[Change], str | None]) -> Callable[[Change], None]:
        def handle(change: Change) -> None:
            uid = note(change)
            if uid is not None:
                self._agenda.add(uid)

        return handle

    def _work(self) -> None:
        while (uid := self._agenda.take()) is not None:
            with logs.about(**self._subject(uid)):
                try:
                    self.look(uid)
                    self._tries.pop(uid, None)
                except LandoError as error:
                    self._again(uid, error, endless=True)
                except Exception as error:
                    log.exception("looking at Job %s failed", uid)
                    self._again(uid, error, endless=False)
                finally:
                    self._agenda.done(uid)

    def _subject(self, uid: str) -> dict[str, Any]:
        """What the lines logged while the Job is looked at say."""
        seen = self.sightings.of(uid)
        metadata = mapping(seen.job.get("metadata")) if seen else {}
        key = labels.step_key(mapping(metadata.get("labels")))
        attempt = mapping(metadata.get("annotations")).get(labels.ATTEMPT)
        found: dict[str, Any] = {"job_uid": uid, "attempt": attempt}
        return found | ({"run_id": key.run_id, "step": key.step} if key else {})

    def _again(self, uid: str, error: Exception, *, endless: bool) -> None:
        tries = self._tries[uid] = self._tries.get(uid, 0) + 1
        if not endless and tries >= UNFORESEEN_TRIES:
            log.error("gave up on Job %s until it changes: %s", uid, error)
            return
        first, longest = RETRY_S
        delay_s = min(first * 2.0 ** min(tries - 1, 16), longest) * random.uniform(0.5, 1.0)  # noqa: S311
        if endless:
            log.log(logging.WARNING if tries == 1 else logging.DEBUG, "will tell of Job %s later: %s", uid, error)
        self._agenda.add(uid, delay_s)


def _evidence(
    key: StepKey,
    seen: Sighting,
    condition: Condition,
    cause: Cause | None,
    message: Mapping[str, Any] | None,
) -> Evidence:
    words = " ".join(part for part in (cause.sentence, cause.advice) if part) if cause else ""
    return Evidence(
        step=key.step,
        condition=condition,
        job=name(seen.job),
        uid=str(seen.job["metadata"]["uid"]),
        category=cause.category if cause else None,
        cause=words,
        exit_code=cause.exit_code if cause else None,
        log_tail=cause.log_tail if cause else "",
        termination_message=message,
    )


@contextlib.contextmanager
def _watcher_of(config: Config) -> Iterator[process.Work]:
    """The watcher with everything that it needs, ready to run."""
    with contextlib.ExitStack() as parts:
        cluster = parts.enter_context(KubernetesCluster(config.cluster_api_settings, on_call=count_calls("cluster")))
        publisher = queues.publisher(config.work_queue)
        parts.callback(publisher.close)
        watcher = Watcher(config, cluster=cluster, publisher=publisher, clock=cluster.now)
        patrol = Patrol({"broker": queue_check(publisher, config.work_queue.listen_queue)})
        parts.enter_context(process.observable(config, watcher, patrol, (WATCHER, BOTH)))
        yield watcher.run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Exit status 0 then, 2 without a usable configuration."""
    return process.main("lando.k8s.watcher", argv, _watcher_of)


if __name__ == "__main__":
    leave(main())
