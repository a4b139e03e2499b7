"""What a broker's answers mean for Lando. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lando.doctor.findings import Finding, failed, ok, warning

NOT_FOUND, LOCKED, REFUSED = 404, 405, 403
"""AMQP's codes."""
_INEQUIVALENT = re.compile(r"inequivalent arg '(?P<key>[^']+)' .*: received (?P<ours>.+) but current is (?P<theirs>.+)")
_VALUE = re.compile(r"(?:the value )?'(?P<value>[^']*)'")


@dataclass(frozen=True)
class Refusal:
    """Why the broker ended a channel."""

    code: int
    text: str


def product(properties: Mapping[str, Any] | None) -> str:
    """Name and version, as the broker tells them at the login."""
    told = properties or {}
    return " ".join(str(told[key]) for key in ("product", "version") if told.get(key)) or "an AMQP broker"


def absent_or_refused(refusal: Refusal, queue: str) -> Finding:
    """The command queue could not be asked for."""
    if refusal.code == NOT_FOUND:
        return ok("command queue", f"{queue} is not there yet; whoever comes first makes it")
    if refusal.code == LOCKED:
        advice = "end that program, or choose another listen_queue (and the same in the API's lando connection)"
        return failed("command queue", f"{queue} belongs to another connection alone", advice)
    return failed("command queue", refusal.text, "ask the broker's administrator")


def clash(refusal: Refusal, queue: str) -> Finding:
    """A command queue that can't be declared as all declare it: durable, without arguments."""
    found = _INEQUIVALENT.search(refusal.text)
    if refusal.code == REFUSED:
        return failed("command queue", refusal.text, f"permit the user to configure queues named ^{re.escape(queue)}")
    if found is None:
        return failed("command queue", refusal.text, "delete the queue once it is empty; it is made anew as it must be")
    key, theirs = found["key"], _value(found["theirs"])
    if key == "x-queue-type":
        advice = (
            f"make {theirs} the virtual host's default queue type, and before RabbitMQ 3.13 delete the queue, once "
            "it is empty"
        )
    elif key.startswith("x-"):
        advice = f"delete the queue once it is empty; it is made anew, and a policy can set {key.removeprefix('x-')}"
    else:
        advice = "delete the queue once it is empty; it is made anew as it must be"
    seen = f"{queue} has {key} {theirs}, but Bespin's and Lando's programs declare it with {_value(found['ours'])}"
    return failed("command queue", seen, advice)


def activity(queue: str, *, is_held: bool, consumers: int, waiting: int) -> Finding:
    """Whether a lando is at work on the queue; ``consumers`` are those of the command queue."""
    check = "active lando"
    if is_held:
        return ok(check, f"one is at work on {queue}")
    if consumers:
        seen = f"none, but {consumers} other program{' reads' if consumers == 1 else 's read'} {queue}"
        return warning(check, seen, "stop the other one, e.g. Duke's lando, before this one is started")
    if waiting:
        return warning(check, f"none, and {waiting} messages wait in {queue}", "start the lando daemon")
    return ok(check, "none, and no message waits for one")


def dead_letters(queue: str, messages: int) -> Finding:
    if not messages:
        return ok("dead letters", f"none in {queue}")
    seen = f"{messages} message{'' if messages == 1 else 's'} put aside in {queue}"
    return warning("dead letters", seen, "see why with: lando dead list")


def forbidden(refusal: Refusal, queue: str, user: str, virtual_host: str) -> Finding:
    """The user may not do with queues beside the command queue what the daemons do."""
    if refusal.code != REFUSED:
        return failed("permissions", refusal.text, "ask the broker's administrator")
    mine = f"^({queue}.*|job_status)$"
    rights = f"'{mine}' '^(amq\\.default|{queue}.*|job_status)$' '{mine}'"
    advice = f"rabbitmqctl set_permissions -p {virtual_host} {user} {rights}"
    return failed("permissions", refusal.text.removeprefix("ACCESS_REFUSED - "), advice)


def notices_refused(refusal: Refusal, exchange: str) -> Finding:
    found = _INEQUIVALENT.search(refusal.text)
    if found is None:
        return failed("notices", refusal.text.removeprefix("ACCESS_REFUSED - "), f"permit the user to use {exchange}")
    seen = f"the exchange {exchange} has {found['key']} {_value(found['theirs'])}, not {_value(found['ours'])}"
    return failed("notices", seen, "delete it; it is made anew as all declare it: fanout, not durable")


def queue_type(kind: str, queue: str) -> Finding:
    if kind == "quorum":
        return ok("queue type", f"{queue} is a quorum queue")
    return ok("queue type", f"{queue} is a {kind} queue: in a cluster of brokers it lies on one of them alone")


def _value(told: str) -> str:
    """``the value '10' of type 'signedint'``, ``'quorum'`` or ``none`` in fewer words."""
    found = _VALUE.match(told)
    return found["value"] if found else told
