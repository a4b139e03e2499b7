"""RabbitMQ's management API: what AMQP does not tell of a queue, where that API is to be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pika
import requests

from lando.doctor.findings import Finding, ok, warning
from lando.doctor.queue_answers import queue_type
from lando.queues import ladder

TIMEOUT_S = 3.0
PORTS = {"http": 15672, "https": 15671}


@dataclass(frozen=True)
class Told:
    """Its documents."""

    virtual_host: Mapping[str, Any]
    queue: Mapping[str, Any] | None
    """None where there is none of that name."""


def ask(
    broker: pika.ConnectionParameters, queue: str, url: str | None = None, *, ca_file: str | None = None
) -> Told | str:
    """What it tells with the daemons' own login; why not, in a few words, where it does not."""
    scheme = "https" if broker.ssl_options is not None else "http"
    base = (url or f"{scheme}://{broker.host}:{PORTS[scheme]}").rstrip("/")
    virtual_host = quote(str(broker.virtual_host), safe="")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca_file or True
        session.auth = (broker.credentials.username, broker.credentials.password)
        try:
            host = _get(session, f"{base}/api/vhosts/{virtual_host}")
            found = _get(session, f"{base}/api/queues/{virtual_host}/{quote(queue, safe='')}")
        except requests.HTTPError as error:
            status = error.response.status_code
            return f"{base} answered {status}" + ("; the user lacks the tag monitoring" if status in (401, 403) else "")
        except (requests.RequestException, ValueError):
            return f"{base} does not answer as one"
    return Told(host or {}, found)


def judge(told: Told, queue: str) -> Iterator[Finding]:
    """The queue's type and its policy; where it is still to be made, the type that it will get."""
    if told.queue is None:
        kind = told.virtual_host.get("default_queue_type")
        kind = kind if isinstance(kind, str) and kind not in ("undefined", "") else "classic"
        yield ok("queue type", f"{queue} will be a {kind} queue, the virtual host's default")
        return
    kind = str(told.queue.get("type") or "classic")
    yield queue_type(kind, queue)
    definition = told.queue.get("effective_policy_definition")
    definition = definition if isinstance(definition, Mapping) else {}
    names = ", ".join(str(told.queue[key]) for key in ("policy", "operator_policy") if told.queue.get(key))
    yield from _policy(queue, kind, definition, names)


def _policy(queue: str, kind: str, definition: Mapping[str, Any], names: str) -> Iterator[Finding]:
    check = "policy"
    dead = ladder.dead_queue(queue)
    lost = [key for key in ("message-ttl", "max-length", "max-length-bytes", "expires") if key in definition]
    to_dead = definition.get("dead-letter-exchange") == "" and definition.get("dead-letter-routing-key") == dead
    seen = f"{names or 'none'}: " + (", ".join(f"{key} {value!r}" for key, value in definition.items()) or "no limits")
    if (lost or "delivery-limit" in definition) and not to_dead:
        what = ", ".join([*lost, *(["delivery-limit"] if "delivery-limit" in definition else [])])
        advice = f'let the policy also set dead-letter-exchange "" and dead-letter-routing-key {dead!r}'
        yield warning(check, f"{seen}; a message that meets {what} is lost", advice)
    elif kind == "quorum" and "delivery-limit" not in definition:
        advice = f'set delivery-limit by a policy, with dead-letter-exchange "" and dead-letter-routing-key {dead!r}'
        yield warning(check, f"{seen}; from RabbitMQ 4 a message is dropped after 20 deliveries", advice)
    else:
        yield ok(check, seen)


def _get(session: requests.Session, url: str) -> Mapping[str, Any] | None:
    answer = session.get(url, timeout=TIMEOUT_S)
    if answer.status_code == 404 and "json" in answer.headers.get("Content-Type", ""):
        return None
    answer.raise_for_status()
    document = answer.json()
    if not isinstance(document, Mapping):
        raise ValueError("no JSON object")
    return document
