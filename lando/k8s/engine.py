"""One look at one run: read it, read the cluster, decide, carry out."""

from __future__ import annotations

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from lando import labels
from lando.config import Config
from lando.decide import Failure, Nothing, Observed, Plan, RunRecord, decide, fail, intent_of
from lando.errors import Conflict, LandoError, PeerError, StepError, Unavailable
from lando.k8s import record
from lando.k8s.findings import is_expired
from lando.k8s.metrics import TRANSITIONS, UNTOLD
from lando.k8s.observe import Observation, Reading, observe, read, read_record
from lando.k8s.patience import Patience
from lando.k8s.perform import Peers, Performer
from lando.k8s.unfinished import QuotaWait, StillThere
from lando.k8s.untold import harmless
from lando.messages import Command, Condition, Message
from lando.plans import Planner
from lando.plans.manifests import run_record_ref
from lando.runs import Category, Cause, Intent, OnFailure, Run, RunState, StepState

CHANGED_TRIES = 5  # how often a run that somebody else changes meanwhile is looked at again at once
QUOTA_RECHECK_S = (10.0, 20.0)  # when a quota is tried again: between these, at random
RECHECK_SLACK_S = 0.5
CONDITION_RECHECK_S = 30.0  # while a sentence is shown that may soon not be true, or something could not be told
CONDITIONS_REMEMBERED = 10_000  # sentences last shown, so that none is sent twice; the oldest go first

_STARTED = (RunState.STARTING, RunState.RUNNING, RunState.RESTARTING)
_COMMANDS = (Command.START, Command.RESTART, Command.CANCEL)
_INDIFFERENT = (RunState.NEW, RunState.AUTHORIZED, RunState.STARTING, RunState.RESTARTING, RunState.CANCELING)
"""States in which only a command counts."""
_KEPT = (RunState.FINISHED, RunState.ERROR)
"""States in which objects may be kept for a while."""

log = logging.getLogger(__name__)


class Engine:
    """Looks at runs. Safe to use from several threads for different runs."""

    def __init__(
        self,
        config: Config,
        peers: Peers,
        planners: Mapping[str, Planner],
        *,
        clock: Callable[[], datetime],
        look_later: Callable[[int, float], None],
        patience: Patience,
    ) -> None:
        self._config = config
        self._peers = peers
        self._planners = planners
        self._clock = clock
        self._look_later = look_later
        self._patience = patience
        self._conditions: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, kind: str) -> bool:
        """Whether runs of this kind can be planned here."""
        return kind in self._planners

    def look(self, run_id: int, message: Message | None = None) -> None:
        """Do what is to be done about the run; without ``message`` what its recorded state asks for.

        Raises UnknownRun, Unavailable, StillThere, Halted, and other LandoErrors when it could not be done.
        """
        if message is not None and message.command is Command.DEBUG:
            log.info("Run %d: debug commands are left alone", run_id)
            return
        # A step's end nearly always asks for the next step: nobody waits for the run to be read before the cluster is.
        reading = self._read(run_id, message.kind) if message and message.command is Command.STEP_CHANGED else None
        for tries_left in reversed(range(CHANGED_TRIES)):
            run = self._peers.source.get(run_id)
            if message is not None and message.kind != run.kind:
                reading = None
            intent = intent_of(message, run) if message is not None else run.intent
            if message is not None and message.command in _COMMANDS and intent is Intent.NONE:
                log.info("Run %d is %s: the %s is history", run.id, run.state.value, message.command.value)
            if intent is Intent.NONE and (run.state in _INDIFFERENT or self._is_settled_failure(run, message)):
                log.info("Run %d is %s: nothing to do", run.id, run.state.value)
                return
            try:
                self._act(run, intent, message, reading or self._read(run.id, run.kind))
            except Conflict:
                if not tries_left:
                    raise
                log.info("Run %d was changed by somebody else: looking again", run.id)
                reading = None
            else:
                return

    def give_up(self, run_id: int, reason: str) -> None:
        """End the run in error because nothing else helped; does nothing to a run that is not under way."""
        run = self._peers.source.get(run_id)
        if run.state not in _STARTED:
            return
        cause = Cause(
            category=Category.INFRASTRUCTURE,
            sentence=f"Lando could not go on with this run: {reason}",
            advice="Restart the run; if that fails too, tell the administrator.",
        )
        try:
            planner, plan, observation = self._observe(run, Intent.NONE, None, self._read(run.id, run.kind))
        except Unavailable:
            raise
        except Exception:
            # What keeps the run from going on keeps it from being observed, too: it has to end without.
            log.exception("Run %d can't be observed", run.id)
            planner, plan = self._planners[run.kind], Plan(steps=(), record=run_record_ref(run.id))
            observation = Observation(observed=Observed(record=read_record(self._peers.cluster, plan.record)))
        self._fail(Performer(self._peers, planner, run, plan, observation), _step_at_work(run), cause)

    def say_what_is_away(self, run_id: int, reason: str) -> None:
        """Show the run's owner that another system keeps it, and others, from going on; if that can be told."""

        def tell() -> None:
            run = self._peers.source.get(run_id)
            step = _step_at_work(run) or next(iter(run.steps), None)
            if run.state in (*_STARTED, RunState.CANCELING) and step is not None:
                sentence = f"Lando is kept from going on by another system: {reason}"
                self._peers.source.set_condition(run, step, sentence)
                self._remember(run_id, sentence)

        harmless(run_id, "condition", tell)

    def _read(self, run_id: int, kind: str) -> Reading:
        selector = labels.selector(self._planners[kind].labels(run_id))
        return read(self._peers.cluster, selector, run_record_ref(run_id), self._peers.pool)

    def _is_settled_failure(self, run: Run, message: Message | None) -> bool:
        """Whether the run failed, its owner was told why, and what it left is still to be kept."""
        if run.state is not RunState.ERROR or self._is_expired(run, message, self._clock()):
            return False
        kept = read_record(self._peers.cluster, run_record_ref(run.id))
        return kept is None or kept.failure is None

    def _observe(
        self, run: Run, intent: Intent, message: Message | None, reading: Reading
    ) -> tuple[Planner, Plan, Observation]:
        planner = self._planners[run.kind]
        plan = planner.plan(run)
        now = self._clock()
        evidence = message.evidence if message else None
        # A sentence shown before this process began is not remembered; that something is over says there was one.
        unknown = "" if evidence and evidence.condition is Condition.WAITING else None
        observation = observe(
            self._peers.cluster,
            plan,
            reading,
            now=now,
            patience=timedelta(seconds=self._config.patience_s),
            waits_count_from=self._patience.since(now),
            evidence=evidence,
            settled=_failed(run) if run.state is RunState.RUNNING else (),
        )
        observed = replace(
            observation.observed,
            condition=self._conditions.get(run.id, unknown),
            expired=self._is_expired(run, message, now),
            archived=self._archived(run, observation.observed) if intent is Intent.RESTART else {},
        )
        return planner, plan, replace(observation, observed=observed)

    def _act(self, run: Run, intent: Intent, message: Message | None, reading: Reading) -> None:
        planner, plan, observation = self._observe(run, intent, message, reading)
        if _lacks_a_job(run, observation.observed):
            planner, plan, observation = self._make_sure(run, intent, message, observation.observed.record)
        elif run.state is not RunState.RUNNING and _has_something(observation.observed):
            # What is there may be of a life that began since the run was read.
            self._check_unchanged(run)
        actions = decide(plan, run, observation.observed, intent)
        if not all(isinstance(action, Nothing) for action in actions):
            TRANSITIONS.inc()
        performer = Performer(self._peers, planner, run, plan, observation)
        try:
            performer.perform(actions)
        except StepError as error:
            performer = self._fail_step(performer, error)
        except StillThere as error:
            self._say_what_goes(performer, error)
            raise
        except QuotaWait as wait:
            was_commanded = intent in (Intent.START, Intent.RESTART)  # patience begins anew with a command
            noted = None if was_commanded else observation.observed.record
            performer = self._wait_for_quota(performer, noted, wait)
        finally:
            self._remember(run.id, performer.condition)
        if observation.recheck_at is not None:
            delay_s = (observation.recheck_at - self._clock()).total_seconds()
            self._look_later(run.id, max(delay_s, 0.0) + RECHECK_SLACK_S)
        elif performer.owes_history or (performer.condition is not None and performer.run.state is RunState.RUNNING):
            self._look_later(run.id, CONDITION_RECHECK_S)

    def _make_sure(
        self, run: Run, intent: Intent, message: Message | None, known: RunRecord | None
    ) -> tuple[Planner, Plan, Observation]:
        """The same observation once more, where a Job that is on record was not seen.

        What is read side by side is no proof that it is gone: while another lando ends its last work on the run, lists
        may be older than the record, and the run older than both. It is gone when neither the record nor the run has
        changed before and after a list without it. Raises Conflict where one has.
        """
        found = self._observe(run, intent, message, self._read(run.id, run.kind))
        if read_record(self._peers.cluster, run_record_ref(run.id)) != known:
            raise Conflict("cluster", f"the record of run {run.id} was changed by somebody else while it was looked at")
        self._check_unchanged(run)
        return found

    def _check_unchanged(self, run: Run) -> None:
        """Raises Conflict if the run is no longer as it was before its objects were read."""
        if self._peers.source.get(run.id) != run:
            raise Conflict("source", f"run {run.id} was changed by somebody else while it was looked at")

    def _fail_step(self, performer: Performer, error: StepError) -> Performer:
        """The objects of a step can't be made: it fails as any other does, and what is at work or may begin goes on.

        Where nothing is, that is the end of the run, for which nothing has to be read again.
        """
        problems: dict[str, Cause] = {}
        while True:
            run, step = performer.run, error.step
            at_work = [name for name, state in run.steps.items() if state is StepState.RUNNING]
            is_alone = performer.plan.on_failure is OnFailure.STOP and at_work == [step] and not _failed(run)
            if step is None or step in problems or is_alone:
                self._fail(performer, step or _step_at_work(run), error.cause)
                return performer
            problems[step] = error.cause
            planner, plan, observation = self._observe(run, Intent.NONE, None, self._read(run.id, run.kind))
            for name, cause in problems.items():
                plan = plan.with_problem(name, cause)
            performer = Performer(self._peers, planner, run, plan, observation)
            try:
                performer.perform(decide(plan, run, observation.observed, Intent.NONE))
            except StepError as another:
                error = another
            except QuotaWait as wait:
                return self._wait_for_quota(performer, observation.observed.record, wait)
            else:
                return performer

    def _fail(self, performer: Performer, step: str | None, cause: Cause) -> None:
        run = performer.run
        steps = {name: StepState.FAILED if state is StepState.RUNNING else state for name, state in run.steps.items()}
        performer.perform(fail(Failure(step=step, cause=cause), steps))

    def _say_what_goes(self, performer: Performer, what: StillThere) -> None:
        step = _step_at_work(performer.run) or next(iter(performer.run.steps), None)
        cause = Cause(
            category=Category.INFRASTRUCTURE,
            sentence=f"{what}; the run goes on when it is gone.",
            advice="If it does not go, its node may be lost: ask the administrator.",
        )
        if step is not None and performer.condition != cause.sentence:
            performer.tell_condition(step, cause)

    def _wait_for_quota(self, performer: Performer, noted: RunRecord | None, wait: QuotaWait) -> Performer:
        now = self._clock()
        since = noted.quota_since if noted else None
        cause = Cause(
            category=Category.RESOURCES,
            sentence=f"A quota keeps step {wait.step} from starting: {wait}",
            advice="Free resources of the project, or ask the administrator for more.",
        )
        waited = now - max(since, self._patience.since(now)) if since is not None else None
        if waited is not None and waited > timedelta(seconds=self._config.patience_s):
            error = StepError(cause)
            error.step = wait.step
            return self._fail_step(performer, error)
        if since is None:
            performer.note_quota(record.quota_patch(now))
        performer.tell_condition(wait.step, cause)
        self._look_later(performer.run.id, random.uniform(*QUOTA_RECHECK_S))  # noqa: S311 - jitter
        return performer

    def _archived(self, run: Run, observed: Observed) -> dict[str, int]:
        """The attempts that have logs, asked only when the record knows of none: it went with a canceled life."""
        if self._peers.archive is None or (observed.record and observed.record.steps):
            return {}
        attempts: dict[str, int] = {}
        try:
            for entry in self._peers.archive.entries(run.id):
                attempts[entry.step] = max(attempts.get(entry.step, 0), entry.attempt)
        except PeerError as error:
            UNTOLD.labels("archive").inc()
            log.warning("Run %d: the next logs may replace those of its former life: %s", run.id, error)
        return attempts

    def _is_expired(self, run: Run, message: Message | None, now: datetime) -> bool:
        """Whether what the ended run left need not be kept, by the settings or because an operator says so."""
        changed = self._peers.source.changed(run)
        before = message.ended_before if message is not None else None
        if before is not None and changed is not None and changed < before and run.state in _KEPT:
            return True
        return is_expired(run.state, changed, now, self._config.retention)

    def _remember(self, run_id: int, condition: str | None) -> None:
        with self._lock:
            self._conditions.pop(run_id, None)
            if condition is not None:
                self._conditions[run_id] = condition
                if len(self._conditions) > CONDITIONS_REMEMBERED:
                    self._conditions.popitem(last=False)


def _lacks_a_job(run: Run, observed: Observed) -> bool:
    """Whether a step is at work, and no Job of it is seen: that of its record, if it names one."""
    recorded = observed.record.steps if observed.record else {}
    for name, state in run.steps.items():
        if state is StepState.RUNNING:
            noted, job = recorded.get(name), observed.jobs.get(name)
            if job is None or (noted is not None and noted.uid not in (None, job.uid)):
                return True
    return False


def _has_something(observed: Observed) -> bool:
    return bool(observed.record or observed.objects or observed.dying)


def _failed(run: Run) -> list[str]:
    return [name for name, state in run.steps.items() if state is StepState.FAILED]


def _step_at_work(run: Run) -> str | None:
    return next((name for name, state in run.steps.items() if state is StepState.RUNNING), None)


def words(error: Exception) -> str:
    """What a failure is called towards people: our own errors speak for themselves, others stay in the log."""
    return str(error) if isinstance(error, LandoError) else f"an internal error ({type(error).__name__})"
