"""What only the management API tells, and what a broker refuses that tests can't have for real."""

from __future__ import annotations

from typing import Any

import pytest
from lando.config import WorkQueueSettings
from lando.doctor import management, queue_answers, tls
from lando.doctor.findings import Finding, Level
from lando.doctor.management import Told
from lando.doctor.queue_answers import Refusal
from lando.queues.rabbitmq.parameters import parameters
from tests.services.providing import free_port
from tests.unit.doctor.conftest import Peer

(BROKER,) = parameters(WorkQueueSettings(listen_queue="lando", host="127.0.0.1", username="u", password="p"))
TO_DEAD = {"dead-letter-exchange": "", "dead-letter-routing-key": "lando.dead"}


def judged(queue: dict[str, Any] | None, **virtual_host: Any) -> dict[str, Finding]:
    return {one.check: one for one in management.judge(Told(virtual_host, queue), "lando")}


@pytest.mark.parametrize(
    ("queue", "level", "words"),
    [
        ({"type": "classic"}, Level.OK, "none: no limits"),
        ({"type": "quorum"}, Level.WARNING, "dropped after 20 deliveries"),
        (
            {"type": "quorum", "policy": "lando", "effective_policy_definition": {"delivery-limit": 5, **TO_DEAD}},
            Level.OK,
            "lando: delivery-limit 5",
        ),
        (
            {"type": "quorum", "policy": "lando", "effective_policy_definition": {"delivery-limit": 5}},
            Level.WARNING,
            "a message that meets delivery-limit is lost",
        ),
        (
            {"type": "classic", "operator_policy": "all", "effective_policy_definition": {"message-ttl": 1000}},
            Level.WARNING,
            "a message that meets message-ttl is lost",
        ),
    ],
)
def test_a_policy_that_loses_messages_is_warned_of(queue: dict[str, Any], level: Level, words: str) -> None:
    found = judged(queue)["policy"]
    assert found.level is level
    assert words in found.seen


def test_the_type_of_a_queue_that_is_still_to_be_made() -> None:
    assert "will be a quorum queue" in judged(None, default_queue_type="quorum")["queue type"].seen
    assert "will be a classic queue" in judged(None, default_queue_type="undefined")["queue type"].seen
    assert judged({"type": "quorum"})["queue type"].seen == "lando is a quorum queue"


def test_the_management_api_is_asked_with_the_same_login(peer: Peer) -> None:
    peer.answers["/api/vhosts/%2F"] = (200, {"default_queue_type": "quorum"})
    peer.answers["/api/queues/%2F/lando"] = (404, {"error": "Object Not Found"})
    assert management.ask(BROKER, "lando", peer.url) == Told({"default_queue_type": "quorum"}, None)
    peer.answers["/api/vhosts/%2F"] = (401, {"error": "not_authorised"})
    assert "lacks the tag monitoring" in str(management.ask(BROKER, "lando", peer.url))
    assert "does not answer" in str(management.ask(BROKER, "lando", f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(405, "RESOURCE_LOCKED"), "belongs to another connection alone"),
        (Refusal(403, "ACCESS_REFUSED - no"), "ACCESS_REFUSED - no"),
    ],
)
def test_a_command_queue_that_can_not_be_asked_for(refusal: Refusal, words: str) -> None:
    found = queue_answers.absent_or_refused(refusal, "lando")
    assert (found.level, words in found.seen) == (Level.FAILED, True)


def test_a_command_queue_that_may_not_be_declared_or_clashes_in_unknown_words() -> None:
    assert "permit the user" in queue_answers.clash(Refusal(403, "ACCESS_REFUSED - x"), "lando").advice
    assert queue_answers.clash(Refusal(406, "PRECONDITION_FAILED - new words"), "lando").level is Level.FAILED


def test_a_remote_broker_without_tls_is_warned_of() -> None:
    assert tls.without("mq.example.org", "logins", "x").level is Level.WARNING
    assert tls.without("127.0.0.1", "logins", "x").level is Level.OK
    assert queue_answers.product({"product": "RabbitMQ", "version": "4.1.0"}) == "RabbitMQ 4.1.0"
    assert queue_answers.product(None) == "an AMQP broker"
