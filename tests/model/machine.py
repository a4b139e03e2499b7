"""The model as a state machine: users, events, faults and the clock in any order, over the real daemons."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from lando.messages import Command, Message, codec
from tests.model.api import QUEUE, Job, RefusedError
from tests.model.clock import Clock
from tests.model.faults import Fault, Trouble
from tests.model.processes import PATIENCE_S, in_the_model_s_time
from tests.model.world import FAILURES, World

MAX_RUNS = 3
OWNERS = ("ada", "grace")
PEERS = ("Bespin API", "cluster", "broker", "archive")
KINDS: tuple[tuple[str, ...], ...] = ((), ("Job",), ("Pod",), ("Pod", "Job"))
CALLS = st.integers(1, 24)
COMMANDS = ("cancel", "restart", "remove", "start")
LOSSES = sorted(kind for kind, (category, _) in FAILURES.items() if category == "infrastructure")
seen: Counter[str] = Counter()
"""How often each rule and each trouble was met, in all examples of this process."""


class Machine(RuleBasedStateMachine):
    """One world."""

    def __init__(self) -> None:
        super().__init__()
        self._patches = ExitStack()
        clock = Clock()
        self._patches.enter_context(in_the_model_s_time(clock))
        self.world = World(clock)
        self._lowest = itertools.count(-1, -1)

    def note(self, what: str) -> None:
        seen[what] += 1
        event(what)

    # -- what is drawn ------------------------------------------------------------------------------------------------

    def fault(self, data: st.DataObject) -> Fault | None:
        """Something that goes wrong, or None."""
        trouble = data.draw(st.sampled_from([None, *Trouble, None]), label="trouble")
        if trouble is None:
            return None
        call = data.draw(CALLS, label="at call")
        meanwhile = None
        if trouble is Trouble.MEANWHILE:
            meanwhile = self.meanwhile(data)
        return Fault(call=call, trouble=trouble, meanwhile=meanwhile)

    def meanwhile(self, data: st.DataObject):  # type: ignore[no-untyped-def]
        what = data.draw(st.sampled_from(["cancel", "restart", "end", "delete"]), label="meanwhile")
        index = data.draw(st.integers(0, 5))

        def happen() -> None:
            self.note(f"meanwhile {what}")
            if what == "end":
                pods = self.world.cluster.pods_at_work()
                if pods:
                    self.world.complete(pods[index % len(pods)])
            elif what == "delete":
                self.somebody_deletes(index)
            elif self.world.api.jobs:
                jobs = list(self.world.api.jobs.values())
                self.command(jobs[index % len(jobs)], what)

        return happen

    def command(self, job: Job, what: str) -> None:
        try:
            getattr(self.world.api, what)(job)
        except RefusedError:
            return
        self.note(f"command {what} in {job.state}{', held' if self.world.api.is_held(job) else ''}")
        self.world.look()

    def a_pod(self, data: st.DataObject):  # type: ignore[no-untyped-def]
        pods = self.world.cluster.pods_at_work()
        return pods[data.draw(st.integers(0, len(pods) - 1), label="pod")]

    def met(self, gate) -> None:  # type: ignore[no-untyped-def]
        if gate.met is not None:
            self.note(f"trouble: {gate.met.value}")

    # -- users --------------------------------------------------------------------------------------------------------

    @initialize(steps=st.integers(0, 5), has_record_step=st.booleans())
    def begin(self, steps: int, has_record_step: bool) -> None:
        """Any step may be the one at which things begin to go wrong."""
        job = self.world.api.order("ada", has_record_step=has_record_step)
        self.world.api.start(job)
        self.world.look()
        self.undisturbed(steps)

    @precondition(lambda self: len(self.world.api.jobs) < MAX_RUNS)
    @rule(owner=st.sampled_from(OWNERS), has_record_step=st.booleans(), steps=st.integers(0, 4))
    def order(self, owner: str, has_record_step: bool, steps: int) -> None:
        self.note("order")
        self.world.api.start(self.world.api.order(owner, has_record_step=has_record_step))
        self.world.look()
        self.undisturbed(steps)

    @rule(data=st.data(), index=st.integers(0, MAX_RUNS - 1), what=st.sampled_from(COMMANDS), sent=st.integers(0, 2))
    def a_user_says(self, data: st.DataObject, index: int, what: str, sent: int) -> None:
        """The command is only in the outbox, or published, or handled at once."""
        jobs = list(self.world.api.jobs.values())
        self.command(jobs[index % len(jobs)], what)
        if sent > 0:
            self.server_publishes(data)
        if sent > 1:
            self.lando_handles(data)

    @rule(data=st.data(), index=st.integers(0, MAX_RUNS - 1), call=st.integers(1, 12))
    def a_user_cancels_while_a_run_begins(self, data: st.DataObject, index: int, call: int) -> None:
        """Between the daemon's calls of the very start or restart."""
        jobs = list(self.world.api.jobs.values())
        job = jobs[index % len(jobs)]
        if job.state in "FDScR" and len(jobs) < MAX_RUNS:
            job = self.world.api.order("ada")
        self.command(job, "start" if job.state == "A" else "restart")
        self.server_publishes(data)
        fault = Fault(call=call, trouble=Trouble.MEANWHILE, meanwhile=lambda: self.command(job, "cancel"))
        self.world.deliver(fault)

    @precondition(lambda self: self.world.said)
    @rule(data=st.data(), index=st.integers(0, 20))
    def an_old_command_comes_again(self, data: st.DataObject, index: int) -> None:
        self.note("old command")
        body = self.world.said[index % len(self.world.said)]
        self.world.broker.publish(QUEUE, body, content_type="application/json", message_id=None)
        self.lando_handles(data)

    @precondition(lambda self: len(self.world.api.jobs) < MAX_RUNS)
    @rule(data=st.data(), owner=st.sampled_from(OWNERS), is_stray=st.booleans())
    def a_run_waits_for_its_turn(self, data: st.DataObject, owner: str, is_stray: bool) -> None:
        """Perhaps somebody starts it past the API, as the original's command line does."""
        self.world.give_places(0)
        job = self.world.api.order(owner)
        self.command(job, "start")
        if is_stray:
            self.note("stray start")
            body = codec.encode(Message(command=Command.START, run_id=job.id), "pickle")
            self.world.broker.publish(QUEUE, body, content_type=None, message_id=None)
            self.lando_handles(data)

    def server_publishes(self, data: st.DataObject) -> None:
        gate = self.world.server
        self.world.publish(self.fault(data))
        self.met(gate)

    # -- daemons ------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), limit=st.none() | st.integers(1, 2))
    def lando_works(self, data: st.DataObject, limit: int | None) -> None:
        if self.world.api.outbox:
            self.server_publishes(data)
        self.lando_handles(data, limit)

    def lando_handles(self, data: st.DataObject, limit: int | None = None) -> None:
        gate = self.world.lando.gate
        self.note("lando handles")
        self.world.deliver(self.fault(data), limit)
        self.met(gate)

    @rule(data=st.data())
    def lando_looks_at_everything(self, data: st.DataObject) -> None:
        gate = self.world.lando.gate
        self.note("resync")
        self.world.resync(self.fault(data))
        self.met(gate)

    @rule(data=st.data(), kinds=st.sampled_from(KINDS))
    def watcher_tells(self, data: st.DataObject, kinds: tuple[str, ...] = ()) -> None:
        gate = self.world.watcher.gate
        self.world.hear(*kinds, fault=self.fault(data))
        self.met(gate)

    @rule(who=st.sampled_from(["lando", "watcher", "everything"]))
    def is_restarted(self, who: str) -> None:
        """With everything goes the queue, as it does where all is one process."""
        self.note(f"restarted: {who}")
        if who != "watcher":
            self.world.restart_lando()
        if who != "lando":
            self.world.restart_watcher()
        if who == "everything":
            self.world.forget_messages()

    # -- the queue ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.broker.queue(QUEUE).ready)
    @rule(index=st.integers(0, 5), what=st.sampled_from(["twice", "first", "lost"]))
    def a_message_is(self, index: int, what: str) -> None:
        self.note(f"message {what}")
        held = self.world.broker.queue(QUEUE)
        message = sorted(held.ready)[index % len(held.ready)]
        if what == "twice":
            self.world.broker.publish(
                QUEUE, message.body, content_type=message.content_type, message_id=message.message_id
            )
            return
        held.ready.remove(message)
        held.ready.sort()
        self.world.needs_resync |= what == "lost"
        if what == "first":
            held.ready.insert(0, replace(message, number=next(self._lowest)))

    # -- the cluster --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.cluster.node.at_work)
    @rule(data=st.data(), kind=st.sampled_from([*FAILURES, *[None] * len(FAILURES)]), told=st.integers(0, 2))
    def a_step_ends(self, data: st.DataObject, kind: str | None, told: int) -> None:
        """Well, or in one of the ways to fail; which nobody has heard of, or the watcher, or lando too."""
        self.note(f"step ends: {kind}")
        pod = self.a_pod(data)
        if kind is None:
            self.world.complete(pod)
        else:
            self.world.fail(pod, kind)
        if told > 0:
            self.watcher_tells(data)
        if told > 1:
            self.lando_handles(data)

    @precondition(lambda self: self.world.cluster.node.at_work)
    @rule(data=st.data(), kinds=st.lists(st.sampled_from(LOSSES), min_size=1, max_size=5))
    def the_cluster_loses(self, data: st.DataObject, kinds: list[str]) -> None:
        """One pod after the other of a step, each of which everybody hears of."""
        for kind in kinds:
            pods = self.world.cluster.pods_at_work()
            if not pods:
                return
            self.note(f"lost: {kind}")
            self.world.fail(pods[0], kind)
            self.watcher_tells(data)
            self.lando_handles(data)

    @rule(index=st.integers(0, 20), orphans=st.booleans())
    def somebody_deletes(self, index: int, orphans: bool = False) -> None:
        items = self.world.cluster.objects("Job", "ConfigMap", "PersistentVolumeClaim")
        items = [item for item in items if "bespin-job-id" in item["metadata"].get("labels", {})]
        if not items:
            return
        item = items[index % len(items)]
        orphans = orphans and item["kind"] == "Job"
        self.note(f"deleted by hand: {item['kind']}{' without its pods' if orphans else ''}")
        self.world.delete_by_hand(item, orphans=orphans)

    @rule(what=st.sampled_from(["free", "unschedulable", "image", "stubborn", "prompt", "no Jobs", "one Job", "room"]))
    def the_cluster_is(self, what: str) -> None:
        self.note(f"cluster: {what}")
        match what:
            case "free":
                self.world.hold(None)
            case "unschedulable" | "image":
                self.world.hold(what)
            case "stubborn" | "prompt":
                self.world.cluster.node.stubborn = what == "stubborn"
                self.world.settle()
            case _:
                self.world.limit({"no Jobs": 0, "one Job": 1}.get(what))

    # -- everybody ----------------------------------------------------------------------------------------------------

    @rule(peer=st.sampled_from([None, *PEERS]))
    def is_away(self, peer: str | None) -> None:
        """None: all are back, and things get on."""
        self.note(f"away: {peer}")
        if peer is not None:
            self.world.away.add(peer)
        else:
            self.world.away.clear()
            self.world.as_lando(lambda lando: lando.go_on())
            self.undisturbed(2)

    @rule(number=st.none() | st.integers(0, 2))
    def the_site_limits_its_runs(self, number: int | None) -> None:
        self.note(f"places: {number}")
        self.world.give_places(number)

    @rule(seconds=st.sampled_from([5.0, 31.0, 301.0, PATIENCE_S + 1.0, 86400.0 * 40]))
    def time_passes(self, seconds: float) -> None:
        self.note(f"time passes: {seconds:.0f} s")
        self.world.pass_time(seconds)

    @rule(steps=st.integers(1, 5))
    def undisturbed(self, steps: int) -> None:
        """Some steps of undisturbed progress, so that late states are met too."""
        world = self.world
        for number in range(steps):
            while world.api.outbox and "broker" not in world.away:
                world.publish()
            world.deliver()
            world.hear()
            world.deliver()
            if number < steps - 1:
                for pod in world.cluster.pods_at_work():
                    world.complete(pod)
                world.hear()

    def teardown(self) -> None:
        try:
            self.world.come_to_rest()
            self.world.check_the_end()
            for job in self.world.api.jobs.values():
                self.note(f"end: {job.state}")
        finally:
            self._patches.close()
