"""What the daemons count, served by :mod:`lando.k8s.health`; listed in docs/operations.md."""

from __future__ import annotations

from collections.abc import Callable

from lando.metrics import Figures

LANDO = Figures()
"""Of the lando daemon."""
WATCHER = Figures()
"""Of the watcher."""
BOTH = Figures()
"""Of both daemons."""

MESSAGES = LANDO.counter(
    "lando_messages_total", "Messages settled, by command and how; look is one of our own.", "command", "outcome"
)
HANDLING = LANDO.histogram(
    "lando_handling_seconds",
    "Time from taking up a message until it is settled.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
HANDOFF = LANDO.histogram(
    "lando_handoff_seconds",
    "From the end of a step's Job to the creation of the next one, by the cluster's clock of whole seconds.",
    buckets=(0, 1, 2, 3, 5, 10, 30, 60, 300, 1800),
)
ACTIVE = LANDO.gauge("lando_active", "1 while this process is the one at work, 0 while it stands by.")
PAUSED = LANDO.gauge("lando_paused", "1 while consuming is paused because another system is away.")
IN_HAND = LANDO.gauge("lando_runs_waiting", "Runs to be looked at in this process, now or later.")
OLDEST_WORK = LANDO.gauge("lando_oldest_work_seconds", "How long the look that takes longest has been under way.")
TRANSITIONS = LANDO.counter("lando_transitions_total", "Decisions that had something to do.")
ACTIONS = LANDO.counter("lando_actions_total", "Actions carried out, by kind.", "action")
RETRIES = LANDO.counter(
    "lando_infrastructure_retries_total", "Steps begun again after a fault of the cluster, by step.", "step"
)
UNTOLD = LANDO.counter(
    "lando_untold_total",
    "What could not be told or kept, without harm to the run: archive, attempt, condition, evidence, warning.",
    "what",
)
FINDINGS = LANDO.gauge(
    "lando_resync_findings",
    "Runs that did not fit their objects at the newest resync, by what was wrong; unknown ones are left alone.",
    "trouble",
)
RESYNCED = LANDO.gauge("lando_resync_last_timestamp_seconds", "When the newest resync ended, in seconds of Unix time.")

REPORTS = WATCHER.counter("lando_watcher_messages_total", "Messages that the broker has confirmed.", "condition")
EVENT_AGE = WATCHER.gauge(
    "lando_watcher_last_event_age_seconds", "Since the cluster was last heard on the stream silent longest."
)
BACKLOG = WATCHER.gauge("lando_watcher_backlog", "Jobs to be looked at, now or later.")
RELISTS = WATCHER.counter("lando_watcher_relists_total", "Lists made anew after the first one, by kind.", "kind")

API_CALLS = BOTH.counter(
    "lando_api_calls_total",
    "Requests to other systems; divided by transitions: requests per transition.",
    "peer",
    "verb",
    "resource",
)
QUEUE_MESSAGES = BOTH.gauge(
    "lando_queue_messages",
    "Messages at the broker that nobody has taken: ready, delayed after a failure, or dead; absent while it is away.",
    "queue",
    "state",
)


def count_calls(peer: str) -> Callable[[str, str], None]:
    """A hook that counts each request to ``peer`` by verb and resource."""

    def on_call(verb: str, resource: str) -> None:
        API_CALLS.labels(peer, verb, resource).inc()

    return on_call
