"""Everything that outlives a daemon, the daemons, and what must hold of both at every moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from lando import labels
from lando.bespin import letters
from lando.errors import Unavailable
from lando.k8s.cluster import Manifest
from lando.queues.memory import MemoryBroker
from lando.runs import StepState
from lando.sources.bespin import NO_LIST_S
from tests.model.api import QUEUE, Job, ModelApi
from tests.model.clock import Clock
from tests.model.cluster import ModelCluster, Started
from tests.model.faults import Fault, Gate
from tests.model.processes import CONFIG, Lando, WatcherProcess, survives

IDS = {"project_id": "p", "readme_file_id": "r"}
RETRIES = CONFIG.infrastructure_retries
MOVES = {
    "A": "SC",
    "S": "REc",
    "R": "RFEc",
    "r": "REc",
    "c": "C",
    "C": "rcD",
    "E": "rcD",
    "F": "D",
    "D": "",
}
"""Which state may follow which: nobody but a run's user cancels or restarts it, and what they said is done."""
ROUNDS = 200
"""How often a world that nobody disturbs is moved on before it counts as one that hangs."""


@dataclass
class Life:
    """What has happened to a run since it was last started or restarted."""

    done: set[str] = field(default_factory=set)
    """Steps whose Job completed."""
    causes: set[str] = field(default_factory=set)
    """Categories of the failures that the world really had in it."""
    attempts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """UIDs of the Jobs whose pods began to work, by step."""
    losses: int = 0
    """How often the cluster lost something of it."""


class World:
    """API, cluster, broker, both daemons, and the account of what happened."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cluster = ModelCluster(clock)
        self.api = ModelApi(clock)
        self.broken: list[str] = []
        """Promises that a change of a run has broken."""
        self.api.on_change = self._follow
        self.broker = MemoryBroker(clock=clock.monotonic)
        self.notices = self.broker.listen()
        self.archive: set[tuple[int, str, int, str]] = set()
        self.away: set[str] = set()
        self.lives: dict[int, Life] = defaultdict(Life)
        self.hindered: set[str] = set()
        """Categories of what has kept pods of any run from starting."""
        self.server = Gate(self.away)
        self.said: list[bytes] = []
        """Every command that was ever published."""
        self.lando = self._new_lando()
        self.watcher = self._new_watcher()
        self.needs_resync = False
        """A message was lost, a volume was taken away, or the daemon began anew: it may take a resync to go on."""
        self._seen: dict[int, str] = {}

    # -- processes ----------------------------------------------------------------------------------------------------

    def _new_lando(self) -> Lando:
        return Lando(
            clock=self.clock,
            cluster=self.cluster,
            api=self.api,
            broker=self.broker,
            archive=self.archive,
            away=self.away,
        )

    def _new_watcher(self) -> WatcherProcess:
        return WatcherProcess(clock=self.clock, cluster=self.cluster, broker=self.broker, away=self.away)

    def restart_lando(self) -> None:
        """The process is killed, and another takes its place."""
        self.lando.leave()
        self.lando = self._new_lando()
        self.needs_resync = True

    def restart_watcher(self) -> None:
        """The process is killed, and another takes its place."""
        self.watcher.gate.dead = True
        self.watcher = self._new_watcher()

    def as_lando(self, do: Callable[[Lando], None], fault: Fault | None = None) -> None:
        """Have the daemon do something; when ``fault`` kills it, the next one begins."""
        lando = self.lando
        if not survives(lambda: do(lando), lando.gate, fault):
            self.restart_lando()
        self.settle()

    def as_watcher(self, do: Callable[[WatcherProcess], None], fault: Fault | None = None) -> None:
        """Have the watcher do something; when ``fault`` kills it, the next one begins."""
        watcher = self.watcher
        if not survives(lambda: do(watcher), watcher.gate, fault):
            self.restart_watcher()

    def deliver(self, fault: Fault | None = None, limit: int | None = None) -> None:
        """The daemon takes what is in the queue (at most ``limit`` messages) and does it."""

        def handle(lando: Lando) -> None:
            taken = 0
            while (limit is None or taken < limit) and lando.take():
                taken += 1
            lando.work()

        self.as_lando(handle, fault)

    def resync(self, fault: Fault | None = None) -> None:
        """The daemon looks at everything."""

        def look(lando: Lando) -> None:
            lando.resync()
            lando.work()

        self.as_lando(look, fault)

    def hear(self, *kinds: str, fault: Fault | None = None) -> None:
        """The watcher learns of what changed among ``kinds`` and tells it."""

        def tell(watcher: WatcherProcess) -> None:
            watcher.hear(*kinds)
            watcher.work()

        self.as_watcher(tell, fault)

    def publish(self, fault: Fault | None = None) -> None:
        """The server publishes the oldest command of its outbox; killed in between, it does so again."""
        if not self.api.outbox:
            return
        publisher = self.broker.publisher()

        def send() -> None:
            try:
                pending, body = self.server.call("broker", lambda: self.api.publish_next(publisher))
            except Unavailable:
                return
            self.said.append(body)
            self.server.call("database", lambda: self.api.published(pending), may_refuse=False)

        if not survives(send, self.server, fault):
            self.server = Gate(self.away)

    # -- the cluster --------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the cluster do what it does by itself, and look at what came of it."""
        self.cluster.settle()
        self.look()

    def look(self) -> None:
        """Look at the pods that began to work."""
        while self.cluster.started:
            self._check_start(self.cluster.started.popleft())
        at_work = [(pod.run_id, pod.step) for pod in self.cluster.pods_at_work()]
        assert len(at_work) == len(set(at_work)), f"two attempts of a step are at work: {at_work}"

    def _follow(self, job: Job) -> None:
        """A daemon takes an error of the API's for one more fault: what is wrong is kept until the end."""
        try:
            self._check_change(job)
        except AssertionError as error:
            self.broken.append(str(error))
            raise

    def _check_change(self, job: Job) -> None:
        at = job.state + job.step
        before = self._seen.get(job.id, "A")
        if at == before:
            return
        self._seen[job.id] = at
        may_be = MOVES[before[0]] + ("C" if job.id in self.api.never_begun else "")
        assert job.state in may_be, f"run {job.id} went from {before} to {at}"
        self.api.never_begun.discard(job.id)
        assert job.state != "R" or not self.api.is_held(job), f"run {job.id} was begun although it waits for its turn"
        life = self.lives[job.id]
        if job.state == "R" and before[0] != "R":
            self.lives[job.id] = life = Life()
        complete = self.complete_steps(job)
        if job.state == "R":
            # What the API says is to be done again is: a volume was lost, or the ids were not reported.
            place = list(letters.STEPS.values()).index(job.step) if job.step else -1
            later = set(list(letters.STEPS)[place:]) if place >= 0 else set(letters.STEPS)
            life.done -= later if before[1:] and _place(before[1:]) > place else set()
            life.done |= complete

    def complete_steps(self, job: Job) -> set[str]:
        """The steps that the API says are complete."""
        steps = letters.steps_of(letters.state_of(job.state), job.step)
        return {step for step, state in steps.items() if state is StepState.COMPLETE}

    def _check_start(self, started: Started) -> None:
        job = self.api.jobs[started.run_id]
        life = self.lives[started.run_id]
        assert started.step not in life.done, f"{started.step} of run {job.id} runs again although it completed"
        life.attempts[started.step].add(started.job)
        assert len(life.attempts[started.step]) <= 1 + RETRIES, f"{started.step} of run {job.id} is tried without end"

    def complete(self, pod: Started) -> None:
        """The pod's program succeeds."""
        reports = pod.step == "record_output_project" or (
            pod.step == "save_output" and not self.api.jobs[pod.run_id].has_record_step
        )
        if not self.cluster.is_doomed(pod):
            self.lives[pod.run_id].done.add(pod.step)
        self.cluster.finish(pod, message=IDS if reports else None)
        self.settle()

    def fail(self, pod: Started, kind: str) -> None:
        """The pod fails, in one of the ways of :data:`FAILURES`."""
        category, how = FAILURES[kind]
        life = self.lives[pod.run_id]
        life.causes.add(category)
        life.losses += category == "infrastructure"
        how(self.cluster, pod)
        self.settle()

    def delete_by_hand(self, item: Manifest, *, orphans: bool = False) -> None:
        """Somebody deletes an object of a run; of a Job perhaps not the pods."""
        metadata = item["metadata"]
        key = labels.step_key(metadata.get("labels") or {})
        run_id = int((metadata.get("labels") or {}).get(labels.BESPIN_JOB_ID, "0"))
        life = self.lives[run_id]
        life.causes.add("infrastructure")
        life.losses += 1
        self.needs_resync = True
        if key is not None:
            life.done -= {key.step} - self.complete_steps(self.api.jobs[run_id])
        if orphans:
            self.cluster.orphan(metadata["name"])
        else:
            self.cluster.delete(item["kind"], metadata["name"])
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """The clock moves on; what was due meanwhile is done."""
        self.clock.advance(seconds)
        if self.cluster.node.hold is not None:
            self.cluster.hold_waiting()
        self.settle()
        self.as_watcher(WatcherProcess.work)
        self.as_lando(Lando.work)

    def hold(self, reason: str | None) -> None:
        """Keep pods from starting; None lets them."""
        self.cluster.node.hold = reason
        if reason is not None:
            self.hindered.add("image" if reason == "image" else "resources")
        self.settle()

    def give_places(self, number: int | None) -> None:
        """Let the API have so many runs at work at a time; None is no limit."""
        self.api.places = number
        self.api.release()

    def limit(self, jobs: int | None) -> None:
        """Give the namespace a quota of Jobs; None takes it away."""
        self.cluster.set_quota(jobs)
        if jobs is not None:
            self.hindered.add("resources")
        self.settle()

    # -- the queue ----------------------------------------------------------------------------------------------------

    def forget_messages(self) -> None:
        """The queue was in the memory of a process that is gone."""
        held = self.broker.queue(QUEUE)
        held.ready.clear()
        held.delayed.clear()
        self.needs_resync = True

    # -- the end ------------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """All faults are over: let everything go on until nothing more happens."""
        self.away.clear()
        self.cluster.node.stubborn = False
        self.cluster.node.hold = None
        self.cluster.set_quota(None)
        self.give_places(None)
        self.settle()
        if not self.needs_resync:
            self._go_on()
            self._check_that_none_hangs()
        for _ in range(2):
            self.clock.advance(NO_LIST_S)
            self.resync()
            self._go_on()

    def _go_on(self) -> None:
        """Until nothing more happens."""
        for _ in range(ROUNDS):
            before = self._fingerprint()
            while self.api.outbox:
                self.publish()
            self.as_lando(Lando.go_on)
            self.deliver()
            self.hear()
            self.deliver()
            for pod in self.cluster.pods_at_work():
                self.complete(pod)
            self.hear()
            self.deliver()
            if self._fingerprint() == before and not self._until_due():
                return
        raise AssertionError(f"the world never comes to rest: {self._fingerprint()}")

    def _check_that_none_hangs(self) -> None:
        for job in self.api.jobs.values():
            assert job.state in "AFECD", f"run {job.id} hangs in {job.state}/{job.step}"

    def _until_due(self) -> bool:
        """Let time pass until a message of the ladder, or something a daemon meant to look at, comes due."""
        held = self.broker.queue(QUEUE)
        due = [at for at, _ in held.delayed]
        due += [at for at in (self.lando.next_due(), self.watcher.next_due()) if at is not None]
        if not due:
            return False
        self.clock.advance(max(min(due) - self.clock.monotonic(), 0.0) + 0.001)
        self.lando.work()
        self.watcher.work()
        self.settle()
        return True

    def _fingerprint(self) -> tuple[object, ...]:
        held = self.broker.queue(QUEUE)
        return (
            [(job.id, job.state, job.step, job.version, len(job.errors)) for job in self.api.jobs.values()],
            self.cluster.store.resource_version,
            len(self.api.outbox),
            len(held.ready) + len(held.unsettled),
        )

    def check_the_end(self) -> None:
        """What was promised, of every run."""
        assert not self.broken, self.broken
        held = self.broker.queue(QUEUE)
        assert not held.dead, f"messages are dead: {[message.reason for message in held.dead]}"
        assert not len(held), "messages are left in the queue"
        assert not self.api.outbox, "commands are left in the outbox"
        self._check_that_none_hangs()
        for job in self.api.jobs.values():
            if job.state == "F":
                assert job.project == IDS, f"run {job.id} is finished without a result"
            left = self.left_of(job)
            if job.state in "FCD":
                assert not left, f"run {job.id} is {job.state} and left {left}"
            assert not job.condition, f"run {job.id} still waits: {job.condition}"
            self._check_errors(job)

    def left_of(self, job: Job) -> list[str]:
        """The objects of the run in the cluster."""
        found = []
        for item in self.cluster.objects("Job", "Pod", "ConfigMap", "PersistentVolumeClaim"):
            own = item["metadata"].get("labels") or {}
            if str(job.id) in (own.get(labels.BESPIN_JOB_ID), own.get(labels.RUN_RECORD)):
                found.append(f"{item['kind']} {item['metadata']['name']}")
        return found

    def _check_errors(self, job: Job) -> None:
        told: dict[int, list[str]] = defaultdict(list)
        for error in job.errors:
            told[error["generation"]].append(error["content"].partition("\n")[0])
        for generation, sentences in told.items():
            assert len(sentences) == len(set(sentences)), f"run {job.id}, life {generation}: told twice: {sentences}"
        if job.state == "E":
            now = [error for error in job.errors if error["generation"] == job.generation]
            assert now, f"run {job.id} failed without a cause"
            life = self.lives[job.id]
            known = life.causes | self.hindered
            if now[-1]["category"] == "infrastructure" and "volume" not in now[-1]["content"]:
                assert life.losses > RETRIES, f"run {job.id} was given up after {life.losses} losses"
            assert now[-1]["category"] in known, f"run {job.id}: {now[-1]['content']!r}, but there was only {known}"


def _place(letter: str) -> int:
    return list(letters.STEPS.values()).index(letter)


def _exits(code: int) -> Callable[[ModelCluster, Started], None]:
    return lambda cluster, pod: cluster.finish(pod, code)


FAILURES: dict[str, tuple[str, Callable[[ModelCluster, Started], None]]] = {
    "exit 3": ("user", _exits(3)),
    "out of memory": ("resources", lambda cluster, pod: cluster.finish(pod, 137, reason="OOMKilled")),
    "program not found": ("image", _exits(127)),
    "evicted": ("infrastructure", lambda cluster, pod: cluster.finish(pod, 137, pod_reason="Evicted")),
    "preempted": (
        "infrastructure",
        lambda cluster, pod: cluster.finish(pod, 143, disruption="PreemptionByScheduler"),
    ),
    "pod deleted": ("infrastructure", lambda cluster, pod: cluster.delete_pod(pod)),
}
