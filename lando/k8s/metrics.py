"""What the lando daemon counts; served by :mod:`lando.k8s.health`."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter("lando_messages_total", "Messages settled, by command and how", ["command", "outcome"])
ACTIONS = Counter("lando_actions_total", "Actions carried out, by kind", ["action"])
TRANSITIONS = Counter("lando_transitions_total", "Decisions that had something to do")
HANDLING = Histogram("lando_handling_seconds", "Time from taking up a message until it is settled")
API_CALLS = Counter(
    "lando_api_calls_total",
    "Requests to other systems; divided by transitions: requests per transition",
    ["peer", "verb", "resource"],
)
UNTOLD = Counter(
    "lando_untold_total",
    "What could not be told or kept, without harm to the run: archive, attempt, condition, warning",
    ["what"],
)
FINDINGS = Gauge(
    "lando_resync_findings",
    "Runs that did not fit their objects at the newest resync, by what was wrong; unknown ones are left alone",
    ["trouble"],
)
PAUSED = Gauge("lando_paused", "1 while consuming is paused because another system is away")


def count_calls(peer: str) -> Callable[[str, str], None]:
    """A hook that counts each request to ``peer`` by verb and resource."""

    def on_call(verb: str, resource: str) -> None:
        API_CALLS.labels(peer, verb, resource).inc()

    return on_call
